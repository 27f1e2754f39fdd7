"""What translated code assumes of its maps: it is given up when it ceases to be so, and used while it is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import linux
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn as I
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map
from tests.unit.verifier.build import Fn, build

ENGINES = [Interpreter, Translator]


def pair(builder: BtfBuilder, first: int) -> int:
    """A type of 16 bytes: a number of `first` bytes, perhaps as an array of them, and another of eight."""
    long, part = builder.integer("unsigned long", 8), builder.integer("part", first)
    return builder.struct("pair", [("a", builder.add(t.Array(part, part, 8 // first))), ("b", long)]) if first < 8 \
        else builder.struct("pair", [("a", long), ("b", long)])


def inner(first: int) -> MapSpec:
    """An inner map whose values are lists of numbers if the first number has 8 bytes, and else bytes."""
    builder = BtfBuilder()
    key, value = builder.integer("key", 4), pair(builder, first)
    return MapSpec("hash", 4, 16, 4, name="inner", btf=builder.btf(), key_type=key, value_type=value)


OUTER = MapSpec("array_of_maps", 4, 4, 2, name="outer", inner=inner(8))
# outer[0][0]: a += 5, b = a; an element that is not there is made.
INNER = """
    *(u32 *)(r10 - 4) = 0
    r1 = map[id:0]
    r2 = r10
    r2 += -4
    call 1
    if r0 == 0 goto none
    r6 = r0
    r1 = r6
    r2 = r10
    r2 += -4
    call 1
    if r0 != 0 goto there
    *(u64 *)(r10 - 24) = 7
    *(u64 *)(r10 - 16) = 9
    r1 = r6
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -24
    r4 = 0
    call 2
    r0 = 1
    exit
there:
    r1 = *(u64 *)(r0 + 0)
    r1 += 5
    *(u64 *)(r0 + 0) = r1
    *(u64 *)(r0 + 8) = r1
    r0 = r1
    exit
none:
    r0 = 2
    exit
"""


@pytest.mark.parametrize("order", [(8, 8, 4, 8), (4, 8), (8, 4, 4)])
def test_inner_maps_whose_values_are_of_another_shape(order: tuple[int, ...]) -> None:
    """An inner map replaces another between runs; BTF may differ where the sizes do not."""
    def outcomes(engine: Any) -> list[object]:
        kernel = Kernel(linux())
        outer = make_map(kernel, OUTER)
        run = engine().load(LoadedProgram(kernel, build(INNER, maps=(OUTER,)), [outer], facts=()))
        ctx, found = SkbCtx(kernel, SkBuff(kernel, bytes(60))), list[object]()
        for first in order:
            made = make_map(kernel, inner(first))
            assert (getattr(made, "shape", None) is not None) == (first == 8)
            assert outer.put(bytes(4), made) == 0
            found.append([run(ctx), run(ctx), run(ctx), list(made.items())])
        return found

    assert outcomes(Translator) == outcomes(Interpreter)


def big(engine: Any, text: str) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Run a walk over ranks, whose keys are big-endian, with the callback `text`; r0 and the elements of both maps."""
    builder = BtfBuilder()
    key, long = builder.integer("key", 8), builder.integer("unsigned long", 8)
    spec = MapSpec("rbtree", 8, 8, 8, name="ranks", btf=builder.btf(), key_type=key, value_type=long)
    specs = (spec, replace(spec, name="more"))
    visit = Fn("visit", text, ("ptr",) * 4, static=True)
    found = build("*(u64 *)(r10 - 8) = 0\nr1 = map[id:0]\nr2 = @visit\nr3 = r10\nr3 += -8\nr4 = 0\ncall 164\n"
                  "r0 = *(u64 *)(r10 - 8)\nexit\n", visit, maps=specs, builder=builder)
    kernel = Kernel(rfc6())
    maps = [make_map(kernel, each) for each in specs]
    for rank in (3, 0x1234, 0xAB00000000000001, 0xFF00FF00FF00FF00):
        maps[0].sys_update(rank.to_bytes(8, "big"), rank.to_bytes(8, "little"))
    result = engine().load(LoadedProgram(kernel, found, maps, facts=()))(SkbCtx(kernel, SkBuff(kernel, bytes(60))))
    return result, [item for each in maps for item in each.items()]


@pytest.mark.parametrize("use", [
    "r5 = be64 r5\n", "r5 = be64 r5\nr5 >>= 56\n", "r5 >>= 56\n", "r5 >>= 48\n", "w5 >>= 24\n", "r5 s>>= 56\n",
    "r1 = r5\nr1 = be64 r1\nr5 += r1\n", "r5 = be32 r5\n", "r5 = be64 r5\nr5 = be64 r5\n",
    "r5 = be64 r5\nr5 += 1\nr5 = be64 r5\n", "*(u64 *)(r10 - 16) = r5\nr5 = *(u8 *)(r10 - 16)\n",
    "*(u64 *)(r10 - 16) = r5\nr5 = *(u64 *)(r10 - 16)\nr5 >>= 56\n"])
def test_bytes_that_are_reversed_twice(use: str) -> None:
    """What a walk loads from its key, swaps, shifts, and stores in the key of another map."""
    text = (f"r6 = r4\nr5 = *(u64 *)(r2 + 0)\n{use}r1 = *(u64 *)(r6 + 0)\nr1 *= 31\nr1 ^= r5\n*(u64 *)(r6 + 0) = r1\n"
            "*(u64 *)(r10 - 24) = r5\n*(u64 *)(r10 - 32) = r1\nr1 = map[id:1]\nr2 = r10\nr2 += -24\nr3 = r10\n"
            "r3 += -32\nr4 = 0\ncall 2\nr0 = 0\nexit\n")
    assert big(Translator, text) == big(Interpreter, text)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_in_read_only_data_are_known(engine: Any) -> None:
    """Each program has the numbers of its own object."""
    for number in (5, 0x123456789):
        spec = MapSpec("array", 4, 16, 1, name=".rodata", data=number.to_bytes(8, "little") + bytes(range(8)),
                       map_flags=0x80)
        text = "r0 = *(u64 *)(r1 + 0)\nr2 = *(u16 *)(r1 + 9)\nr0 += r2\nexit\n"
        code = I(0x18, 1, 2, 0, 0), I(0), *assemble(text)
        found = Program(name="prog", insns=code, maps=(spec,))
        kernel = Kernel(linux())
        run = engine().load(LoadedProgram(kernel, found, [make_map(kernel, spec)], facts=()))
        assert run(SkbCtx(kernel, SkBuff(kernel, bytes(60)))) == number + 0x0201
        source = getattr(run, "source", None)
        assert source is None or re.search(r"return (\w+)", source.code)[1] in (f"{number + 0x0201}",  # type: ignore[index]
                                                                                f"{number + 0x0201:#x}")
