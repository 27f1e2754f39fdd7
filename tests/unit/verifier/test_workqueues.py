"""Work queues in maps, and pointers to tasks and cgroups."""

from __future__ import annotations

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.loader.object import MapSpec, Program
from tests.unit.verifier.build import OUT, Fn, build, message

END = "r0 = 0\nexit\n"
VALUE = "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\nif r0 == 0 goto out\nr7 = r0\n"
INIT = "r2 = map[id:{}]\nr3 = 0\ncall @bpf_wq_init\n"
SET = "r1 = r7\nr1 += 8\nr2 = @cb\nr3 = 0\nr4 = 0\ncall @bpf_wq_set_callback_impl\n"


def queued(text: str, *functions: Fn) -> Program:
    """Two maps whose values hold a work queue at 8, and a map of numbers."""
    b = BtfBuilder()
    u64, u32 = b.integer("unsigned long long", 8), b.integer("unsigned int", 4)
    queue = b.add(t.Struct("bpf_wq", 16, (t.Member("a", u64, 0), t.Member("b", u64, 64))))
    value = b.struct("value", [("x", u64), ("wq", queue)])
    maps = [MapSpec("array", 4, 24, 2, name=name, btf=b.btf(), key_type=u32, value_type=value) for name in "ab"]
    plain = MapSpec("array", 4, 8, 2, name="plain", btf=b.btf(), key_type=u32, value_type=u64)
    return build(text, *functions, maps=(*maps, plain), builder=b)


@pytest.mark.parametrize("version", [(6, 18), (7, 2)])
def test_a_queue_is_set_up(version: tuple[int, int]) -> None:
    start = "r1 = r7\nr1 += 8\nr2 = 0\ncall @bpf_wq_start\n"
    # 7.2 passes the program itself, so the function has no name of its own for that any more.
    called = SET if version < (7, 0) else SET.replace("_impl", "")
    text = VALUE + "r1 = r7\nr1 += 8\n" + INIT.format(0) + called + start + OUT
    assert message(queued(text, Fn("cb", END, ("int",) * 3, static=True)), version) == ""


def test_where_a_queue_is() -> None:
    at = VALUE + "r1 = r7\nr1 += {}\n"
    assert message(queued(at.format(0) + INIT.format(0) + OUT)) == "off 0 doesn't point to 'struct bpf_wq' that is at 8"
    assert message(queued(at.format(8) + INIT.format(1) + OUT)) \
        == "workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0"
    assert message(queued("r1 = r10\n" + INIT.format(0) + END)) == "arg#0 doesn't point to a map value"
    other = VALUE.replace("id:0", "id:2") + "r1 = r7\n" + INIT.format(2) + OUT
    assert message(queued(other)) == "map 'plain' has no valid bpf_wq"
    no_map = at.format(8) + "r2 = r7\nr3 = 0\ncall @bpf_wq_init\n" + OUT
    assert message(queued(no_map)) == "arg#1 is map_value expected map_value or socket"
    assert message(queued(VALUE + "r1 = *(u64 *)(r7 + 8)\n" + OUT)) \
        == "bpf_wq cannot be accessed directly by load/store"


@pytest.mark.parametrize(("body", "text"), [
    ("*(u64 *)(r3 + 0) = 1\n" + END, ""),
    ("r1 = r3\nr1 += 8\nr2 = @cb\nr3 = 0\nr4 = 0\ncall @bpf_wq_set_callback_impl\n" + END, ""),
    ("r0 = 1\nexit\n", "At async callback return the register R0 has smin=1 smax=1 should have been in [0, 0]"),
    ("call @bpf_rcu_read_unlock\n" + END, "unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)"),
])
def test_callback(body: str, text: str) -> None:
    assert message(queued(VALUE + SET + OUT, Fn("cb", body, ("int",) * 3, static=True))) == text


# -- objects of the kernel ------------------------------------------------------------------------------------------


TASK = "r1 = 1\ncall @bpf_task_from_pid\nif r0 == 0 goto out\nr6 = r0\n"
FREE = "r1 = r6\ncall @bpf_task_release\n"


def test_tasks_are_given_back() -> None:
    assert message(build(TASK + FREE + OUT)) == ""
    assert message(build(TASK + OUT)).endswith("would lead to reference leak")
    assert message(build(TASK + FREE + FREE + OUT)) == (
        "arg#0 pointer type STRUCT task_struct must point to scalar, or struct with scalar")
    unchecked = "r1 = 1\ncall @bpf_task_from_pid\nr1 = r0\ncall @bpf_task_release\n" + END
    assert message(build(unchecked)) == "Possibly NULL pointer passed to trusted arg0"
    assert message(build("call 158\nr1 = r0\ncall @bpf_task_release\n" + END)) \
        == "release kernel function bpf_task_release expects refcounted PTR_TO_BTF_ID"
    moved = message(build(TASK + "r1 = r6\nr1 += 8\ncall @bpf_task_release\n" + OUT))
    assert moved.startswith("R1 must have zero offset when passed to release func or trusted arg to kfunc")


def slots(text: str) -> Program:
    b = BtfBuilder()
    u32 = b.integer("unsigned int", 4)
    task = b.struct("task_struct", [("pid", u32)])
    value = b.struct("value", [("task", b.kptr(task)), ("x", u32)])
    spec = MapSpec("array", 4, 16, 2, name="slots", btf=b.btf(), key_type=u32, value_type=value)
    return build(VALUE + text, maps=(spec,), builder=b)


def test_tasks_in_maps() -> None:
    load = "r1 = *(u64 *)(r7 + 0)\n"
    swap = "r1 = r7\nr2 = r6\ncall 194\nif r0 == 0 goto out\nr6 = r0\n" + FREE
    check = "if r1 == 0 goto out\n"
    acquire = "call @bpf_task_acquire\nif r0 == 0 goto out\nr6 = r0\n" + FREE
    assert message(slots(TASK + swap + OUT)) == ""
    assert message(slots(load + check + "r0 = *(u32 *)(r1 + 0)\n" + OUT)) == ""
    assert message(slots(load + "r0 = *(u32 *)(r1 + 0)\n" + OUT)) == "R1 invalid mem access 'rcu_ptr_or_null_'"
    assert message(slots(load + check + acquire + OUT)) == ""
    after = "call @bpf_rcu_read_lock\nr8 = *(u64 *)(r7 + 0)\ncall @bpf_rcu_read_unlock\nr1 = r8\n"
    assert message(slots(after + check + "r0 = *(u32 *)(r1 + 0)\n" + OUT)) == ""
    assert message(slots(after + check + acquire + OUT)) == "R1 must be a rcu pointer"
    assert message(slots("*(u64 *)(r7 + 0) = 0\n" + OUT)) in ("store to referenced kptr disallowed",
                                                              "BPF_ST imm must be 0 when storing to kptr at off=0")
    group = "r1 = 1\ncall @bpf_cgroup_from_id\nif r0 == 0 goto out\nr6 = r0\nr1 = r7\nr2 = r6\ncall 194\n"
    assert message(slots(group + OUT)) == "invalid kptr access, R2 type=ptr_cgroup expected=ptr_task_struct"
