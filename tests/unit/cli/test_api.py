from __future__ import annotations

from pathlib import Path

import pytest

import ebpfvm
from ebpfvm import api
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.loader.object import MapSpec, Object, Program
from ebpfvm.sched.pcap import read_capture

ROOT = Path(__file__).parents[3]
PFIFO = ROOT / "samples" / "rfc" / "pfifo.o"
EXIT = bytes.fromhex("b700000000000000 9500000000000000")


def program(name: str, type: str = "qdisc", attach: str = "", maps: tuple[MapSpec, ...] = ()) -> Program:
    return Program.from_bytes(EXIT, type, maps, name=name, attach=attach)


def object_of(*programs: Program) -> Object:
    return Object("made.o", {item.name: item for item in programs}, {}, "GPL", None)


@pytest.mark.parametrize(("found", "kernel", "expected"), [
    (program("p"), None, ("rfc6", (7, 2))), (program("p"), "6.18", ("rfc6", (6, 18))),
    (program("p", "sched_cls"), None, ("linux", (7, 2))), (program("p", "sched_cls"), "6.18", ("linux", (6, 18))),
    (program("p", "sched_cls"), "rfc6", ("rfc6", (7, 2))),
    (program("p", "sched_cls", maps=(MapSpec("rbtree"),)), None, ("rfc6", (7, 2)))])
def test_the_dialect_follows_from_the_program(found: Program, kernel: str | None,
                                              expected: tuple[str, tuple[int, int]]) -> None:
    dialect = api.dialect_of(found, kernel)
    assert (dialect.name, dialect.version) == expected


def test_hooks_are_found_by_section_or_name() -> None:
    pair = program("in", attach="enqueue"), program("out", attach="dequeue")
    for source, options, message in (
            (object_of(program("x", "xdp")), {}, r"made\.o: no program in a section sch_bpf/enqueue .*; programs: x"),
            (object_of(), {}, "programs: none"),
            (object_of(*pair, program("in2", attach="enqueue")), {}, "several enqueue programs, name one of: in, in2"),
            (object_of(*pair), {"dequeue": "away"}, "no program 'away'; it has: in, out")):
        with pytest.raises(UsageError, match=message):
            api.simulate(source, flows=["cbr:rate=1mbit"], unverified=True, **options)  # type: ignore[arg-type]


def test_simulate_takes_numbers_or_words_and_objects_or_paths() -> None:
    capture = read_capture(str(ROOT / "samples" / "captures" / "mixed.pcap"))
    first = ebpfvm.simulate(PFIFO, pcap=capture, rate="4mbit", delay="1ms", duration="100ms", unverified=True)
    second = ebpfvm.simulate(ebpfvm.load(PFIFO), pcap=capture, rate=4_000_000, delay=1_000_000, duration=100_000_000,
                             unverified=True)
    assert first == second
    assert (first.duration, first.rate, first.delay) == (100_000_000, 4_000_000, 1_000_000)
    assert first.variables["pifo_len"] == first.truth.qlen


def test_nothing_to_send_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no traffic"):
        ebpfvm.simulate(PFIFO, unverified=True)


def test_a_map_that_the_kernel_refuses_is_a_load_error() -> None:
    maps = (MapSpec("array", key_size=3, value_size=4, max_entries=1, name="odd"),)
    source = object_of(program("in", attach="enqueue", maps=maps), program("out", attach="dequeue"))
    with pytest.raises(LoadError, match="map 'odd' of type array"):
        ebpfvm.simulate(source, flows=["cbr:rate=1mbit"], unverified=True)
    with pytest.raises(LoadError, match="map type 'blob' is not known"):
        Loaded(Kernel(api.dialect_of(program("p"))), open_engine("interp")).map(MapSpec("blob"))


def test_programs_share_maps_of_one_name() -> None:
    loaded = Loaded(Kernel(api.dialect_of(program("p"))), open_engine("interp"))
    spec = MapSpec("array", 4, 8, 1, name="shared")
    first, second = (loaded.program(program(name, maps=(spec,))) for name in ("a", "b"))
    assert first.prog.maps == second.prog.maps
    assert loaded.program(program("a")) is first


def test_engines_have_names() -> None:
    with pytest.raises(UsageError, match="engine 'magic': expected one of interp, translate"):
        open_engine("magic")


def test_an_object_with_several_programs_is_not_one_program() -> None:
    with pytest.raises(UsageError, match=r"holds 2 programs \(pfifo_enqueue, pfifo_dequeue\)"):
        ebpfvm.verify(PFIFO)


def test_a_verdict_that_is_known_is_not_asked_for_again() -> None:
    def judge(asked: Program) -> object:
        raise AssertionError("the verifier was asked")

    loaded = Loaded(Kernel(api.dialect_of(program("p", "sched_cls"))), open_engine("translate"), judge=judge)
    assert loaded.program(program("p", "sched_cls"), None) is loaded.programs["p"]
    verdict = ebpfvm.verify(program("q", "sched_cls"))
    assert type(loaded.program(program("q", "sched_cls"), verdict.facts)).__name__ == "TranslatedRun"
