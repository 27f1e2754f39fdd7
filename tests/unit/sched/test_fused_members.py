"""What the function of a fused run contains of the members of a qdisc of struct_ops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.engine.translate import inlining
from ebpfvm.engine.translate.flow_graph import FlowGraph
from ebpfvm.engine.translate.statements import BlockCode, assign, effect
from ebpfvm.errors import Fault
from ebpfvm.kernel.skb import SkBuff
from ebpfvm.limits import Limits
from ebpfvm.loader.variables import set_variables
from ebpfvm.scenario import Scene
from ebpfvm.sched.fused.member_form import MemberForm
from ebpfvm.sched.fused.object_facts import CLOCK, ObjectFacts, decided
from ebpfvm.sched.packet import build
from ebpfvm.sched.simulation import BOOT_NS
from tests.laws import fused_mainline

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"
IN_TREE = Path(__file__).parent / "objects" / "counts_in_tree.o"


def _fused(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EBPFVM_DUMP", str(folder))
    simulate(load(SAMPLES / f"{name}.o"), flows=["cbr:rate=1mbit,packets=2"], rate="8mbit", engine="fused")
    lines = (folder / "ebpfvm-fused.py").read_text().splitlines()
    return "\n".join(line.partition("  #")[0] for line in lines)


def test_references_and_locks_that_nobody_sees_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _fused("fifo", tmp_path, monkeypatch)
    assert not re.search(r"\b(?:TAKE|GIVE\w*)\(|REFS\.held [+-]=", code)
    assert not re.search(r"^ *V\d+_4\[\d\] = ", code, re.MULTILINE)  # the lock
    assert code.count("O.unusual(") == 1  # the packet, in dequeue


@pytest.mark.parametrize("name", ["fifo", "prio", "drr", "pacer", "codel", "fq"])
def test_samples_are_fused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fused(name, tmp_path, monkeypatch).startswith("def run(S):")


def test_what_packets_never_have_and_who_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of fq looks for no socket, and neither its counters nor the slot that hands a packet on are in memory."""
    code = _fused("fq", tmp_path, monkeypatch)
    assert not re.search(r"MEMBER_|LOAD\(|SWAP\(|\.wire_len|kernel_view\.|NEW46", code.partition("KVIEW")[2].replace(
        "= KVIEW", ""))
    assert "K_qlen = K_qlen + 1 if K_qlen <= 0x3ffffffe else" in code
    assert "if (K_qlen >= K_limit):" in code
    assert re.search(r"^ *del t_\d+_root\[0\]", code, re.MULTILINE)


def test_no_budget_is_made_where_nothing_consumes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packet of a flow that is known is put into its tree without asking what is left."""
    code = _fused("fq", tmp_path, monkeypatch)
    known = code.rpartition("g_53[0] = t_134_old")[2].partition("t_210_tree.append")[0]
    assert "o_n185.cells = [None, o_skb, r" in known
    assert not re.search(r"ticks|REFS\.held|\.refs [+-]=", known)


def test_a_packet_with_another_length_ends_a_fused_run() -> None:
    """The function takes all packets for equally long, and stops when one is not any more."""
    def prepare(scene: Scene) -> None:
        def longer(_: object) -> None:
            for skb in scene.simulation.kernel.refs.live():
                if isinstance(skb, SkBuff):
                    skb.wire_len = 1514
        scene.simulation.loop.at(BOOT_NS + 5_000_000, longer, None)

    first, second = (simulate(load(SAMPLES / "fifo.o"), flows=["cbr:rate=20mbit,packets=60"], rate="8mbit",
                              engine=engine, prepare=prepare) for engine in ("fused", "translate"))
    assert first == second


def test_a_packet_that_the_program_has_put_aside_is_dropped() -> None:
    """Enqueue of netem takes its packet and the list of packets to free from its stack when it drops the packet."""
    found = set_variables(load(SAMPLES / "netem.o"), {"limit": 3})
    fused, plain = (simulate(found, flows=["cbr:rate=20mbit,packets=60"], rate="8mbit", engine=engine)
                    for engine in ("fused", "translate"))
    assert fused == plain
    assert plain.dropped > 4


def test_the_qdisc_may_come_from_the_stack() -> None:
    """A callback of drr gets the qdisc through its stack, and counts what has left in the fused run's variables."""
    found = set_variables(load(SAMPLES / "drr.o"), {"limit": 5})
    fused, plain = (simulate(found, flows=["cbr:rate=20mbit,packets=60"], rate="8mbit", engine=engine)
                    for engine in ("fused", "translate"))
    assert fused == plain
    assert plain.dropped < 50


@pytest.mark.parametrize(("other", "saved"), [("(SCH)", "KVIEW.qlen = K_qlen; "), ("r9", "")])
def test_counters_stay_in_memory_if_some_variable_may_be_the_qdisc(other: str, saved: str) -> None:
    code = {0: BlockCode([assign("r1", "SCH", 0)], "r5", frozenset({"r5"}), 0, None, (1, 2)),
            1: BlockCode([assign("r1", other, 1)], "", frozenset(), 1, None, (2,)),
            2: BlockCode([effect("SCH.kernel_view.qlen = 3", 2), effect("r1.kernel_view.qlen = 5", 2)], "",
                         frozenset(), 2, "0", ())}
    form = MemberForm({}, {})
    form.keep([form.changed(FlowGraph(0, {}), code)])
    assert form.saved == saved


def test_a_member_without_loops_inserts_into_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFVM_DUMP", str(tmp_path))
    fused, plain = (simulate(load(IN_TREE), flows=["cbr:rate=1mbit,packets=5"], rate="8mbit", engine=engine)
                    for engine in ("fused", "interp"))
    assert fused == plain
    assert [left.count for left in fused.objects if left.struct == "item"] == [5]
    assert "SORT_" in (tmp_path / "ebpfvm-fused.py").read_text()


@pytest.mark.parametrize("inlined", [True, False])
def test_comparisons_count_where_the_caller_has_a_loop(inlined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 insertions compare more than 2500 times, and 400 rounds alone would not use the budget up."""
    if not inlined:
        monkeypatch.setattr(inlining._Inliner, "_wanted", lambda *_: False)
    found = set_variables(load(IN_TREE), {"rounds": 400})
    with pytest.raises(Fault, match="budget of 2500 instructions"):
        simulate(found, flows=["cbr:rate=1mbit,packets=1"], engine="translate", limits=Limits(run_instructions=2500))


@pytest.mark.parametrize("engine", ["translate", "fused"])
def test_comparisons_count_without_loops(engine: str) -> None:
    """Two comparisons are too many for this budget, and the third packet's item is compared twice."""
    with pytest.raises(Fault, match=r"budget of 1 instructions.*call bpf_rbtree_add"):
        simulate(load(IN_TREE), flows=["cbr:rate=1mbit,packets=5"], engine=engine, limits=Limits(run_instructions=1))


def test_a_run_without_packets_reports_no_objects() -> None:
    """The loop is stopped before the first packet arrives."""
    assert fused_mainline.check(2006) == ""


def test_conditions_that_are_decided() -> None:
    facts = ObjectFacts()
    facts.null |= {"r1": False, "r2": True}
    facts.refs["r1"] = 1 << 64
    facts.held = 0
    facts.const |= {"r4": "7", "r5": CLOCK}
    own = 1 << 96
    for text, expected in (("r1 is not None", True), ("not r2", True), ("r3", None), ("r2 and r3", False),
                           ("r1 and not r1.refs & 0xffffffff", True), ("REFS.held", False),
                           ("(r1.refs == OWN)", False), ("(o_skb.refs & OWN_MASK)", None),
                           ("(r4 == 7)", True), ("(r4 != 7)", False), ("r4 == 0", False), ("r5 == 7", None),
                           ("(r5 <= ((0x2540be400 + r5) & 0xffffffffffffffff))", True),
                           ("(r5 <= ((0x8000000000000000 + r5) & 0xffffffffffffffff))", None)):
        assert decided(text, facts, own) is expected, text


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("at", [0, 500_000, 1_000_000])
@pytest.mark.parametrize("name", ["mainline/fifo", "rfc/pfifo"])
def test_packets_that_a_user_sends_in_between(name: str, at: int, size: int) -> None:
    """Some are dropped, some find the link idle, and some have another size than all that is generated."""
    def send(simulation: Any) -> None:
        data, device = build(length=size), simulation.device
        flow, protocol, priority = simulation.flows.label(data)
        for _ in range(5):
            packet = simulation.account.admit(data, size, flow, protocol, priority, device.qdisc.holder)
            packet.dev = device
            device.xmit(packet)

    def prepare(scene: Scene) -> None:
        for round in range(4):
            scene.simulation.loop.at(BOOT_NS + at + round * 4_000_000, send, scene.simulation)

    found = set_variables(load(SAMPLES.parent / f"{name}.o"), {"limit": 3})
    fused, plain = (simulate(found, flows=["cbr:rate=8mbit,packets=20"], rate="10mbit", engine=engine, prepare=prepare)
                    for engine in ("fused", "translate"))
    assert fused == plain
    assert (plain.in_packets, plain.dropped > 4) == (40, True)
