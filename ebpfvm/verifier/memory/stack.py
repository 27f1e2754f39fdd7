"""Reading and writing the stack: spills, fills, bytes (check_stack_* of kernel/bpf/verifier.c).

Byte n of a slot is the one at fp - 8 * slot - 1 - n, so byte 7 is the one at the slot's own offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import LOST, SCALAR, UNKNOWN_SCALAR, Reg, is_null, known
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import (
    ALL_SPILL,
    DYN,
    EMPTY,
    INVALID,
    IRQ,
    ITER,
    MISC,
    POISON,
    SPILL,
    STACK_ACCESS,
    ZERO,
    Slot,
)
from ebpfvm.verifier.memory import dynptr_slots
from ebpfvm.verifier.report import show
from ebpfvm.verifier.values.alu import give_id
from ebpfvm.verifier.values.pointers import MAX_VAR_OFF

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import Frame
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.memory.uses import Access, Use

_UNSPILLABLE = (SCALAR, r.DYNPTR)
_OUTSIDE = Slot(bytes([ITER] * 8))  # what nobody may read
_SPECIAL = (SPILL, DYN, ITER, IRQ)


def within_bounds(w: Walk, to: Access, verb: str) -> tuple[int, int]:
    """Return the first byte and one past the last that an access may touch, as frame offsets.

    Args:
        verb: " read from", " write to" or "" for messages.
    """
    reg, number, off, size = to
    off += reg.off
    num = reg.num
    if not num.mask:
        low = num.smin + off
        high = low + size
    else:
        if num.smax >= MAX_VAR_OFF or num.smin <= -MAX_VAR_OFF:
            raise Refuse(p.STACK_BOUNDS, EACCES, f"invalid unbounded variable-offset{verb} stack R{number}")
        low, high = num.smin + off, num.smax + off + size
    frame, grows = w.state.frames[reg.what], w.env.rules.reads_grow_stack
    lowest = -frame.allocated if verb == " read from" and not grows else -512
    if lowest <= low <= -1 and high <= 0:
        if -low > frame.allocated and (grows or verb == " write to"):
            w.deepen(frame, -low)
        return low, high
    errno = EINVAL if lowest <= low <= -1 else EACCES
    if not num.mask:
        raise Refuse(p.STACK_BOUNDS, errno, f"invalid{verb} stack R{number} off={low} size={size}")
    fixed = f" off={off}" if grows else ""
    raise Refuse(p.STACK_BOUNDS, errno,
                 f"invalid variable-offset{verb} stack R{number} var_off="
                 f"{show.tnum(num.value, num.mask)}{fixed} size={size}")


def flags(frame: int, slot: int) -> int:
    """Return the history flags of an access to a slot of a frame."""
    return STACK_ACCESS | frame << 6 | slot


# -- write ------------------------------------------------------------------------------------------------------


def write(w: Walk, to: Access, value: Reg | None, source: int) -> None:
    """Store `value` (None: bytes of unknown content, as helpers write them).

    Args:
        source: register that is stored, -1 for an immediate or a helper's write.
    """
    reg = to.reg
    low, high = within_bounds(w, to, " write to")
    frame = w.state.frames[reg.what]
    if reg.num.mask:
        _write_variable(w, frame, (low, high), value, source)
    else:
        _write_fixed(w, frame, (low, high), value, source)


def _write_fixed(w: Walk, frame: Frame, span: tuple[int, int], value: Reg | None, source: int) -> None:
    off, size = span[0], span[1] - span[0]
    index = -off - 1 >> 3
    stack = frame.stack_for_write()
    old = stack.get(index, EMPTY)
    if old.types[7] == DYN or old.types[0] == DYN:
        dynptr_slots.destroy(w, frame, index)
        old = stack.get(index, EMPTY)
    w.scratched.slot(index)
    if size == 8:
        w.stack_written(frame, 1 << index)
    rules = w.env.rules
    if value is not None and not off & 7 and value.type == SCALAR and (rules.spills_any_number or _bounded(value)):
        if not rules.spills_any_number:
            if size < 8 and value.num.umax >> size * 8 and value.id:
                value = Reg(SCALAR, value.num)
        elif size == 8 or value.num.umax >> size * 8 == 0:
            if source >= 0:
                value = give_id(w, value)
                w.regs[source] = value
        elif value.id:
            value = Reg(SCALAR, value.num)
        stack[index] = _spilled(old, value, size, rules.spills_any_number)
        w.remember(flags(frame.no, index))
        return
    if value is not None and value.type & r.BASE not in _UNSPILLABLE:
        if size != 8:
            raise Refuse(p.SPILL_SIZE, EACCES, "invalid size of register spill", source=True)
        if frame is not w.frame and value.type == r.STACK:
            raise Refuse(p.STACK_POINTER_ESCAPE, EINVAL,
                         "cannot spill pointers to stack into stack frame of the caller")
        stack[index] = Slot(ALL_SPILL, value)
        w.remember(flags(frame.no, index))
        return
    byte = MISC
    if value is not None and value.type == SCALAR and not value.num.mask and not value.num.value:
        if source >= 0:
            w.precise(source)
        byte = ZERO
    stack[index] = put_bytes(old, -off - 1, size, byte)


def _bounded(value: Reg) -> bool:
    """Return whether anything but 0 is known of a number (register_is_bounded, and not register_is_null)."""
    return value.num[:10] != UNKNOWN_SCALAR.num[:10] and not is_null(value)


def _spilled(old: Slot, value: Reg, size: int, keeps_zeros: bool) -> Slot:
    if size == 8:
        return Slot(ALL_SPILL, value)
    types = bytearray(old.types)
    types[8 - size:] = bytes([SPILL]) * size
    for at in range(8 - size):
        if types[at] not in (INVALID, POISON) and not (keeps_zeros and types[at] == ZERO):
            types[at] = MISC
    return Slot(bytes(types), value)


def put_bytes(old: Slot, first: int, size: int, byte: int) -> Slot:
    """Return `old` with `size` bytes from byte number `first` (counted down from fp) set to a kind."""
    types = bytearray(old.types)
    if types[7] in _SPECIAL:
        for at in range(8):
            if types[at] not in (INVALID, POISON):
                types[at] = MISC
    for at in range(size):
        types[(first - at) & 7] = byte
    return Slot(bytes(types))


def _write_variable(w: Walk, frame: Frame, span: tuple[int, int], value: Reg | None, source: int) -> None:
    low, high = span
    stack = frame.stack_for_write()
    for index in {-off - 1 >> 3 for off in range(low, high)}:
        old = stack.get(index, EMPTY)
        if DYN in old.types:
            dynptr_slots.destroy(w, frame, index)
    zero = value is not None and is_null(value) and (source >= 0 or w.env.rules.spills_any_number)
    used = False
    for off in range(low, high):
        index, at = -off - 1 >> 3, -off - 1 & 7
        w.scratched.slot(index)
        old = stack.get(index, EMPTY)
        if zero and old.types[at] == SPILL and is_zero_spill(old):
            used = True
            continue
        byte = MISC
        if zero and old.types[at] == ZERO and old.types[7] not in _SPECIAL:
            byte, used = ZERO, True
        stack[index] = (put_bytes(old, at, 1, byte) if w.env.rules.variable_writes_scrub
                        else _put_among_spilled(old, at, byte))
    if used and source >= 0:
        w.precise(source)


def _put_among_spilled(old: Slot, at: int, byte: int) -> Slot:
    types = bytearray(old.types)
    types[at] = byte
    return Slot(bytes(types), LOST if types[7] == SPILL else None)


def is_zero_spill(slot: Slot) -> bool:
    """Return whether a slot holds a spilled zero."""
    reg = slot.reg
    return bool(reg is not None and isinstance(reg, Reg) and reg.type == SCALAR and not reg.num.mask
                and not reg.num.value)


# -- read -------------------------------------------------------------------------------------------------------


def read(w: Walk, to: Access, dst: int) -> None:
    """Load into register `dst`; the caller truncates a scalar to its size afterwards.

    With `dst` -1, only check that it may be read (atomics).
    """
    reg, _number, off, size = to
    low, high = within_bounds(w, to, " read from")
    frame = w.state.frames[reg.what]
    if reg.num.mask:
        if dst < 0:
            raise Refuse(p.STACK_VARIABLE_OFFSET, EACCES,
                         "variable offset stack pointer cannot be passed into helper function; var_off="
                         f"{show.tnum(reg.num.value, reg.num.mask)} off={off + reg.off} size={size}")
        _readable(w, frame, (low, high), to)
        w.regs[dst] = _zero_or_unknown(frame, low, high, w)
        return
    index = -low - 1 >> 3
    slot = frame.stack.get(index)
    w.scratched.slot(index)
    w.stack_read(frame, 1 << index)
    if slot is None:
        if dst >= 0:
            w.regs[dst] = UNKNOWN_SCALAR
        return
    types = slot.types
    if types[7] != SPILL:
        _check_bytes(types, low, size, f"invalid read from stack off {low}+%d size {size}")
        if dst >= 0:
            w.regs[dst] = _zero_or_unknown(frame, low, low + size)
        return
    value = slot.reg
    if size == 8 and types == ALL_SPILL:
        if dst >= 0:
            w.regs[dst] = _filled(w, frame, index, slot) if w.env.rules.fill_gives_id else value
        w.remember(flags(frame.no, index))
        return
    if value.type != SCALAR:
        raise Refuse(p.SPILL_SIZE, EACCES, "invalid size of register fill", source=True)
    if dst < 0:
        return
    _narrow_fill(w, frame, slot, (low, high), dst)


def _filled(w: Walk, frame: Frame, index: int, slot: Slot) -> Reg:
    value: Reg = slot.reg
    if value.type == SCALAR:
        linked = give_id(w, value)
        if linked is not value:
            frame.stack_for_write()[index] = Slot(slot.types, linked)
            return linked
    return value


def _narrow_fill(w: Walk, frame: Frame, slot: Slot, span: tuple[int, int], dst: int) -> None:
    off, size = span[0], span[1] - span[0]
    index = -off - 1 >> 3
    types, value = slot.types, slot.reg
    spilled = 1
    while spilled < 8 and types[7 - spilled] == SPILL:
        spilled += 1
    if not w.env.rules.fills_parts:
        _whole_fill(w, frame, slot, span, dst, spilled)
        return
    if size <= spilled and not off & 7:
        if size == 4 and spilled == 4 and value.num.umax >> 32 == 0:
            value = _filled(w, frame, index, slot)
        if value.num.umax >> size * 8 and value.id:
            value = Reg(SCALAR, value.num)
        w.regs[dst] = value
        w.remember(flags(frame.no, index))
        return
    spills = zeros = 0
    first = -off - 1
    for at in range(size):
        kind = types[(first - at) & 7]
        if kind == SPILL:
            spills += 1
        elif kind == ZERO:
            zeros += 1
        elif kind not in (MISC, INVALID):
            _bad_byte(kind, f"invalid read from stack off {off}+{at} size {size}")
    if spills == size and is_zero_spill(slot):
        w.regs[dst] = known(0)
        w.remember(flags(frame.no, index))
    elif zeros == size:
        w.regs[dst] = known(0)
    else:
        w.regs[dst] = UNKNOWN_SCALAR


def _whole_fill(w: Walk, frame: Frame, slot: Slot, span: tuple[int, int], dst: int, spilled: int) -> None:
    """Load what was stored with the same size, or an unknown number, as kernels before 6.9."""
    off, size = span[0], span[1] - span[0]
    if size == spilled and not off & 7:
        w.regs[dst] = slot.reg
        w.remember(flags(frame.no, -off - 1 >> 3))
        return
    _check_bytes(slot.types, off, size, f"invalid read from stack off {off}+%d size {size}", (SPILL, MISC, INVALID))
    w.regs[dst] = UNKNOWN_SCALAR


def _bad_byte(kind: int, message: str) -> None:
    if kind == POISON:
        message = message.replace("invalid read", "reading") + ", slot poisoned by dead code elimination"
    raise Refuse(p.UNINIT_STACK, EACCES, message)


def _check_bytes(types: bytes, off: int, size: int, message: str,
                 plain: tuple[int, ...] = (MISC, ZERO, INVALID)) -> None:
    first = -off - 1
    for at in range(size):
        kind = types[(first - at) & 7]
        if kind not in plain:
            _bad_byte(kind, message % at)


def _zero_or_unknown(frame: Frame, low: int, high: int, w: Walk | None = None) -> Reg:
    for off in range(low, high):
        if w is not None:
            w.scratched.slot(-off - 1 >> 3)
        slot = frame.stack.get(-off - 1 >> 3)
        if slot is None or slot.types[-off - 1 & 7] != ZERO:
            return UNKNOWN_SCALAR
    return known(0)


def _readable(w: Walk, frame: Frame, span: tuple[int, int], to: Access, dead_ok: bool = False,
              how: str = "") -> None:
    """Check that every byte that may be read is plain data or a spill (check_stack_range_initialized).

    Args:
        how: " indirect" or "" for messages.
        dead_ok: whether bytes may be poisoned, because they are (perhaps partly) written, or nobody reads them.
    """
    reg, number, _off, size = to
    low, high = span
    if high > low:
        w.stack_read(frame, (2 << (-low - 1 >> 3)) - (1 << (-high >> 3)))
    outside = high > low and -low > frame.allocated and not w.env.rules.reads_grow_stack
    for off in range(low, high):
        slot = frame.stack.get(-off - 1 >> 3) if not outside else _OUTSIDE
        if slot is None:
            continue
        kind = slot.types[-off - 1 & 7]
        if kind in (MISC, ZERO, INVALID) or slot.types[7] == SPILL or (kind == POISON and dead_ok):
            continue  # the other half of a spill may be poisoned
        if not reg.num.mask:
            _bad_byte(kind, f"invalid{how} read from stack R{number} off {low}+{off - low} size {size}")
        _bad_byte(kind, f"invalid{how} read from stack R{number} var_off {show.tnum(reg.num.value, reg.num.mask)}+"
                        f"{off - low} size {size}")


# -- helpers ----------------------------------------------------------------------------------------------------


def for_helper(w: Walk, to: Access, use: Use) -> bool:
    """Check a helper's access to the stack (check_stack_range_initialized).

    Returns:
        True if the caller must mark the bytes as written after the call.
    """
    if not to.size and not use.zero_ok:
        raise Refuse(p.ZERO_SIZE, EACCES, "invalid zero-sized read")
    kept = w.env.rules.helper_reads_keep_spills
    low, high = within_bounds(w, to, (" write to" if use.write else " read from") if kept else " indirect access to")
    frame = w.state.frames[to.reg.what]
    if use.uninit and not to.reg.num.mask:
        for off in range(low, high):
            slot = frame.stack.get(-off - 1 >> 3)
            if slot is not None and slot.types[-off - 1 & 7] == DYN:
                raise Refuse(p.DYNPTR_SLOT, EACCES, f"potential write to dynptr at off={off} disallowed")
        if -low > frame.allocated:
            w.deepen(frame, -low)
        return True
    _readable(w, frame, (low, high), to, use.write or use.dead_ok, "" if kept else " indirect")
    if use.write or not kept:
        stack = frame.stack_for_write()
        for off in range(low, high):
            index, at = -off - 1 >> 3, -off - 1 & 7
            old = stack.get(index)
            if old is None:
                stack[index] = put_bytes(EMPTY, at, 1, MISC)
            elif old.types[7] == SPILL or old.types[at] in (ZERO, INVALID, POISON):
                stack[index] = put_bytes(old, at, 1, MISC)
    return False

