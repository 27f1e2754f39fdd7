"""Random programs for `Qdisc_ops`: the kernel's structs, packets in map values, dynptrs, and kernel functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.testing.builder import NUM, RegKind
from ebpfvm.testing.generated_graphs import (
    allocate,
    free_result,
    holding,
    insert,
    kfunc,
    locked,
    owned_from_node,
    release_packet,
    saved,
    swap_packet,
    take,
    within,
)
from ebpfvm.testing.ops_types import OPS

if TYPE_CHECKING:
    from ebpfvm.testing.writer import Writer

_KEY, _DYNPTR, _CLONE, _BUFFER = -176, -208, -224, -256
_LOOKUP, _DELETE = 1, 3
# Offsets and sizes of fields that may be read, in Linux 7.2.
_READ: Final = {"Qdisc": ((16, 4), (20, 4), (56, 4), (60, 4), (208, 4), (224, 8), (232, 8), (244, 4), (248, 4)),
                "sk_buff": ((32, 8), (40, 4), (48, 1), (48, 8), (112, 4), (116, 4), (124, 2), (144, 4), (148, 4),
                            (152, 4), (168, 4), (180, 2), (182, 2), (216, 4))}
_WRITTEN: Final = {"Qdisc": ((20, 4), (20, 1), (208, 4), (208, 2), (244, 4), (248, 4), (250, 2), (252, 1), (260, 4),
                             (256, 8)),
                   "sk_buff": ((32, 8), (32, 4), (48, 8), (48, 1), (56, 4), (60, 8), (67, 1), (64, 4))}
_WIDTH: Final = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
SCH, SKB = RegKind("sch"), "skb"
_OFFSET: Final = {"enqueue": 8}  # of the qdisc among the arguments; 0 for other members


def _base(w: Writer) -> tuple[int, str] | None:
    """Return a register with a struct of the kernel, and the struct; the qdisc is loaded if need be."""
    found = [reg for reg in w.holding("skb", "sch") if reg > 5]
    if found and w.random.random() < 0.7:
        reg = w.random.choice(found)
        return reg, "sk_buff" if w.known.regs[reg].name == "skb" else "Qdisc"
    if w.known.regs.get(6, NUM).name != "ctx":
        return None
    reg = w.free(saved=True)
    w.emit(0x79, reg, 6, _OFFSET.get(w.attach, 0))
    w.known.regs[reg] = SCH
    return reg, "Qdisc"


def read(w: Writer) -> None:
    """Read a field."""
    base = _base(w)
    if base is None:
        return
    off, size = w.random.choice(_READ[base[1]])
    dst = w.free(avoid=(base[0],))
    w.emit(0x61 | _WIDTH[size], dst, base[0], off)
    w.known.regs[dst] = NUM


def write(w: Writer) -> None:
    """Write a field that may be written."""
    base = _base(w)
    if base is None:
        return
    off, size = w.random.choice(_WRITTEN[base[1]])
    if w.random.random() < 0.5:
        w.emit(0x62 | _WIDTH[size], base[0], 0, off, w.random.choice((0, 1, 5, 1000, -1)))
    else:
        w.emit(0x63 | _WIDTH[size], base[0], w.number((base[0],)), off)


def walk(w: Writer) -> None:
    """Follow pointers from one struct to another, and read there."""
    base = _base(w)
    if base is None:
        return
    reg, struct = base
    dst = w.free(avoid=(reg,))
    if struct == "Qdisc":
        w.emit(0x79, dst, reg, 72)  # dev_queue
        w.emit(0x79, dst, dst, 0)  # dev
        w.emit(0x61, dst, dst, w.random.choice((56, 176, 224)))
        w.known.regs[dst] = NUM
        return
    w.emit(0x79, dst, reg, 24)  # sk
    w.known.regs.pop(dst, None)
    at = w.emit(0x15, dst)

    def body() -> None:
        off, size = w.random.choice(((480, 8), (528, 4), (532, 4), (8, 4), (16, 2), (18, 1)))
        w.emit(0x61 | _WIDTH[size], dst, dst, off)
        w.known.regs[dst] = NUM
    w.jump_over(at, body)
    w.set(dst, 0)


def call(w: Writer) -> None:
    """Call a kernel function on the packet or the qdisc."""
    base = _base(w)
    if base is None:
        return
    reg, struct = base
    if struct == "sk_buff":
        w.emit(0xBF, 1, reg)
        w.call(w.shared.kfunc("bpf_skb_get_hash"), 2)
        w.known.regs[0] = NUM
    elif w.attach in ("enqueue", "dequeue"):
        w.emit(0xBF, 1, reg)
        w.set64(2, w.random.choice((0, 1000, 1 << 40)))
        w.set(3, w.random.choice((0, 1000)))
        w.call(w.shared.kfunc("bpf_qdisc_watchdog_schedule"), 2)


def rcu(w: Writer) -> None:
    """Do something inside of an RCU section."""
    if w.depth or w.nested:
        return
    w.call(w.shared.kfunc("bpf_rcu_read_lock"), 2)
    w.inner(2)
    w.call(w.shared.kfunc("bpf_rcu_read_unlock"), 2)


def section(w: Writer) -> None:
    """Do something with preemption disabled."""
    if w.depth or w.nested:
        return
    w.call(w.shared.kfunc("bpf_preempt_disable"), 2)
    w.random.choice((w.alu, w.store, lambda: read(w)))()
    w.call(w.shared.kfunc("bpf_preempt_enable"), 2)


def note(w: Writer, code: int, dst: int, src: int, off: int) -> None:
    """Write one load."""
    w.emit(code, dst, src, off)


# -- packets in map values ------------------------------------------------------------------------------------------


def slot_of_map(w: Writer, reg: int) -> int:
    """Set `reg` to a value of the array of slots, or NULL; return the jump that is taken for NULL."""
    w.emit(0x62, 10, 0, _KEY, w.random.choice((0, 1, 2, 3, 4)))
    w.set64(1, OPS.slots, 1)
    w.address(2, _KEY)
    w.call(_LOOKUP)
    w.emit(0xBF, reg, 0)
    w.known.regs.pop(reg, None)
    return w.emit(0x15, reg)


def slot(w: Writer) -> None:
    """Look into a slot, take out what it owns, or put an object into it."""
    regs = saved(w, 2)
    if regs is None:
        return
    reg, other = regs
    at = slot_of_map(w, reg)

    def body() -> None:
        choice = w.random.randrange(4)
        if choice == 0:
            swap_packet(w, reg, 0, None)
            free_result(w)
        elif choice == 1:
            w.emit(0x79, 1, reg, 0)
            empty = w.emit(0x15, 1)
            w.jump_over(empty, lambda: note(w, 0x61, 2, 1, 112))
        elif choice == 2:
            _keep_node(w, reg, other)
        else:
            w.emit(0x7B, reg, w.number((reg,)), 16)
    holding(w, reg, lambda: w.jump_over(at, body))
    w.set(0, 0)


def swapped_out(w: Writer, reg: int, dst: int) -> None:
    """Take the packet out of a slot."""
    swap_packet(w, reg, 0, None)
    w.emit(0xBF, dst, 0)


def _keep_node(w: Writer, reg: int, other: int) -> None:
    """Put a new object, or none, where a slot owns one, and drop what was there."""
    node = OPS.structs[0]

    def swap() -> None:
        w.emit(0xBF, 1, reg)
        w.emit(0x07, 1, 0, 0, 8)
        w.call(194)
        at = w.emit(0x15, 0)
        w.emit(0xBF, 1, 0)
        kfunc(w, "bpf_obj_drop")
        w.code[at] = w.code[at]._replace(off=len(w.code) - at - 1)
    if w.random.random() < 0.4:
        w.set(2, 0)
        swap()
        return

    def body() -> None:
        w.emit(0xBF, 2, other)
        swap()
    allocate(w, node, other, body)


# -- dynptrs --------------------------------------------------------------------------------------------------------


def dynptr(w: Writer) -> None:
    """Create a dynptr of the packet, and ask or read it."""
    if w.known.regs.get(7, NUM).name != "skb" or w.depth:
        return
    w.emit(0xBF, 1, 7)
    w.set(2, 0)
    w.address(3, _DYNPTR)
    w.call(w.shared.kfunc("bpf_dynptr_from_skb"), 2)
    for _ in range(w.random.randrange(1, 3)):
        w.random.choice((_ask_dynptr, _slice, _slice, _adjust, _clone))(w)
    w.set(0, 0)


def _ask_dynptr(w: Writer) -> None:
    w.address(1, _DYNPTR)
    w.call(w.shared.kfunc(w.random.choice(("bpf_dynptr_size", "bpf_dynptr_is_null", "bpf_dynptr_is_rdonly"))), 2)
    dst = w.free(avoid=(0,))
    w.emit(0xBF, dst, 0)
    w.known.regs[dst] = NUM


def _slice(w: Writer) -> None:
    length = w.random.choice((1, 4, 14, 20, 32))
    w.address(1, _DYNPTR)
    w.set(2, w.random.choice((0, 12, 14, 1000)))
    if w.random.random() < 0.7:
        for off in range(_BUFFER, _BUFFER + 32, 8):
            w.emit(0x7A, 10, 0, off, 0)
        w.address(3, _BUFFER)
    else:
        w.set(3, 0)
    w.set(4, length)
    w.call(w.shared.kfunc("bpf_dynptr_slice"), 2)
    at = w.emit(0x15, 0)
    dst = w.random.choice((1, 2, 3))
    w.jump_over(at, lambda: note(w, 0x71, dst, 0, w.random.randrange(length)))
    w.known.regs.pop(dst, None)


def _adjust(w: Writer) -> None:
    w.address(1, _DYNPTR)
    w.set(2, w.random.choice((0, 2, 14)))
    w.set(3, w.random.choice((14, 20, 34, 1)))
    w.call(w.shared.kfunc("bpf_dynptr_adjust"), 2)


def _clone(w: Writer) -> None:
    w.address(1, _DYNPTR)
    w.address(2, _CLONE)
    w.call(w.shared.kfunc("bpf_dynptr_clone"), 2)


# -- how a program ends ---------------------------------------------------------------------------------------------


def keep_packet(w: Writer) -> None:
    """End enqueue: put the packet of R7 into a list, a tree or a slot, or drop it."""
    w.known.locked -= {7}
    choice = w.random.random()
    w.known.regs.pop(7, None)
    w.known.locked |= {7}
    if choice < 0.35:
        release_packet(w, 7)
        w.set(0, w.random.choice((1, 0, 2)))
    elif choice < 0.55:
        _into_slot(w)
    else:
        _into_root(w)
    w.emit(0x95)


def _into_slot(w: Writer) -> None:
    at = slot_of_map(w, 8)

    def body() -> None:
        swap_packet(w, 8, 0, 7)
        free_result(w)
    w.either(at, body, lambda: release_packet(w, 7))
    w.set(0, 0)


def _into_root(w: Writer) -> None:
    root = w.random.choice([found for found in OPS.roots if not found.looked_up])
    w.set(1, root.of.type_id)
    kfunc(w, "bpf_obj_new")
    w.emit(0xBF, 8, 0)
    at = w.emit(0x15, 8)

    def body() -> None:
        w.known.regs.pop(8, None)
        w.known.locked |= {8}
        w.emit(0x79, 1, 7, 32)
        w.emit(0x7B, 8, 1, root.of.key)
        swap_packet(w, 8, root.of.skb, 7)
        free_result(w)
        locked(w, root, -1, lambda: insert(w, root, -1, 8))
    w.either(at, body, lambda: release_packet(w, 7))
    w.set(0, w.random.choice((0, 0, 1)))


def give_packet(w: Writer) -> None:
    """End dequeue: return a packet of a list, a tree or a slot, or none."""
    w.known.locked |= {7, 8, 9}
    if w.random.random() < 0.15:
        w.set(0, 0)
        w.emit(0x95)
        return
    w.emit(0x79, 7, 6)
    w.set(9, 0)
    w.known.regs.pop(9, None)
    if w.random.random() < 0.3:
        at = slot_of_map(w, 8)
        w.jump_over(at, lambda: swapped_out(w, 8, 9))
    else:
        _from_root(w)
    if w.random.random() < 0.5:
        at = w.emit(0x15, 9)
        w.emit(0xBF, 1, 7)
        w.emit(0xBF, 2, 9)
        w.call(w.shared.kfunc("bpf_qdisc_bstats_update"), 2)
        w.code[at] = w.code[at]._replace(off=len(w.code) - at - 1)
    w.emit(0xBF, 0, 9)
    w.emit(0x95)


def _from_root(w: Writer) -> None:
    root = w.random.choice(OPS.roots)

    def body(base: int) -> None:
        reg = 8 if base != 8 else 7
        take(w, root, base, reg)
        owned_from_node(w, root, reg, lambda: found(reg))

    def found(reg: int) -> None:
        swap_packet(w, reg, root.of.skb, None)
        w.emit(0xBF, 9, 0)
        w.emit(0xBF, 1, reg)
        kfunc(w, "bpf_obj_drop")
    within(w, root, 8, body)
    if root.looked_up:
        w.emit(0x79, 7, 6)
