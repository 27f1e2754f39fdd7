"""`bpftool struct_ops` and `sysctl` say what bpftool 7.8, procps and Linux 7.2 said (recorded by hand in a guest)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ebpfvm.cli.main import main
from ebpfvm.errors import LoadError
from ebpfvm.experiments import open_namespace
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from ebpfvm.sched.netdev import Namespace

SAMPLES = ROOT / "samples" / "mainline"
FIFO = SAMPLES / "fifo.o"
PRETTY = """[{
        "id": 1,
        "name": "fifo",
        "kernel_struct_ops": "Qdisc_ops"
    },{
        "id": 2,
        "name": "prio",
        "kernel_struct_ops": "Qdisc_ops"
    }
]"""


@pytest.fixture
def net() -> Namespace:
    net = open_namespace(mainline=True)
    net.add_device("eth0", up=True)
    return net


def test_what_is_registered_is_listed_and_removed(net: Namespace) -> None:
    assert run_script(f"bpftool struct_ops register {FIFO}", net) == ["Registered Qdisc_ops fifo id 1"]
    assert run_script(f"bpftool -j struct_ops register {SAMPLES}/prio.o", net) == ["null"]
    for words in ("show", "list", "sh", "", "show id 2", "show name prio"):
        found = run_script(f"bpftool struct_ops {words}", net)
        assert found == (["1: fifo            Qdisc_ops"] if "2" not in words and "prio" not in words else []) + [
            "2: prio            Qdisc_ops"]
    assert run_script("bpftool -j struct_ops show name fifo", net) == [
        '[{"id":1,"name":"fifo","kernel_struct_ops":"Qdisc_ops"}]']
    assert run_script("bpftool --pretty struct_ops show", net) == PRETTY.split("\n")
    assert run_script("bpftool struct_ops unregister name fifo", net) == ["Unregistered Qdisc_ops fifo id 1"]
    assert run_script("bpftool -j struct_ops unreg id 2", net) == ["null"]
    assert run_script("bpftool -p struct_ops show", net) == ["[]"]
    with pytest.raises(ScriptError, match="bpf_fifo"):
        run_script("tc qdisc add dev eth0 root bpf_fifo", net)


def test_a_kind_that_is_used_stays_until_its_last_qdisc_is_gone(net: Namespace) -> None:
    run_script(f"bpftool struct_ops register {FIFO}; tc qdisc add dev eth0 root handle 1: bpf_fifo\n"
               "bpftool struct_ops unregister name fifo", net)
    with pytest.raises(ScriptError, match=r"can't unload Qdisc_ops fifo id 1: Operation now in progress.*EINPROGRESS"):
        run_script("bpftool struct_ops unregister id 1", net)
    run_script(f"bpftool struct_ops register {FIFO}", net)
    assert len(run_script("bpftool struct_ops show name fifo", net)) == 2
    with pytest.raises(ScriptError, match="fifo id 1: Operation now in progress"):
        run_script("bpftool struct_ops unregister name fifo", net)  # the other one is removed nevertheless
    assert run_script("bpftool struct_ops show; tc qdisc del dev eth0 root; bpftool struct_ops show", net) == [
        "1: fifo            Qdisc_ops"]


@pytest.mark.parametrize(("command", "text"), [
    ("bpftool struct_ops unregister name bpf_fifo", r"no struct_ops found for bpf_fifo: there are fifo \(of kind"),
    ("bpftool struct_ops show id 77", r"can't get map by id \(77\): No such file or directory.*\(ENOENT\)"),
    ("bpftool struct_ops dump", "dump is not supported by ebpfvm: 'bpftool struct_ops show'"),
    ("bpftool struct_ops unregister", "expected id or name after 'unregister'"),
    ("bpftool struct_ops frob", "expected dump, list, register, show or unregister"),
    ("bpftool map show", "unknown word 'map'"),
    ("sysctl net.core.default_qdisc=nope", r"write error: No such file or directory: there is no kind of qdisc 'nope'"),
    ("sysctl -w net.core.default_qdisc=noqueue", "noqueue is not supported by ebpfvm: a new device has pfifo_fast"),
    ("sysctl -w net.ipv4.ip_forward=1", r"sysctl net.ipv4.ip_forward is not supported by ebpfvm, only net.core.def"),
    ("sysctl", "expected .*a name, as in net.core.default_qdisc")])
def test_errors_name_what_to_do(net: Namespace, command: str, text: str) -> None:
    run_script(f"bpftool struct_ops register {FIFO}", net)
    with pytest.raises((ScriptError, LoadError), match=text):
        run_script(command, net)


def test_the_variable_and_a_kind_that_is_gone_are_told_from_misspelt_ones(net: Namespace) -> None:
    run_script(f"bpftool struct_ops register {FIFO}; tc qdisc add dev eth0 root bpf_fifo", net)
    with pytest.raises(ScriptError, match="'fifo': that is the variable; its kind is 'bpf_fifo'"):
        run_script("tc qdisc replace dev eth0 root fifo", net)
    run_script("bpftool struct_ops unregister name fifo", net)
    with pytest.raises(ScriptError, match=r"Specified qdisc kind is unknown: bpf_fifo was unregistered \(ENOENT\)"):
        run_script("tc qdisc replace dev eth0 root bpf_fifo", net)


@pytest.mark.parametrize(("script", "status", "text"), [
    (f"bpftool struct_ops register {ROOT}/samples/broken_qdiscs/leak.o", 1, "Unreleased reference"),
    ("bpftool struct_ops register missing.o", 3, "missing.o: cannot be read"),
    (f"bpftool struct_ops register {ROOT}/samples/broken_qdiscs/priv_size.o", 3, "priv_size is not 0"),
    (f"bpftool struct_ops register {ROOT}/samples/broken_qdiscs/null_argument.o\n"
     "tc qdisc add dev eth0 root bpf_broken", 4, "opt of init, which is NULL"),
    (f"bpftool struct_ops register {ROOT}/samples/rfc/pfifo.o", 2, "tc qdisc add dev eth0 root bpf obj"),
    (f"bpftool struct_ops register {FIFO}\ntc qdisc add dev eth0 root bpf obj {ROOT}/samples/rfc/pfifo.o", 2,
     "use two scripts, one for each interface")])
def test_the_exit_status_is_that_of_the_cause(script: str, status: int, text: str, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tc").write_text(script)
    words = ["run", "--tc", str(tmp_path / "x.tc"), "--flows", "cbr:rate=1mbit,packets=1"]
    assert main(words) == status
    assert text in capsys.readouterr().err
    assert main([*words, "--json"]) == status
    assert json.loads(capsys.readouterr().out)["exit"] == status


def test_a_link_holds_its_kind(net: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpfvm import experiments
    from ebpfvm.lazy_dataclasses import replace
    from ebpfvm.loader.open import load

    def linked(path: str, config: object = None) -> object:
        found = load(path)
        return replace(found, struct_ops=tuple(replace(item, link=True) for item in found.struct_ops))

    monkeypatch.setattr(experiments, "load", linked)
    run_script(f"bpftool struct_ops register {FIFO} /sys/fs/bpf/here", net)
    with pytest.raises(ScriptError, match=r"can't unload Qdisc_ops fifo id 1: Operation not supported.*EOPNOTSUPP"):
        run_script("bpftool struct_ops unregister name fifo", net)
    assert net.kernel.notes == []
    run_script(f"bpftool struct_ops register {SAMPLES}/prio.o", net)
    assert "on Linux the kind is gone when bpftool ends, unless its link is pinned" in net.kernel.notes[0]


def test_the_default_qdisc_is_that_of_new_devices(net: Namespace) -> None:
    shown = run_script(f"bpftool struct_ops register {FIFO}; sysctl -w net.core.default_qdisc=bpf_fifo\n"
                       "sysctl -n net/core/default_qdisc; ip link add m0 numtxqueues 2 type dummy; tc qdisc show\n"
                       "ip link set m0 up; tc qdisc show dev m0", net)
    assert [line.rstrip() for line in shown] == [
        "Registered Qdisc_ops fifo id 1", "net.core.default_qdisc = bpf_fifo", "bpf_fifo",
        "qdisc pfifo_fast 0: dev eth0 root refcnt 2 bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
        "qdisc mq 0: dev m0 root",
        "qdisc pfifo_fast 0: dev m0 parent :2 bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
        "qdisc pfifo_fast 0: dev m0 parent :1 bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
        "qdisc mq 0: root", "qdisc bpf_fifo 0: parent :2", "qdisc bpf_fifo 0: parent :1"]


@pytest.mark.parametrize(("kind", "works"), [("pfifo", True), ("bfifo", True), ("fq_codel", True), ("codel", True),
                                             ("skbprio", True), ("drr", True), ("htb", False),
                                             ("sfq", True), ("pie", True), ("fq_pie", True), ("fq", True),
                                             ("qfq", True), ("hhf", True), ("red", False), ("choke", False),
                                             ("gred", False), ("netem", False),
                                             ("tbf", False), ("mq", False), ("prio", False), ("clsact", False)])
def test_only_kinds_that_need_no_options_work_as_a_default(net: Namespace, kind: str, works: bool) -> None:
    run_script(f"sysctl -qw net.core.default_qdisc={kind}; ip link add i2 type ifb; ip link set i2 up", net)
    assert net.device("i2").qdisc.kind == (kind if works else "pfifo_fast")
    assert any(f"default qdisc ({kind}) fail" in note for note in net.kernel.notes) != works
