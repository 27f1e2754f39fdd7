"""Values that are lists of numbers behave as bytes do: in both engines, for every access, and for user space."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.errors import Fault
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.kernel.memory import Region
from ebpfvm.kernel.typed_values import TypedValue, ValueShape, typed_value
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map
from ebpfvm.maps.value_types import shape_of
from tests.unit.verifier.build import Fn, build

TYPES = ("array", "percpu_array", "hash", "lru_hash", "percpu_hash", "rbtree")
PARTS = ((0, 8), (8, 4), (12, 2), (14, 1), (15, 1), (16, 8), (24, 1), (25, 1), (26, 2), (28, 4))
SIZE = 32
SIZES = st.sampled_from([1, 2, 4, 8])


def value_type(b: BtfBuilder) -> int:
    """Numbers of all sizes, with padding between and after them."""
    numbers = {size: b.integer(f"u{8 * size}", size) for size in (1, 2, 4, 8)}
    inner = b.struct("inner", [("c", numbers[2]), ("d", numbers[1])])
    return b.struct("outer", [("a", numbers[8]), ("b", numbers[4]), ("in", inner),
                              ("e", numbers[8]), ("f", numbers[1])])


def test_shapes_follow_from_types() -> None:
    b = BtfBuilder()
    value = value_type(b)
    word, byte = b.integer("word", 4), b.integer("byte", 1)
    array = b.add(t.Array(byte, word, 4))
    either = b.add(t.Union("either", 4, (t.Member("a", word, 0), t.Member("b", byte, 0))))
    bits = b.add(t.Struct("bits", 4, (t.Member("a", word, 0, 3),)))
    btf = b.btf()
    shape = shape_of(btf, value, SIZE)
    assert shape is not None and [part for part in shape.parts if part[0] < 16] == [(0, 8), (8, 4), (12, 2), (14, 1),
                                                                                  (15, 1)]
    assert sum(size for _, size in shape.parts) == SIZE
    assert all(shape_of(btf, other, 4) is None for other in (array, either, bits))
    assert shape_of(btf, word, 4) is not None and shape_of(btf, word, 8) is not None
    assert shape_of(None, word, 4) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(-2, SIZE), SIZES, st.integers(0, (1 << 64) - 1)), max_size=20))
def test_a_typed_value_is_a_region(accesses: list[tuple[bool, int, int, int]]) -> None:
    kernel = Kernel(rfc6())
    plain = kernel.memory.add("map_value", bytes(SIZE), name="v")
    owner = SimpleNamespace(kernel=kernel, holder="v", shape=ValueShape(PARTS))
    typed = typed_value(owner, [0] * len(PARTS))

    def answer(region: Region, writes: bool, off: int, size: int, value: int) -> object:
        try:
            return region.store(off, size, value) if writes else region.load(off, size)
        except Fault as fault:
            return str(fault)
    for access in accesses:
        assert answer(plain, *access) == answer(typed, *access)
        assert typed.data == plain.data == typed.read(0, SIZE)


# -- programs -----------------------------------------------------------------------------------------------------

OPERATIONS = st.one_of(
    st.tuples(st.just("load"), st.integers(0, SIZE), SIZES),
    st.tuples(st.just("store"), st.integers(0, SIZE), SIZES),
    st.tuples(st.just("constant"), st.integers(0, SIZE), SIZES),
    st.tuples(st.just("atomic"), st.integers(0, SIZE), st.sampled_from([4, 8])),
    st.tuples(st.just("variable"), st.integers(0, SIZE - 8), SIZES),
    st.tuples(st.sampled_from(["copy", "delete", "update", "walk", "escape"]), st.just(0), st.just(0)),
)
UPDATE = "r2 = r10\nr2 += -8\nr1 = map[id:0]\nr4 = 0\ncall 2\n"


def operation(kind: str, off: int, size: int) -> str:
    off, width = min(off, SIZE - size), f"u{8 * size}"
    if kind == "load":
        return f"r1 = *({width} *)(r7 + {off})\nr8 *= 31\nr8 ^= r1\n"
    if kind == "store":
        return f"*({width} *)(r7 + {off}) = r8\n"
    if kind == "constant":
        return f"*({width} *)(r7 + {off}) = -3\n"
    if kind == "atomic":
        return f"r1 = r8\nr1 = atomic_fetch_add(({width} *)(r7 + {off}), r1)\nr8 ^= r1\n"
    if kind == "variable":
        move = f"r2 = r8\nr2 &= 7\nr1 = r7\nr1 += r2\nr3 = *({width} *)(r1 + {off - off % 8})\nr8 += r3\n"
        return move if off + 7 + size <= SIZE and off % 8 + size <= 8 else ""
    if kind == "copy":
        return "r1 = 1\n*(u64 *)(r10 - 8) = r1\nr3 = r7\n" + UPDATE + "r8 += r0\nr1 = 0\n*(u64 *)(r10 - 8) = r1\n"
    if kind == "delete":
        return "r2 = r10\nr2 += -8\nr1 = map[id:0]\ncall 3\nr8 += r0\n"
    if kind == "update":
        return "*(u32 *)(r10 - 32) = r8\nr3 = r10\nr3 += -40\n" + UPDATE + "r8 += r0\n"
    if kind == "walk":
        return "r1 = map[id:0]\nr2 = @visit\nr3 = r10\nr3 += -48\nr4 = 0\ncall 164\nr8 += r0\n"
    return "*(u64 *)(r10 - 56) = r7\nr1 = *(u64 *)(r10 - 56)\nr1 = *(u32 *)(r1 + 14)\nr8 ^= r1\n"


def program(operations: list[tuple[str, int, int]], spec: MapSpec, builder: BtfBuilder) -> Program:
    body = "".join(operation(*item) for item in operations)
    text = ("r8 = 0x1234567\nr1 = 0\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 48) = r1\n"
            "r1 = 0x11223344\nr1 *= 0x7654321\n*(u64 *)(r10 - 40) = r1\n"
            "*(u64 *)(r10 - 32) = r1\n*(u64 *)(r10 - 24) = r1\n"
            "*(u64 *)(r10 - 16) = r1\n*(u16 *)(r10 - 27) = 7\nr3 = r10\nr3 += -40\n" + UPDATE
            + "r2 = r10\nr2 += -8\nr1 = map[id:0]\ncall 1\nif r0 == 0 goto out\nr7 = r0\n" + body
            + "out:\nr0 = r8\nexit\n")
    visit = Fn("visit", "r1 = *(u16 *)(r3 + 11)\nr5 = *(u64 *)(r4 + 0)\nr5 ^= r1\n*(u64 *)(r4 + 0) = r5\n"
                        "*(u8 *)(r3 + 25) = r5\nr0 = 0\nexit\n", ("ptr",) * 4, static=True)
    walks = [visit] if "@visit" in body else []
    return build(text, *walks, maps=(spec,), builder=builder)


def outcome(engine: Any, found: Program) -> tuple[object, list[tuple[bytes, bytes]], int]:
    kernel = Kernel(rfc6())
    bpf_map = make_map(kernel, found.maps[0])
    run = engine.load(LoadedProgram(kernel, found, [bpf_map], facts=()))
    results: list[object] = []
    for _ in range(2):  # user space changes a value between the runs
        try:
            results.append(run(SkbCtx(kernel, SkBuff(kernel, bytes(60)))))
        except Fault as fault:
            results.append((fault.kind, fault.pc))
        key = bytes(bpf_map.key_size)
        bpf_map.sys_update(key, bytes(range(SIZE)))
    return results, list(bpf_map.items()), kernel.memory.map_bytes


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_programs_see_the_same_value(kind: str, operations: list[tuple[str, int, int]]) -> None:
    builder = BtfBuilder()
    key, value = builder.integer("key", 4), value_type(builder)
    spec = MapSpec(kind, 4, SIZE, 3, name="m", btf=builder.btf(), key_type=key, value_type=value)
    typed = program(operations, spec, builder)
    plain = replace(typed, maps=(replace(spec, btf=None, key_type=0, value_type=0),))
    made = make_map(Kernel(rfc6()), spec)
    made.sys_update(bytes(4), bytes(SIZE))
    assert isinstance(made.find(bytes(4)), TypedValue)
    expected = outcome(Interpreter(), plain)
    assert outcome(Interpreter(), typed) == expected
    assert outcome(Translator(), plain) == expected
    assert outcome(Translator(), typed) == expected
