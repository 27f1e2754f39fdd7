"""What bodies of helpers and kfuncs receive, by contract."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.contract import CtxField, helper, kfunc
from ebpfvm.contract.args import (
    Anything,
    ConstSize,
    ConstSizeOrZero,
    Ctx,
    Integer,
    MapKey,
    MapPtr,
    MapValue,
    Mem,
    MemOrNull,
    UninitMapValue,
    UninitMem,
)
from ebpfvm.contract.helper import Helper
from ebpfvm.errors import Fault
from ebpfvm.isa.insn import Insn
from ebpfvm.kernel import BytesCtx, CallEnv, Kernel, LoadedProgram, SchBpfCtx, SkBuff
from ebpfvm.kernel.convert import helper_call, kfunc_call
from ebpfvm.kernel.layouts import Layout
from ebpfvm.loader.object import Program

U64 = (1 << 64) - 1


class Map:
    key_size, value_size = 4, 8

    def __init__(self, kernel: Kernel) -> None:
        self.region = kernel.memory.add("map", b"", owner=self)


@pytest.fixture
def env() -> CallEnv:
    kernel = Kernel()
    prog = LoadedProgram(kernel, Program("p", (Insn(0xB7), Insn(0x95))))
    return CallEnv(prog, BytesCtx(kernel, bytes(8)))


def test_maps_keys_and_values(env: CallEnv) -> None:
    got: list[Any] = []

    @helper()
    def take(env: CallEnv, bpf_map: MapPtr, key: MapKey, value: MapValue, out: UninitMapValue,
             flags: Anything) -> Integer:
        got.extend([bpf_map, key, value, out, flags])
        return -2

    call = helper_call(take)
    bpf_map = Map(env.kernel)
    memory = env.memory.add("mem", bytes(range(16)))
    result = call(env, bpf_map.region.base, memory.base + 1, memory.base + 8, memory.base, 7)
    assert result == U64 - 1
    assert got == [bpf_map, bytes([1, 2, 3, 4]), bytes(range(8, 16)), memory.base, 7]
    for wrong in (memory.base, bpf_map.region.base + 8, 0):
        with pytest.raises(Fault):
            call(env, wrong, memory.base, memory.base, 0, 0)
    with pytest.raises(Fault, match="offset 9 of mem region"):
        call(env, bpf_map.region.base, memory.base, memory.base + 9, 0, 0)


def test_memory_and_its_size(env: CallEnv) -> None:
    got: list[Any] = []

    @helper()
    def take(env: CallEnv, a: Mem, n: ConstSize, b: MemOrNull, m: ConstSizeOrZero, c: UninitMem) -> Integer:
        got.extend([a, n, b, m, c])
        return 0

    call = helper_call(take)
    memory = env.memory.add("mem", bytes(range(16)))
    call(env, memory.base, 3, 0, 0, memory.base)
    call(env, memory.base, 0, memory.base + 15, 1, 0)
    assert got == [b"\0\1\2", 3, b"", 0, memory.base, b"", 0, b"\x0f", 1, 0]
    with pytest.raises(Fault, match="NULL"):
        call(env, 0, 3, 0, 0, 0)
    with pytest.raises(Fault, match="read of 17 bytes"):
        call(env, memory.base, 17, 0, 0, 0)


def test_contexts_arrive_as_objects(env: CallEnv) -> None:
    got: list[Any] = []

    @helper()
    def take(env: CallEnv, ctx: Ctx) -> Integer:
        got.append(ctx)
        return 0

    call = helper_call(take)
    skb = SkBuff(env.kernel, b"abc")
    qdisc = SchBpfCtx(env.kernel, Layout("sch_bpf_ctx", [CtxField("skb", 0, 8, access="skb")]))
    qdisc.prepare(skb, 0)
    call(env, env.ctx.region.base)
    call(env, skb.ptr)
    call(env, qdisc.region.base)
    assert got == [env.ctx, skb, skb]
    qdisc.prepare(None, 0)
    plain = env.memory.add("mem", bytes(8))
    for wrong in (0, plain.base, qdisc.region.base, skb.ptr + 8):
        with pytest.raises(Fault):
            call(env, wrong)


def test_kfuncs_by_prototype(env: CallEnv) -> None:
    got: list[Any] = []

    @kfunc("int take(struct sk_buff *skb__nullable, u32 a, s16 b, void *p, struct sk_buff **pp)")
    def take(env: CallEnv, skb: object, a: int, b: int, p: int, pp: int) -> int:
        got.extend([skb, a, b, p, pp])
        return -1

    call = kfunc_call(take)
    skb = SkBuff(env.kernel, b"")
    assert call(env, skb.ptr, 0x1_0000_0005, 0xFFFE, 77, skb.ptr) == U64
    assert call(env, 0, 1, 0x7FFF, 0, 0) == U64
    assert got == [skb, 5, -2, 77, skb.ptr, None, 1, 0x7FFF, 0, 0]


def test_what_has_no_body_says_so(env: CallEnv) -> None:
    bodiless = Helper("bpf_nothing", (), Integer.__metadata__[0], None)  # type: ignore[attr-defined]
    with pytest.raises(Fault, match="helper bpf_nothing is not supported by ebpfvm") as caught:
        helper_call(bodiless)(env, 1, 2, 3, 4, 5)
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize("count", range(4))
def test_plain_numbers(env: CallEnv, count: int) -> None:
    @helper()
    def none(env: CallEnv) -> Integer:
        return 1

    @helper()
    def one(env: CallEnv, a: Anything) -> Integer:
        return a

    @helper()
    def two(env: CallEnv, a: Anything, b: Anything) -> Integer:
        return a + b

    @helper()
    def three(env: CallEnv, a: Anything, b: Anything, c: Anything) -> Integer:
        return a + b + c

    assert helper_call((none, one, two, three)[count])(env, 1, 2, 4, 8, 16) == (1, 1, 3, 7)[count]
