from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.cli.run import balance
from ebpfvm.sched.packet import build
from ebpfvm.sched.pcap import PcapWriter, read_capture
from tests.unit.sched.kit import Bench, packets

ROOT = Path(__file__).parents[3]
PFIFO = str(ROOT / "samples" / "rfc" / "pfifo.o")
SHAPER = str(ROOT / "samples" / "rfc" / "shaper.o")
BROKEN = ROOT / "samples" / "broken"
MIXED = str(ROOT / "samples" / "captures" / "mixed.pcap")
FLOWS = "cbr:rate=1mbit,size=500b,packets=20"


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.pcap"
    with PcapWriter(path.open("wb")) as writer:
        for number in range(10):
            writer.write(10 ** 18 + number * 1_000_000, 1000, build(length=1000, sport=number % 2 + 1))
    return str(path)


def _take_interrupts() -> None:
    """A test run in the background of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which is gone afterwards whatever happens."""
    process = subprocess.Popen([sys.executable, "-m", "ebpfvm", *words], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=_take_interrupts)
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def test_a_run_prints_statistics_as_tc_does_and_the_flows(small: str, capsys: pytest.CaptureFixture[str],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["run", PFIFO, "--pcap", small, "--rate", "10mbit", "--delay", "1ms"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert re.match(r"qdisc bpf 8001: dev sim0 root refcnt 2 enqueue pfifo_enqueue id \d+ dequeue pfifo_dequeue",
                    lines[0])
    assert lines[1] == " Sent 10000 bytes 10 pkt (dropped 0, overlimits 0 requeues 0)"
    assert lines[2] == " backlog 0b 0p requeues 0"
    assert "link 10Mbit delay 1ms" in out
    assert "10 in = 10 out + 0 dropped + 0 freed by the program + 0 held" in out
    assert "udp 10.0.0.1:1 > 10.0.0.2:2000" in out
    assert "1.8ms" in out  # 0.8 ms on the wire, 1 ms to the other end
    assert err == ""


def test_json_is_one_object_on_standard_output(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", PFIFO, "--pcap", small, "--json", "--packets"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["schema"], data["ok"], data["in_packets"], len(data["packets"])) == ("ebpfvm.run/1", True, 10, 10)
    assert err == ""


def test_generated_flows_and_captures_mix(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", PFIFO, "--pcap", small, "--flows", FLOWS, "--flows", "poisson:rate=1mbit,n=2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["flows"]) == 5


def test_a_run_is_reproducible_from_its_seed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outputs, captures = [], []
    for seed in ("1", "1", "2"):
        out = tmp_path / f"{len(outputs)}.pcap"
        assert main(["run", PFIFO, "--flows", "poisson:rate=12mbit,stop=50ms", "--seed", seed, "--json",
                     "--out", str(out)]) == 0
        outputs.append(capsys.readouterr().out)
        captures.append(out.read_bytes())
    assert outputs[0] == outputs[1] != outputs[2]
    assert captures[0] == captures[1] != captures[2]


def test_the_output_capture_has_times_of_departure(small: str, tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    assert main(["run", PFIFO, "--pcap", small, "--rate", "8mbit", "--out", str(out)]) == 0
    assert [stamp - 10 ** 18 for stamp, _, _ in read_capture(str(out))] == [(n + 1) * 1_000_000 for n in range(10)]


def test_variables_can_be_set(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", PFIFO, "--pcap", small, "--rate", "100kbit", "--set", "limit=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == 7


def test_the_trace_tells_every_event(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", SHAPER, "--pcap", small, "--set", "rate=125000", "--set", "burst=1000", "--trace"]) == 0
    err = capsys.readouterr().err
    assert "0.000000000 enqueue  packet 1, 1000 bytes, udp 10.0.0.1:1 > 10.0.0.2:2000 -> QUEUED" in err
    assert "-> THROTTLE delay 7000000 ns" in err
    assert "sent     packet 10" in err


@pytest.mark.parametrize(("words", "message"), [
    (["--rate", "fast"], "rate 'fast': expected a number and a unit, as in 10mbit"),
    (["--rate", "0"], "at least 1 bit a second"),
    (["--rate", "-1mbit"], "expected a number|expected one argument"),
    (["--delay", "soon"], "time 'soon'"),
    (["--mtu", "5"], "at least 68"),
    (["--flows", "cbr"], "rate= is missing"),
    (["--priority", "high"], "priority: expected one of tos, precedence, dscp, none"),
    (["--kernel", "windows"], "no dialect 'windows'"),
    (["--set", "limit"], "expected NAME=NUMBER"),
    (["--set", "limits=1"], "no global variable 'limits'"),
    (["--set", "limit=-1"], "cannot be -1"),
    (["--enqueue", "nothing"], "no program 'nothing'"),
    (["--out", "/nonexistent/out.pcap"], "cannot be written"),
    (["--engine", "magic"], "invalid choice"),
    (["--seed", "x"], "invalid int"),
])
def test_wrong_usage_is_status_2(small: str, words: list[str], message: str,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["run", PFIFO, "--pcap", small, *words])
    except SystemExit as end:
        status = end.code  # type: ignore[assignment]
    err = capsys.readouterr().err
    assert status == 2
    assert re.search(message, err)
    assert "Traceback" not in err


def test_a_run_needs_traffic_and_a_qdisc(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", PFIFO]) == 2
    assert "no traffic" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\x7fELF", bytes(100), b"\xd4\xc3\xb2\xa1" + bytes(30)])
def test_a_bad_capture_is_status_3(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(content)
    assert main(["run", PFIFO, "--pcap", str(path)]) == 3
    assert "bad.pcap: " in capsys.readouterr().err


def test_a_bad_object_is_status_3(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.o"
    path.write_bytes(b"not an object")
    for name in (str(path), str(tmp_path / "missing.o"), str(tmp_path), small):
        assert main(["run", name, "--pcap", small, "--json"]) == 3
        out, err = capsys.readouterr()
        assert json.loads(out)["exit"] == 3
        assert err


def test_a_rejected_program_is_status_1_with_its_line(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(BROKEN / "leak.o"), "--pcap", small, "--enqueue", "leak", "--dequeue", "leak"]) == 1
    assert re.search(r"leak\.bpf\.c:\d+: .*reference", capsys.readouterr().err)


def test_a_fault_at_run_time_is_status_4(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = "double_release"
    assert main(["run", str(BROKEN / "double_release.o"), "--pcap", small, "--enqueue", name, "--dequeue", name,
                 "--unverified"]) == 4
    assert re.search(r"double_release\.bpf\.c:\d+: double-free fault: .* at insn \d+", capsys.readouterr().err)


def test_a_run_that_loses_packets_fails_and_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that answers QUEUED and keeps nothing: each packet is told with who had it last."""
    result = Bench().run(packets(*range(30)), enqueue=lambda ctx: 0)
    assert balance(result) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == ("lost: packet 1 (1000 bytes) is lost; last held by enq, which returned SCH_BPF_QUEUED "
                        "without keeping a reference")
    assert lines[20:] == ["... and 10 more", "error: 30 packets were lost or disposed of twice: "
                                             "30 in != 0 out + 0 dropped + 0 freed + 0 held"]


def test_a_reader_that_leaves_is_no_error() -> None:
    with command("run", PFIFO, "--pcap", MIXED, "--json", "--packets") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 141


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"),
                                                      (signal.SIGTERM, 143, "terminated")])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_signal_ends_a_run_with_the_statistics_so_far(number: signal.Signals, code: int, word: str,
                                                        form: str) -> None:
    options = ("--json",) if form == "json" else ()
    with command("run", PFIFO, "--flows", "cbr:rate=100mbit,size=100b,stop=10000s", "--trace", *options) as process:
        assert process.stderr is not None
        assert process.stderr.readline()  # it is running
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code
    assert "Traceback" not in err and err.splitlines()[-1] == f"stopped: {word}"
    if form == "json":
        data = json.loads(out)
        assert data["stopped"] == word and data["in_packets"] > 0 and data["ok"]
    else:
        assert re.search(r"\b[1-9]\d* in = ", out)



def test_columns_decide_how_much_of_a_flow_is_shown(small: str, capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "75")
    assert main(["run", PFIFO, "--pcap", small]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("udp")]
    assert max(map(len, table)) <= 75
    assert "~" in table[0]


def test_help_and_version_answer_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in ((["--version"], "ebpfvm "), (["--help"], "exit status"), (["run", "--help"], "samples/rfc")):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        assert text in capsys.readouterr().out


def test_importing_the_package_loads_none_of_its_parts() -> None:
    code = "import sys, ebpfvm; print([name for name in sys.modules if name.startswith('ebpfvm.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert set(re.findall(r"ebpfvm\.\w+", out)) == {"ebpfvm._checkout", "ebpfvm._version", "ebpfvm.errors"}


def test_the_public_names_are_there() -> None:
    import ebpfvm
    assert len(ebpfvm.__all__) <= 15
    for name in ebpfvm.__all__:
        assert getattr(ebpfvm, name)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        ebpfvm.magic  # noqa: B018
    assert "load" in dir(ebpfvm)


def test_what_is_read_is_not_overwritten(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(small).read_bytes()
    link = tmp_path / "link.pcap"
    link.symlink_to(small)
    for out in (small, str(link)):
        assert main(["run", PFIFO, "--pcap", small, "--out", out]) == 2
        assert capsys.readouterr().err == (f"error: --out {out}: would overwrite the input file {small}; choose "
                                           "another name\n")
    assert Path(small).read_bytes() == before


def test_a_killed_run_leaves_a_capture_that_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    with command("run", PFIFO, "--flows", "cbr:rate=100mbit,size=100b,stop=10000s", "--out", str(out),
                 "--trace") as process:
        assert process.stderr is not None
        for _ in range(3000):
            assert process.stderr.readline()
    assert read_capture(str(out)).count > 0
