"""A program that stays loaded: packets in sequence, maps by name, a clock, hooks."""

from __future__ import annotations

import pytest

import ebpfvm
from ebpfvm.engine import Hooks
from ebpfvm.errors import UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.testrun import Session

COUNT = """
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map[id:0] ll
    call 1
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r0 = *(u64 *)(r0 + 0)
out:
    exit"""
ENGINES = pytest.mark.parametrize("engine", ["interp", "translate"])


def program(text: str, *maps: ebpfvm.MapSpec) -> ebpfvm.Program:
    return ebpfvm.Program.from_bytes(encode(assemble(text)), type="sched_cls", license="GPL", maps=maps)


def counter(engine: str = "interp", **more: object) -> Session:
    spec = ebpfvm.MapSpec(type="array", key_size=4, value_size=8, max_entries=1, name="packets")
    return Session(program(COUNT, spec), engine=engine, **more)  # type: ignore[arg-type]


@ENGINES
def test_packets_in_sequence_share_the_maps(engine: str) -> None:
    session = counter(engine, maps={"packets": {bytes(4): (10).to_bytes(8, "little")}})
    assert [session.run(bytes(64)).retval for _ in range(3)] == [11, 12, 13]
    assert session.maps["packets"][bytes(4)] == session.maps[0][bytes(4)] == (13).to_bytes(8, "little")
    session.map("packets").sys_update(bytes(4), bytes(8))
    assert session.run(bytes(64)).retval == 1


@ENGINES
def test_the_clock_moves_with_wait_only(engine: str) -> None:
    session = Session(program("call 5\nexit"), engine=engine, clock="2s")
    assert session.run().retval == session.run().retval == 2_000_000_000
    session.wait("5us")
    assert (session.run().retval, session.clock) == (2_000_005_000, 2_000_005_000)


def test_each_run_has_its_own_trace() -> None:
    session = Session(program("""
        r1 = 0x0a6968
        *(u64 *)(r10 - 8) = r1
        r1 = r10
        r1 += -8
        r2 = 4
        call 6
        exit"""))
    assert [session.run().trace for _ in range(2)] == [("hi",), ("hi",)]


def test_hooks_see_every_instruction() -> None:
    class Watch(Hooks):
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def before(self, run: object, pc: int, regs: list[int]) -> None:
            self.seen.append((pc, regs[0]))

    watch = Watch()
    session = Session(program("r0 = 3\nr0 += 4\nexit"), hooks=watch)
    assert session.run().retval == 7
    assert [pc for pc, _ in watch.seen] == [0, 1, 2]
    assert watch.seen[1:] == [(1, 3), (2, 7)]
    with pytest.raises(UsageError, match=r"^hooks: expected Hooks"):
        Session(program("r0 = 3\nexit"), hooks=print)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^hooks: the engine translate does not support them"):
        Session(program("r0 = 3\nexit"), hooks=watch, engine="translate")


@pytest.mark.parametrize("options", [{"data": "x"}, {"data": bytes(3)}, {"ctx": 3}, {"repeat": 0}])
def test_a_run_names_the_argument_that_is_wrong(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options)) if len(str(options)) < 20 else "packet of 3 bytes"):
        counter().run(**options)  # type: ignore[arg-type]


def test_maps_of_a_run_go_by_index_and_by_name() -> None:
    maps = counter().run().maps
    assert list(maps) == [0] and len(maps) == 1
    assert maps[0] == maps["packets"] == {bytes(4): (1).to_bytes(8, "little")}
    for which in (1, -1, "flows"):
        with pytest.raises(KeyError, match="no map"):
            maps[which]
    assert repr(maps).startswith("MapViews({0: MapView({b'")
