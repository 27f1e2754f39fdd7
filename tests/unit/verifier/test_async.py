"""Callbacks that run later, and tail calls out of functions."""

from __future__ import annotations

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.loader.object import MapSpec, Program
from tests.unit.verifier.build import MAPS, OUT, Fn, build, message

END = "r0 = 0\nexit\n"
VALUE = "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\nif r0 == 0 goto out\nr7 = r0\n"
SET = "r1 = r7\nr2 = @cb\ncall 170\n"


def timed(text: str, *functions: Fn) -> Program:
    """A map whose values begin with a timer."""
    b = BtfBuilder()
    u64, u32 = b.integer("unsigned long long", 8), b.integer("unsigned int", 4)
    timer = b.add(t.Struct("bpf_timer", 16, (t.Member("a", u64, 0), t.Member("b", u64, 64))))
    value = b.struct("value", [("timer", timer), ("x", u64)])
    spec = MapSpec("array", 4, 24, 2, name="timers", btf=b.btf(), key_type=u32, value_type=value)
    return build(text, *functions, maps=(spec, *MAPS), builder=b)


def callback(text: str) -> Fn:
    return Fn("cb", text, ("int", "int", "int"), static=True)


@pytest.mark.parametrize("version", [(6, 18), (7, 2)])
@pytest.mark.parametrize(("body", "text"), [
    (END, ""),
    ("*(u64 *)(r3 + 16) = 1\n" + END, ""),
    ("r0 = *(u32 *)(r2 + 0)\nr0 = 0\nexit\n", ""),
    ("r1 = r3\nr2 = 1000\nr3 = 0\ncall 171\n" + END, ""),
    ("r1 = r3\nr2 = @cb\ncall 170\n" + END, ""),  # one that sets itself again
    ("r0 = 1\nexit\n", "At async callback return the register R0 has smin=1 smax=1 should have been in [0, 0]"),
    ("*(u64 *)(r3 + 0) = 1\n" + END, "bpf_timer cannot be accessed directly by load/store"),
    ("*(u64 *)(r2 + 0) = 1\n" + END, "write to change key R2 not allowed"),
    ("exit\n", "R0 !read_ok"),
])
def test_timer_callback(body: str, text: str, version: tuple[int, int]) -> None:
    assert message(timed(VALUE + SET + OUT, callback(body)), version) == text


def test_endless_loop_in_a_callback() -> None:
    assert message(timed(VALUE + SET + OUT, callback("goto -1\n" + END))).startswith("unreachable insn")
    loop = "r6 = 0\nr0 = 0\nif r6 == 0 goto -1\n" + END
    assert message(timed(VALUE + SET + OUT, callback(loop))).startswith("infinite loop detected at insn")


def test_where_a_timer_is() -> None:
    init = "r2 = map[id:0]\nr3 = 1\ncall 169\n"
    assert message(timed(VALUE + "r1 = r7\n" + init + OUT)) == ""
    assert message(timed(VALUE + "r1 = r7\nr1 += 16\n" + init + OUT)) \
        == "off 16 doesn't point to 'struct bpf_timer' that is at 0"
    assert message(timed("r1 = r10\n" + init + END)) == "R1 type=fp expected=map_value"
    assert message(timed(VALUE + "r1 = r7\nr2 = map[id:2]\nr3 = 1\ncall 169\n" + OUT)) \
        == "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0"


def test_tail_calls_of_functions() -> None:
    def deep(bytes_: int) -> Program:
        return build(f"r6 = r1\n*(u64 *)(r10 - {bytes_}) = 0\ncall @sub\n" + END,
                     Fn("sub", "r2 = map[id:2]\nr3 = 0\ncall 12\n" + END, ("ptr",), static=True))
    assert message(deep(200)) == ""
    assert message(deep(256)).startswith("tail_calls are not allowed when call stack of previous frames is 256 bytes")
