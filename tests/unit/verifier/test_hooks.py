"""What depends on a program's type and hook: results of system calls, maps that it may name, programs that sleep.

Linux 6.18 and 7.2 gave these answers to programs that were loaded with the attach types in question.
"""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify

OLD, NEW = (6, 18), (7, 2)
SLEEPABLE = 1 << 4
NOT_SLEEPING = "Sleepable programs can only use array, hash, ringbuf and local storage maps"


def judge(text: str, type: str, version: tuple[int, int], **more: Any) -> tuple[int, str]:
    verdict = verify(Program("p", tuple(assemble(text)), type, license="GPL", **more), linux(version))
    return verdict.errno, verdict.message


@pytest.mark.parametrize(("value", "message"), [
    ("r1 = 0", ""), ("r1 = -4095", ""), ("call 7\nr1 = r0\nr1 &= 1\nr1 = -r1", ""),
    ("r1 = 1", "At bpf_set_retval the register R1 has smin=1 smax=1 should have been in [-4095, 0]"),
    ("r1 = -4096", "At bpf_set_retval the register R1 has smin=-4096 smax=-4096 should have been in [-4095, 0]"),
    ("call 7\nr1 = r0", "At bpf_set_retval the register R1 has unknown scalar value should have been in [-4095, 0]"),
    ("r1 = r10", "R1 is not a scalar"),
])
def test_set_retval_takes_what_a_system_call_gives_since_7(value: str, message: str) -> None:
    text = f"{value}\ncall 187\nr0 = 1\nexit"
    assert judge(text, "cgroup_sock_addr", NEW, attach="bind4") == (22 if message else 0, message)
    assert judge(text, "cgroup_sock_addr", OLD, attach="bind4") == (0, "")


def test_retval_is_for_some_hooks_only() -> None:
    text = "call 186\nr0 = 1\nexit"
    assert judge(text, "cgroup_sock_addr", OLD, attach="cgroup/connect6") == (0, "")
    refused = (22, "program of this type cannot use helper bpf_get_retval#186")
    assert judge(text, "cgroup_sock_addr", OLD, attach="recvmsg4") == refused
    assert judge(text, "cgroup_skb", OLD, attach="egress") == refused


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(("type", "number"), [("tracepoint", 5), ("perf_event", 7), ("raw_tracepoint", 17)])
def test_an_address_of_a_function_needs_one(type: str, number: int, version: tuple[int, int]) -> None:
    message = f"func bpf_get_func_ip#173 not supported for program type {number}"
    assert judge("call 173\nr0 = 0\nexit", type, version) == (524, message)
    assert judge("call 173\nr0 = 0\nexit", "kprobe", version) == (0, "")


def test_programs_of_types_that_cannot_sleep() -> None:
    old = "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
    text = "r0 = 0\nexit"
    assert judge(text, "xdp", OLD, flags=SLEEPABLE) == (22, old)
    assert judge(text, "xdp", NEW, flags=SLEEPABLE) == (22, "Program of this type cannot be sleepable")
    assert judge(text, "syscall", NEW) == (22, "Syscall programs can only be sleepable")
    assert judge(text, "syscall", NEW, flags=SLEEPABLE) == (0, "")
    # Instructions that only the walk would refuse come later on 6.18.
    assert judge("r0 = 0\nexit", "xdp", OLD, flags=SLEEPABLE, maps=())[1] == old


@pytest.mark.parametrize("type", ["lsm", "ext", "lirc_mode2"])
def test_types_that_are_not_modelled_are_refused_as_such(type: str) -> None:
    assert judge("r0 = 0\nexit", type, NEW)[1] == f"program type {type} not supported by ebpfvm"


def test_tracing_programs_by_their_use() -> None:
    text = "call 7\nexit"
    refused = "At program exit the register R0 has unknown scalar value should have been in "
    assert judge(text, "tracing", NEW, attach_type="trace_fentry") == (22, refused + "[0, 0]")
    assert judge(text, "tracing", NEW, attach_type="trace_iter") == (22, refused + "[0, 1]")
    assert judge(text, "tracing", NEW, attach_type="trace_raw_tp") == (0, "")
    assert "not supported by ebpfvm" in judge(text, "tracing", NEW, attach_type="modify_return")[1]
    assert "not supported by ebpfvm" in judge(text, "tracing", NEW, attach_type="trace_fentry", flags=SLEEPABLE)[1]
    assert "not supported by ebpfvm" in judge(text, "tracing", NEW)[1]


def maps() -> dict[str, MapSpec]:
    builder = BtfBuilder()
    u32, u64 = builder.integer("unsigned int", 4), builder.integer("unsigned long long", 8)
    fields = {"spin_lock": builder.struct("bpf_spin_lock", [("val", u32)]),
              "timer": builder.struct("bpf_timer", [("a", u64), ("b", u64)]),
              "wq": builder.struct("bpf_wq", [("a", u64), ("b", u64)])}
    values = {name: builder.struct(f"v_{name}", [("f", field), ("x", u64)]) for name, field in fields.items()}
    btf = builder.btf()
    return {name: MapSpec("array", 4, btf.size_of(value), 1, name=name, btf=btf, key_type=u32, value_type=value)
            for name, value in values.items()}


@pytest.mark.parametrize("field", ["spin_lock", "timer", "wq"])
def test_tracing_programs_may_not_name_maps_with_locks(field: str) -> None:
    text, used = "r1 = map[id:0]\nr0 = 0\nexit", (maps()[field],)
    barred = (22, f"tracing progs cannot use bpf_{field} yet")
    for type in ("kprobe", "tracepoint", "perf_event", "raw_tracepoint"):
        assert judge(text, type, OLD, maps=used) == barred
        assert judge(text, type, NEW, maps=used) == (barred if field == "spin_lock" else (0, ""))
    assert judge(text, "sched_cls", OLD, maps=used) == (0, "")


def test_a_map_is_judged_where_it_is_named() -> None:
    lock = (maps()["spin_lock"],)
    barred = (22, "socket filter progs cannot use bpf_spin_lock yet")
    assert judge("r1 = map[id:0]\nr0 = 0\nexit", "socket_filter", NEW, maps=lock) == barred
    assert judge("r0 = 0\nexit", "socket_filter", NEW, maps=lock) == (0, "")


@pytest.mark.parametrize(("type", "shape", "old", "new"), [
    ("hash", (4, 8, 1), True, True), ("ringbuf", (0, 0, 4096), True, True), ("lpm_trie", (8, 8, 1, 1), False, True),
    ("devmap", (4, 4, 1), False, False), ("bloom_filter", (0, 8, 1), False, False), ("queue", (0, 8, 1), True, True),
    ("stack_trace", (4, 8, 1), False, False), ("sockhash", (4, 4, 1), False, False)])
def test_maps_of_programs_that_sleep(type: str, shape: tuple[int, ...], old: bool, new: bool) -> None:
    used = (MapSpec(type, *shape, name="m"),)
    for version, good in ((OLD, old), (NEW, new)):
        answer = judge("r1 = map[id:0]\nr0 = 0\nexit", "syscall", version, maps=used, flags=SLEEPABLE)
        assert answer == ((0, "") if good else (22, NOT_SLEEPING))


@pytest.mark.parametrize(("type", "good"), [("sched_cls", True), ("sock_ops", True), ("cgroup_sock", False)])
def test_who_may_take_a_socket_out_of_a_map(type: str, good: bool) -> None:
    text = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 3\nr0 = 1\nexit"
    used = (MapSpec("sockmap", 4, 4, 4, name="m"),)
    message = "" if good else "cannot pass map_type 15 into func bpf_map_delete_elem#3"
    assert judge(text, type, NEW, maps=used) == (0 if good else 22, message)
