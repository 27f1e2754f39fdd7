"""Damaged objects give a LoadError and nothing else, and memory stays in proportion to the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.btf import Btf, record_of
from ebpfvm.contract import Dialect
from ebpfvm.dialects import linux
from ebpfvm.errors import LoadError
from ebpfvm.loader import load
from ebpfvm.loading import prepare

ROOT = Path(__file__).parents[3]
OBJECTS = {path.relative_to(ROOT).as_posix(): path.read_bytes()
           for folder in (ROOT / "samples", Path(__file__).parent / "objects") for path in sorted(folder.rglob("*.o"))}
KERNELS = (linux(), linux().with_types(load(OBJECTS["tests/unit/loader/objects/coretarget.o"]).btf or Btf()))
EXTREME = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 40,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An object with some bytes flipped, some words made extreme, and perhaps its end cut off."""
    data = bytearray(OBJECTS[draw(st.sampled_from(sorted(OBJECTS)))])
    # Half of the damage goes to what others depend on: the ELF header and the section table at the end.
    table = st.integers(max(0, len(data) - 64 * 40), len(data) - 1)
    place = st.one_of(st.integers(0, len(data) - 1), st.integers(0, 63), table)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(place)] ^= draw(st.integers(1, 255))
    for _ in range(draw(st.integers(0, 2))):
        size = draw(st.sampled_from([1, 2, 4, 8]))
        at = min(draw(place), len(data) - size) // size * size
        word = draw(st.sampled_from(EXTREME)) & (1 << 8 * size) - 1
        data[at:at + size] = word.to_bytes(size, "little")
    return bytes(data[:draw(st.integers(0, len(data)))]) if draw(st.integers(0, 3)) == 0 else bytes(data)


@settings(deadline=None, max_examples=400)
@given(damaged(), st.sampled_from(KERNELS))
def test_damage_never_does_more_than_a_load_error(data: bytes, kernel: Dialect) -> None:
    try:
        found = load(data)
    except LoadError as error:
        assert str(error)
        return
    for program in found.programs.values():
        try:
            prepare(program, kernel)
        except LoadError as error:
            assert str(error)
        assert all(0 <= insn.imm < len(program.maps) for insn in program.insns
                   if insn.code == 0x18 and insn.src in (1, 2) and program.maps)
    for spec in found.maps.values():
        if spec.btf is not None and spec.value_type:
            record_of(spec.btf, spec.value_type)


def test_an_object_cut_short_at_any_byte_is_refused() -> None:
    data = OBJECTS["tests/unit/loader/objects/nobtf.o"]
    for end in range(len(data)):
        try:
            load(data[:end])
        except LoadError:
            continue
        raise AssertionError(f"cut at {end} was taken")


@settings(deadline=None, max_examples=40)
@given(damaged())
def test_memory_stays_in_proportion_to_the_file(data: bytes) -> None:
    load_once = OBJECTS["tests/unit/loader/objects/nobtf.o"]
    load(load_once)  # imports are not part of the bill
    tracemalloc.start()
    try:
        load(data)
    except LoadError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4_000_000 + 100 * len(data)
