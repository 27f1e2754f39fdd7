"""Regions that kernel functions open and close: RCU, preemption, interrupts, resilient locks."""

from __future__ import annotations

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.loader.object import MapSpec, Program
from tests.unit.verifier.build import Fn, build, message

OLD, NEW = (6, 18), (7, 2)
END = "r0 = 0\nexit\n"
TAIL = "r1 = r6\nr2 = map[id:2]\nr3 = 0\ncall 12\n"
PAIRS = [("bpf_rcu_read_lock", "bpf_rcu_read_unlock"), ("bpf_preempt_disable", "bpf_preempt_enable"),
         ("bpf_local_irq_save", "bpf_local_irq_restore")]


def flag(at: int) -> str:
    return f"r1 = r10\nr1 += -{at}\n"


def call(name: str, at: int = 8) -> str:
    return flag(at) + f"call @{name}\n"


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(("enter", "leave"), PAIRS)
def test_a_region_is_left(enter: str, leave: str, version: tuple[int, int]) -> None:
    prefix = "r6 = r1\n"
    assert message(build(call(enter) + call(leave) + END), version) == ""
    where = f"cannot be used inside {enter}-ed region"
    assert message(build(call(enter) + END), version) == f"BPF_EXIT instruction in main prog {where}"
    assert message(build(prefix + call(enter) + TAIL + call(leave) + END), version) == f"tail_call {where}"
    load = prefix + call(enter) + "r0 = *(u8 *)skb[0]\n" + call(leave) + END
    assert message(build(load), version) == f"BPF_LD_[ABS|IND] {where}"
    sub = Fn("sub", flag(8).replace("r10", "r10") + f"call @{enter}\n" + END, static=True)
    assert message(build("r1 = 0\ncall @sub\n" + END, sub), version) == f"BPF_EXIT instruction in main prog {where}"
    alone = build("r1 = 0\ncall @sub\n" + END, Fn("sub", sub.text))
    assert message(alone, version) == f"BPF_EXIT instruction in main prog {where}"


def test_leaving_what_was_not_entered() -> None:
    assert message(build("call @bpf_rcu_read_unlock\n" + END)) \
        == "unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)"
    assert message(build("call @bpf_preempt_enable\n" + END)) \
        == "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)"
    assert message(build(call("bpf_local_irq_restore") + END)) == "expected an initialized irq flag as arg#0"
    assert message(build(call("bpf_local_irq_restore") + END), NEW) == "expected an initialized irq flag as R1"


def test_nesting() -> None:
    twice = "call @bpf_rcu_read_lock\n" * 2
    left = "call @bpf_rcu_read_unlock\n"
    assert message(build(twice + left * 2 + END), OLD) \
        == "nested rcu read lock (kernel function bpf_rcu_read_lock)"
    assert message(build(twice + left * 2 + END), NEW) == ""
    assert "bpf_rcu_read_lock-ed" in message(build(twice + left + END), NEW)
    preempt = "call @bpf_preempt_disable\n" * 2 + "call @bpf_preempt_enable\n"
    assert "bpf_preempt_disable-ed" in message(build(preempt + END))
    assert message(build(preempt + "call @bpf_preempt_enable\n" + END)) == ""
    saves = call("bpf_local_irq_save", 8) + call("bpf_local_irq_save", 16)
    good = saves + call("bpf_local_irq_restore", 16) + call("bpf_local_irq_restore", 8)
    bad = saves + call("bpf_local_irq_restore", 8) + call("bpf_local_irq_restore", 16)
    assert message(build(good + END)) == ""
    assert message(build(bad + END)) == "cannot restore irq state out of order, expected id=2 acquired at insn_idx=5"


def test_irq_flags_are_no_memory() -> None:
    save, restore = call("bpf_local_irq_save"), call("bpf_local_irq_restore")
    assert message(build(save + save + restore + END)) == "expected uninitialized irq flag as arg#0"
    assert message(build(save + restore + restore + END)) == "expected an initialized irq flag as arg#0"
    assert message(build(save + "*(u64 *)(r10 - 8) = 0\n" + restore + END)) \
        == "expected an initialized irq flag as arg#0"
    assert message(build(save + "r0 = *(u64 *)(r10 - 8)\n" + restore + END)) \
        == "invalid read from stack off -8+0 size 8"
    assert message(build("call @bpf_local_irq_save\n" + END)) == "arg#0 doesn't point to an irq flag on stack"
    assert message(build(flag(4) + "call @bpf_local_irq_save\n" + END)).splitlines() == [
        "cannot pass in irq_flag at an offset=-4", "expected uninitialized irq flag as arg#0"]


# -- resilient locks ------------------------------------------------------------------------------------------------


def locked(text: str, *functions: Fn, type: str = "sched_cls") -> Program:
    """Two maps of one value with a resilient lock at 0 (r7, r8), a map of plain values (r9)."""
    b = BtfBuilder()
    u32 = b.integer("unsigned int", 4)
    lock = b.add(t.Struct("bpf_res_spin_lock", 4, (t.Member("val", u32, 0),)))
    value = b.struct("value", [("lock", lock), ("x", u32)])
    plain = b.struct("plain", [("x", u32), ("y", u32)])
    maps = [MapSpec("array", 4, 8, 1, name=f".data.{name}", btf=b.btf(), key_type=u32, value_type=kind)
            for name, kind in (("a", value), ("b", value), ("c", plain))]
    head = "".join(f"r{7 + at} = map[id:{at}][0]\n" for at in range(3))
    return build(head + text, *functions, type=type, maps=tuple(maps), builder=b)


def lock(reg: str, name: str = "bpf_res_spin_lock", held: str = "") -> str:
    """Take a lock; where that fails, give `held` back and leave."""
    return f"r1 = {reg}\ncall @{name}\nif r0 == 0 goto +{len(held.splitlines()) + 2}\n{held}r0 = 0\nexit\n"


def unlock(reg: str) -> str:
    return f"r1 = {reg}\ncall @bpf_res_spin_unlock\n"


@pytest.mark.parametrize("version", [OLD, NEW])
def test_resilient_lock(version: tuple[int, int]) -> None:
    assert message(locked(lock("r7") + "*(u32 *)(r7 + 4) = 1\n" + unlock("r7") + END), version) == ""
    assert message(locked(lock("r7") + END), version) \
        == "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region"
    assert message(locked(unlock("r7") + END), version) == "bpf_res_spin_unlock without taking a lock"
    unchecked = "r1 = r7\ncall @bpf_res_spin_lock\n" + unlock("r7") + END
    assert message(locked(unchecked), version) == "bpf_res_spin_unlock without taking a lock"
    negative = "r1 = r7\ncall @bpf_res_spin_lock\nif r0 == 0 goto +3\nif r0 s> -1 goto -1\n" + END + unlock("r7")
    assert message(locked(negative + END), version) == ""


def test_two_resilient_locks() -> None:
    both = lock("r7") + lock("r8", held=unlock("r7"))
    assert message(locked(both + unlock("r8") + unlock("r7") + END)) == ""
    assert message(locked(both + unlock("r7") + unlock("r8") + END)) == "bpf_res_spin_unlock cannot be out of order"
    assert message(locked(lock("r7") + lock("r7", held=unlock("r7")) + END)) \
        == "Acquiring the same lock again, AA deadlock detected"
    assert message(locked(lock("r7") + unlock("r8") + END)) == "bpf_res_spin_unlock of different lock"


def test_where_a_resilient_lock_is() -> None:
    assert message(locked(lock("r9") + END)) == "map '.data.c' has no valid bpf_res_spin_lock"
    assert message(locked("r7 += 4\n" + lock("r7") + END)) \
        == "off 4 doesn't point to 'struct bpf_res_spin_lock' that is at 0"
    assert message(locked(lock("r10") + END)) == "arg#0 doesn't point to map value or allocated object"
    assert message(locked("r0 = *(u32 *)(r7 + 0)\nexit\n")) \
        == "bpf_res_spin_lock cannot be accessed directly by load/store"
    assert message(locked(END, type="socket_filter")) == "socket filter progs cannot use bpf_spin_lock yet"


def test_inside_of_a_resilient_lock() -> None:
    def inside(text: str) -> str:
        return lock("r7") + text + unlock("r7") + END
    refused = "function calls are not allowed while holding a lock"
    assert message(locked(inside("call 7\n"))) == refused
    assert message(locked(inside("call @bpf_rcu_read_lock\n"))) == refused
    assert message(locked(inside("r1 = 0\ncall @sub\n"), Fn("sub", END, static=True))) == ""
    assert message(locked(inside("r1 = 0\ncall @sub\n"), Fn("sub", END))) \
        == "global function calls are not allowed while holding a lock,\nuse static function instead"


def test_resilient_lock_with_interrupts_off() -> None:
    def take(reg: str, at: int, held: str = "") -> str:
        return f"r2 = r10\nr2 += -{at}\n" + lock(reg, "bpf_res_spin_lock_irqsave", held)

    def give(reg: str, at: int) -> str:
        return f"r1 = {reg}\nr2 = r10\nr2 += -{at}\ncall @bpf_res_spin_unlock_irqrestore\n"
    both = take("r7", 8) + take("r8", 16, held=give("r7", 8))
    assert message(locked(take("r7", 8) + give("r7", 8) + END)) == ""
    assert message(locked(both + give("r8", 16) + give("r7", 8) + END)) == ""
    assert message(locked(both + give("r8", 8) + give("r7", 16) + END)).startswith(
        "cannot restore irq state out of order, expected id=")
    assert message(locked(take("r7", 8) + unlock("r7") + END)) == "bpf_res_spin_unlock of different lock"
    mixed = call("bpf_local_irq_save", 16) + take("r7", 8, held=call("bpf_local_irq_restore", 16)) + give("r7", 16)
    assert message(locked(mixed + END)) == "irq flag acquired by native kfuncs cannot be restored with lock kfuncs"
