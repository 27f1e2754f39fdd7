"""Objects for Linux 6.16 and later with a mistake around their struct: what a new user is told.

The objects are samples with a name changed in place. What libbpf says of each was asked of Linux 7.2.13.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.loader import load
from ebpfvm.registering import only_variable, some_variables

SAMPLES = Path(__file__).parents[3] / "samples"
FIFO = SAMPLES / "mainline" / "fifo.o"
RUN = ["--flows", "cbr:rate=1mbit,packets=3"]


def renamed(path: Path, old: str, new: str) -> bytes:
    """The object with a string changed wherever it is, in a place of the same size."""
    return path.read_bytes().replace(old.encode() + b"\0", new.encode().ljust(len(old), b"\0") + b"\0")


def test_a_program_of_another_type_cannot_fill_a_member() -> None:
    with pytest.raises(LoadError, match=r"fills Qdisc_ops.enqueue, but its section 'tc' is for another"):
        load(renamed(FIFO, "struct_ops/fifo_enqueue", "tc"))


@pytest.fixture
def without_variable(tmp_path: Path) -> str:
    path = tmp_path / "x.o"
    path.write_bytes(renamed(FIFO, ".struct_ops", ".data.thing"))
    return str(path)


def test_a_program_that_no_member_names(without_variable: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{without_variable}:fifo_init"]) == 1
    out = capsys.readouterr().out
    assert "SEC(\"struct_ops\") program isn't referenced anywhere, did you forget to use it?" in out
    assert ".enqueue = (void *)my_enqueue" in out


def test_a_run_without_a_variable_says_what_is_missing(
        without_variable: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", without_variable, *RUN]) == 2
    assert 'need a variable: SEC(".struct_ops") struct Qdisc_ops NAME' in capsys.readouterr().err


def test_optional_variables_are_named() -> None:
    found = load(str(FIFO))
    optional = replace(found, struct_ops=tuple(replace(item, autocreate=False) for item in found.struct_ops))
    with pytest.raises(UsageError, match=r"fifo \(struct Qdisc_ops, optional because of the \? in SEC\(\)\)"):
        some_variables(optional)


def test_several_variables_need_a_script() -> None:
    found = load(str(FIFO))
    with pytest.raises(UsageError, match=r"2 variables .* tc qdisc add dev eth0 root bpf_fifo"):
        only_variable(replace(found, struct_ops=found.struct_ops * 2))


@pytest.mark.parametrize(("commands", "text"), [
    ("tc qdisc add dev eth0 root bpf_fifo", "is registered first: bpftool struct_ops register FILE"),
    (f"bpftool struct_ops register {SAMPLES}/broken_qdiscs/leak.o",
     "leak.o: enqueue: the verifier rejects it: Unreleased reference"),
    (f"bpftool struct_ops register {FIFO}\ntc qdisc add dev eth0 root bpf obj {FIFO}",
     "register it with `bpftool struct_ops register"),
    (f"bpftool struct_ops register {SAMPLES}/rfc/pfifo.o", "variables in .struct_ops sections: none")])
def test_scripts(commands: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tc").write_text(commands + "\n")
    assert main(["run", "--tc", str(tmp_path / "x.tc"), *RUN]) == (1 if "rejects" in text else 2)
    assert text in capsys.readouterr().err


def test_a_misspelt_function_has_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.o").write_bytes(renamed(FIFO, "bpf_kfree_skb", "bpf_kfree_skc"))
    assert main(["verify", f"{tmp_path}/x.o:fifo_reset"]) == 1
    assert "Did you mean bpf_kfree_skb()?" in capsys.readouterr().out


def test_two_structs_of_one_id_are_registered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ebpfvm.cli.verify import _registrations
    from ebpfvm.judging import verify
    found = load(str(FIFO))
    judged = [(program, verify(program)) for program in found.programs.values()]
    first, second = _registrations(replace(found, struct_ops=found.struct_ops * 2), judged)
    assert (first["ok"], second["ok"], second["errno"]) == (True, False, 17)


def test_an_object_without_btf_ext_has_a_note() -> None:
    notes = load(renamed(FIFO, ".BTF.ext", ".BTF.exx")).notes
    assert any(".BTF.ext" in note for note in notes)


def test_the_missing_struct_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{SAMPLES}/broken_qdiscs/unused_struct.o:dequeue"]) == 1
    assert "contains struct packet, which the object does not describe" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fifo_enqueue", "enqueue"])
def test_test_runs_say_what_linux_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prog", "run", f"{FIFO}:{name}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: fifo_enqueue: Linux has no test run for struct_ops programs (EOPNOTSUPP)")
    assert f"`ebpfvm run {FIFO} --flows" in said


def test_a_member_names_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{FIFO}:dequeue"]) == 0
    assert capsys.readouterr().out.startswith("fifo_dequeue: accepted")
    assert main(["dis", f"{FIFO}:dequeue"]) == 0
    assert capsys.readouterr().out.startswith("# fifo_dequeue, section struct_ops/fifo_dequeue")
    assert main(["dis", f"{FIFO}:dequeue", "enqueue"]) == 2
    assert "two programs are named" in capsys.readouterr().err
    assert main(["verify", f"{FIFO}:peek"]) == 2
    assert "no program 'peek'; it has: fifo_enqueue, " in capsys.readouterr().err
