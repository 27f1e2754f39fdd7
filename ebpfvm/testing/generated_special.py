"""Rarer features in random programs: loops of the newer kinds, legacy packet loads, locks, global functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.builder import NUM, RegKind

if TYPE_CHECKING:
    from ebpfvm.testing.writer import Writer

_ITER: Final = -160  # struct bpf_iter_num, 8 bytes
_LOCK_KEY: Final = -168
LOCKED_INDEX: Final = 8
_LOCK, _UNLOCK = 93, 94


def _locked() -> MapSpec:
    builder = BtfBuilder()
    word = builder.integer("unsigned int", 4)
    lock = builder.struct("bpf_spin_lock", [("val", word)])
    value = builder.struct("locked", [("lock", lock), ("a", word), ("b", builder.array(word, 6))])
    return MapSpec("array", 4, 32, 2, name="locked", btf=builder.btf(), key_type=word, value_type=value)


LOCKED: Final = _locked()
"""An array whose values begin with a spin lock."""


def _loop_begins(w: Writer) -> frozenset[int]:
    """Forget what a loop may change, and lock saved registers that hold pointers; return the earlier locks."""
    locked = w.known.locked
    w.known.locked = locked | {reg for reg, kind in w.known.regs.items() if kind.name != "num" and reg > 5}
    for reg in range(6):
        w.known.regs.pop(reg, None)
    w.known.slots = {at: kind for at, kind in w.known.slots.items() if kind.name != "pkt"}
    return locked


def may_goto(w: Writer) -> None:
    """Write a loop that a condition ends, or else the kernel after enough iterations."""
    if w.nested or w.depth:
        return
    limit = w.free(saved=True)
    if limit not in (7, 8, 9) or limit in w.known.locked:
        return
    w.set(limit, 0)
    locked = _loop_begins(w)
    before = w.known.copy()
    head = len(w.code)
    leave = w.emit(0xE5)
    w.inner(2)
    if limit in w.known.regs and w.known.regs[limit].name == "num":
        w.emit(0x07, limit, 0, 0, 1)
        w.emit(0x25, limit, 0, 1, w.random.choice((3, 9)))
    w.emit(0x05, 0, 0, head - len(w.code) - 1)
    w.code[leave] = w.code[leave]._replace(off=len(w.code) - leave - 1)
    w.known.meet(before)
    w.known.locked = locked
    for reg in w.holding("num"):
        w.known.regs[reg] = NUM


def iterator(w: Writer) -> None:
    """Write `for (i = a; i < b; i++)` with bpf_iter_num_new, _next and _destroy."""
    if w.nested or w.depth or w.type.name == "qdisc" or "bpf_iter_num_new" not in w.type.kfuncs:
        return
    w.address(1, _ITER)
    w.set(2, w.random.choice((0, 1)))
    w.set(3, w.random.choice((0, 3, 10)))
    w.call(w.shared.kfunc("bpf_iter_num_new"), 2)
    locked = _loop_begins(w)
    before = w.known.copy()
    head = len(w.code)
    w.address(1, _ITER)
    w.call(w.shared.kfunc("bpf_iter_num_next"), 2)
    leave = w.emit(0x15, 0)
    dst = w.free()
    w.emit(0x61, dst, 0)
    w.known.regs[dst] = NUM
    w.inner(2)
    w.emit(0x05, 0, 0, head - len(w.code) - 1)
    w.code[leave] = w.code[leave]._replace(off=len(w.code) - leave - 1)
    w.known.meet(before)
    w.known.locked = locked
    for reg in w.holding("num"):
        w.known.regs[reg] = NUM
    w.address(1, _ITER)
    w.call(w.shared.kfunc("bpf_iter_num_destroy"), 2)


def legacy(w: Writer) -> None:
    """Write LD_ABS or LD_IND, which load from the packet or end the program."""
    if not w.type.ld_abs or w.depth or w.known.refs or w.known.locked or w.known.regs.get(6, NUM).name != "ctx":
        return
    size = w.random.choice((0x00, 0x08, 0x10))
    if w.random.random() < 0.5:
        w.emit(0x20 | size, 0, 0, 0, w.random.choice((0, 12, 14, 23, 60, 100, -0x100000)))
    else:
        index = w.free(saved=True)
        w.mov(index, w.number())
        w.emit(0x57, index, 0, 0, w.random.choice((7, 63)))
        w.emit(0x40 | size, 0, index, 0, w.random.choice((0, 8, 14)))
    for reg in range(6):
        w.known.regs.pop(reg, None)
    w.known.regs[0] = NUM


def lock(w: Writer) -> None:
    """Change two fields of a map value while holding its spin lock."""
    if w.depth or w.known.refs or w.nested > 1 or w.type.name in ("qdisc", "socket_filter"):
        return
    w.emit(0x62, 10, 0, _LOCK_KEY, w.random.choice((0, 1, 2)))
    w.set64(1, LOCKED_INDEX, 1)
    w.address(2, _LOCK_KEY)
    w.call(1)
    keep = w.free(saved=True)
    if keep not in (7, 8, 9) or keep in w.known.locked:
        return
    w.mov(keep, 0)
    at = w.emit(0x15, keep)

    def body() -> None:
        w.known.regs.pop(keep, None)
        w.mov(1, keep)
        w.call(_LOCK)
        w.emit(0x61, 1, keep, w.random.choice((4, 8, 28)))
        w.emit(0x07, 1, 0, 0, 1)
        w.emit(0x63, keep, 1, w.random.choice((4, 8, 28)))
        w.mov(1, keep)
        w.call(_UNLOCK)
    w.jump_over(at, body)
    w.known.regs.pop(keep, None)


def global_function(w: Writer) -> None:
    """Write a call of a global function, which is verified on its own for any numbers."""
    if w.depth or len(w.shared.functions) > 4:
        return
    made = type(w)(w.random, w.dialect, w.type, w.attach, w.shared, w.depth + 1)
    made.nested = 2
    w.shared.functions.append(made)
    number = len(w.shared.functions) - 1
    w.shared.globals.add(number)
    made.known.regs |= {at: RegKind("num") for at in (1, 2)}
    made.steps(w.random.randrange(1, 5))
    made.set(0, w.random.choice((0, 1, 7)))
    made.emit(0x95)
    for at in (1, 2):
        source = w.pick("num")
        if source is not None and source > 5:
            w.mov(at, source)
        else:
            w.set(at, w.imm())
    w.call(number, 1)
    w.known.regs[0] = NUM
    w.invalidate("pkt", "end")


def prototypes(builder: BtfBuilder, count: int, globals: frozenset[int]) -> tuple[int, ...]:
    """Add a program's functions to BTF: the entry, static ones, and global ones of two numbers; return their ids."""
    number = builder.integer("int", 4, signed=True)
    word = builder.integer("long", 8, signed=True)
    main = builder.add(t.FuncProto(number, (t.Param("ctx", builder.ptr(0)),)))
    static = builder.add(t.FuncProto(word, tuple(t.Param(f"a{n}", word) for n in range(1, 5))))
    both = builder.add(t.FuncProto(word, tuple(t.Param(f"a{n}", word) for n in range(1, 3))))
    ids = [builder.add(t.Func("prog", main, t.Linkage.GLOBAL))]
    for n in range(1, count):
        kind = (both, t.Linkage.GLOBAL) if n in globals else (static, t.Linkage.STATIC)
        ids.append(builder.add(t.Func(f"f{n}", *kind)))
    return tuple(ids)
