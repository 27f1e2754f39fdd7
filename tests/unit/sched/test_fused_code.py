"""What the function of a fused run does itself, for each sample, and what it still calls.

The figures of a run depend on this, and nothing else tells when a statement is no longer recognised.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final

import pytest

from ebpfvm.api import simulate
from ebpfvm.errors import LimitError
from ebpfvm.funcs import skb_meta
from ebpfvm.kernel.refs import RefCounted
from ebpfvm.limits import Limits
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.scenario import Scene
from ebpfvm.sched.account import Packet
from ebpfvm.sched.fused import fusing
from ebpfvm.sched.fused.fused_run import FusedRun
from ebpfvm.sched.fused.run_source import RunSource
from ebpfvm.sched.simulation import BOOT_NS, Simulation

SAMPLES: Final = Path(__file__).parents[3] / "samples" / "rfc"
FLOWS: Final = ["cbr:rate=1mbit,size=100b,packets=3"]
# For each program, operations that became code, and those that are called though nothing unusual has happened.
ENQUEUE: Final = {"put", "get", "acquire", "take", "give"}
DEQUEUE: Final = {"first", "get", "remove", "take", "hand"}
USUAL: Final[dict[str, tuple[set[str], set[str], set[str], set[str]]]] = {
    "pfifo": (ENQUEUE, set(), DEQUEUE, set()),
    "pifo_prio": (ENQUEUE | {"existing"}, set(), DEQUEUE, set()),
    "prio": (ENQUEUE, set(), DEQUEUE, set()),
    "wfq": (ENQUEUE | {"existing", "inner", "flowh"}, set(), DEQUEUE | {"existing", "inner", "put"}, set()),
    "shaper": (ENQUEUE, set(), DEQUEUE, set()),
}


@pytest.fixture
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunSource:
    """The source of a run of the sample that the test names."""
    made: list[RunSource] = []

    def remember(*arguments: Any) -> RunSource:
        made.append(RunSource(*arguments))
        return made[0]

    monkeypatch.setattr(fusing, "RunSource", remember)
    simulate(load(SAMPLES / f"{request.param}.o"), flows=FLOWS, rate="1mbit", engine="fused")
    return made[0]


@pytest.mark.parametrize("source", ["pfifo"], indirect=True)
def test_keys_head_and_global_variables_are_local_variables(source: RunSource) -> None:
    stored = {node.id for node in ast.walk(ast.parse(source.code)) if isinstance(node, ast.Name)
              and isinstance(node.ctx, ast.Store)}
    (number,) = source.named
    assert {f"K{number}", f"H{number}", f"R{number}", "FITS"} <= stored
    assert len([name for name in stored if name.startswith("G") and name[1].isdigit()]) == 3


@pytest.mark.parametrize("source", ["pfifo"], indirect=True)
def test_an_enqueued_packet_gets_its_references_at_once(source: RunSource) -> None:
    at = next(n for n, (text, _) in enumerate(source.lines) if ".pop() if SPARE" in text)
    texts = [text.strip() for text, _ in source.lines[at:at + 12]]
    assert not any(".get(" in text or "TAKE" in text or "GIVE" in text or ".refs +=" in text for text in texts)


@pytest.mark.parametrize("source", sorted(USUAL), indirect=True)
def test_a_budget_that_cannot_end_is_not_counted(source: RunSource) -> None:
    counted = [text for text, _ in source.lines if "ticks" in text]
    assert not counted, counted


@pytest.mark.parametrize("source", ["shaper"], indirect=True)
def test_programs_ask_the_variable_what_time_it_is(source: RunSource) -> None:
    read = [text for text, _ in source.lines if ".clock" in text and ".clock = now" not in text]
    assert not read, read


@pytest.mark.parametrize("source", sorted(USUAL), indirect=True)
def test_what_is_usual_is_code(source: RunSource, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["source"]
    assert USUAL[name] == tuple(set(part) for site in source.sites for part in (site.usual, site.calls))


def test_packets_wait_for_their_time_in_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("other", "fruitless", "disposed"):
        monkeypatch.setattr(FusedRun, name, lambda run, *_, name=name: called.append(name) or True)
    flows = ["cbr:rate=4mbit,size=1000b,packets=40"]
    shaper = set_variables(load(SAMPLES / "shaper.o"), {"burst": 1600})
    runs = [simulate(shaper, flows=flows, rate="10mbit", engine=engine) for engine in ("fused", "translate")]
    assert not called
    assert runs[0] == runs[1]
    assert runs[0].kernel_view.overlimits > 10


def test_the_limit_of_events_ends_a_fused_run_where_it_ends_others() -> None:
    flows = ["cbr:rate=4mbit,size=100b,n=4,stop=2s"]
    ends = []
    for engine in ("fused", "translate"):
        with pytest.raises(LimitError) as raised:
            simulate(load(SAMPLES / "pfifo.o"), flows=flows, rate="10mbit", engine=engine,
                     limits=Limits(events=52_000))
        ends.append((str(raised.value), raised.value.result.in_packets, raised.value.result.out_packets))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("record", [False, True])
def test_packets_that_have_left_are_used_again_unless_somebody_keeps_them(record: bool) -> None:
    live: list[list[RefCounted]] = []

    def look(simulation: Simulation) -> None:
        live.append([packet for packet in simulation.kernel.refs.born if isinstance(packet, Packet)])

    def prepare(scene: Scene) -> None:
        scene.simulation.loop.at(BOOT_NS + 30_000_000, look, scene.simulation)

    wfq = set_variables(load(SAMPLES / "wfq.o"), {"flow_limit": 3})
    flows = ["cbr:rate=4mbit,size=1000b,n=4,packets=40"]
    result = simulate(wfq, flows=flows, rate="10mbit", engine="fused", record=record, prepare=prepare)
    (born,) = live
    assert (len(born) > 50) is record
    # Who has seen packets in mid-run keeps them as they are.
    assert len({packet.serial for packet in born}) == len(born)
    assert all(packet.flow.source.account.in_packets == result.in_packets for packet in born)


@pytest.mark.parametrize("source", ["wfq"], indirect=True)
def test_the_flow_hash_is_computed_once_for_each_flow(source: RunSource, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    compute = skb_meta.hash_of
    monkeypatch.setattr(skb_meta, "hash_of", lambda skb: hashed.append(skb) or compute(skb))
    simulate(load(SAMPLES / "wfq.o"), flows=["cbr:rate=4mbit,size=100b,n=3,packets=9"], rate="1mbit", engine="fused")
    assert len(hashed) == 3
    assert "flow.frame_hash or HASHED" in source.code


def test_an_event_of_a_user_comes_after_a_departure_that_was_planned_before() -> None:
    """Both are at the same time, and nothing has arrived since an event before both."""
    seen: dict[str, list[int]] = {"translate": [], "fused": []}
    for engine, sent in seen.items():
        def prepare(scene: Scene, sent: list[int] = sent) -> None:
            loop, account = scene.simulation.loop, scene.simulation.account

            def plan(_: object) -> None:
                loop.at(BOOT_NS + 9_000_000, lambda _: sent.append(account.sent))

            loop.at(BOOT_NS + 7_500_000, str)
            loop.at(BOOT_NS + 8_500_000, plan)

        simulate(load(SAMPLES / "pfifo.o"), flows=["cbr:rate=80mbit,packets=20,n=2"], rate="8mbit", engine=engine,
                 prepare=prepare)
    assert seen["fused"] == seen["translate"] == [9]


def test_dequeue_may_return_one_of_several_packets() -> None:
    """The one store to ctx->skb has an address, which is that of a packet that is known on each way to it."""
    made: list[tuple[str, Any]] = []
    for engine in ("translate", "fused"):
        found: list[Simulation] = []
        result = simulate(load(Path(__file__).parent / "objects" / "either.o"), rate="1mbit", engine=engine,
                          flows=["cbr:rate=1mbit,size=100b,packets=30", "cbr:rate=1mbit,size=101b,packets=30"],
                          prepare=lambda scene, found=found: found.append(scene.simulation))
        made.append((found[0].unfused, result.as_dict()))
    assert made[0][1] == made[1][1] and made[1][0] == "" and made[1][1]["out_packets"] == 60
