"""Registers, stack slots and states as the kernel's log prints them (kernel/bpf/log.c, Linux 6.18 and 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import s64
from ebpfvm.verifier.domain.format import bounds as ranges
from ebpfvm.verifier.domain.format import snum as signed
from ebpfvm.verifier.domain.format import unum as unsigned
from ebpfvm.verifier.domain.num import Num
from ebpfvm.verifier.domain.width import U64_MAX
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.machine.state import DYN, INVALID, IRQ, ITER, MISC, POISON, SPILL, ZERO, DynptrState, IterState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.contract.rules import Rules
    from ebpfvm.verifier.machine.state import Frame, Slot, State

_CHARS = {INVALID: "?", SPILL: "r", MISC: "m", ZERO: "0", DYN: "d", ITER: "i", IRQ: "f", POISON: "p"}
_MAPS = (r.MAP_PTR, r.MAP_VALUE, r.MAP_KEY)


def tnum(value: int, mask: int) -> str:
    """Return `(0x0; 0xff)`, or the number if all bits are known (tnum_strn)."""
    if not mask:
        return signed(s64(value))
    return f"({value:#x}; {mask:#x})"


def _number(num: Num) -> list[str]:
    parts = ranges(num)
    if num.mask != U64_MAX or num.value:
        parts.append("var_off=" + tnum(num.value, num.mask))
    return parts


def type_of(value: Reg) -> str:
    """Return the name of the type alone."""
    return r.type_name(value.type)


def scalar(reg: Reg, precise: bool) -> str:
    """Return a scalar as text: a number if it is known, otherwise `scalar(...)`."""
    num = reg.num
    mark = "P" if precise else ""
    if not num.mask:
        return mark + signed(num.smin)
    parts = []
    if reg.id:
        linked = f"{reg.off:+d}" if reg.id & r.ADD_CONST else ""
        parts.append(f"id={reg.id & ~r.ADD_CONST}{linked}")
    return f"{mark}scalar({','.join(parts + _number(num))})"


def reg(value: Reg, rules: Rules, frame: int = 0, precise: bool = False) -> str:
    """Return a register as text."""
    base = value.type & r.BASE
    if base == r.SCALAR:
        return scalar(value, precise)
    if base == r.STACK:
        return _stack_pointer(value, rules, frame)
    name = r.type_name(value.type)
    if base == r.ARENA or value is r.LOST:
        return name
    if base == r.BTF_ID:
        name += value.what.name
    return f"{name}({','.join(_fields(value, base, rules))})"


def _stack_pointer(value: Reg, rules: Rules, frame: int) -> str:
    name = "fp" if value.what == frame else f"fp[{value.what}]"
    if not value.num.mask:
        off = value.off + value.num.smin
        return f"{name}{off}"
    parts = _number(value.num)
    if value.off and not rules.offset_in_var_off:
        parts.insert(0, f"off={signed(value.off)}")
    return f"{name}({','.join(parts)})"


def _fields(value: Reg, base: int, rules: Rules) -> list[str]:
    parts = []
    if value.id:
        parts.append(f"id={value.id}")
    if value.ref:
        if not rules.reference_tree:
            parts.append(f"ref_obj_id={value.ref}")
        elif not value.id:
            parts.append(f"id={value.ref}")
        elif value.ref != value.id:
            parts.append(f"parent_id={value.ref}")
    if value.type & r.NON_OWN_REF:
        parts.append("non_own_ref")
    if base in _MAPS:
        if value.what.name:
            parts.append(f"map={value.what.name}")
        parts.append(f"ks={value.what.key_size},vs={value.what.value_size}")
    if value.off and not rules.offset_in_var_off:
        parts.append(f"off={signed(value.off)}")
    if base in r.PKT_TYPES:
        parts.append("r=" + (unsigned(value.what) if value.what >= 0 else hex(value.what & U64_MAX)))
    if base == r.MEM:
        parts.append(f"sz={value.what}")
    if base == r.DYNPTR:
        parts.append(f"type={value.what.kind}")
    total = value.num.smin + value.off if rules.offset_in_var_off else value.num.smin
    if not value.num.mask:
        if total:
            parts.append(f"imm={signed(total)}")
    else:
        parts += _number(value.num)
    return parts


def slot(index: int, item: Slot, rules: Rules, frame: int, precise: bool = False) -> str:
    """Return a slot as text, as in `fp-8=...`, or "" for slots that are not printed."""
    types = item.types
    if not any(types) or all(t in (INVALID, POISON) for t in types):
        return ""
    name = f"fp{-(index + 1) * 8}="
    last = types[7]
    if last == SPILL:
        head = "".join(_CHARS[t] for t in types if t != SPILL)
        return name + head + reg(item.reg, rules, frame, precise)
    if isinstance(item.reg, DynptrState):
        return name + _dynptr(item.reg, rules) if item.reg.first else ""
    if isinstance(item.reg, IterState):
        return name + _iterator(item.reg, rules) if item.reg.first else ""
    text = "".join(_CHARS[t] for t in types)
    return name + text


def _dynptr(state: DynptrState, rules: Rules) -> str:
    if rules.reference_tree:
        parent = f",parent_id={state.parent}" if state.parent else ""
        return f"dynptr_{state.kind}(id={state.id}{parent})"
    ref = f",ref_id={state.ref}" if state.ref else ""
    # The last field is the flag of the first slot, printed under the name of what shares its place in memory.
    return f"dynptr_{state.kind}(id={state.id}{ref},dynptr_id=1)"


def _iterator(state: IterState, rules: Rules) -> str:
    name = "id" if rules.reference_tree else "ref_id"
    return (f"iter_{state.kind}({name}={state.ref},state={'active' if state.active else 'drained'},"
            f"depth={state.depth})")


def state(machine: State, rules: Rules, frame: Frame | None = None, regs: int = -1,
          slots: Iterable[int] | None = None) -> str:
    """Return one line of state: the registers in the mask `regs` and the stack `slots` (None: all) of a frame."""
    frame = frame or machine.frames[-1]
    parts = [f" frame{frame.no}:"] if frame.no else []
    for number, value in enumerate(frame.regs):
        if value is not None and regs >> number & 1:
            parts.append(f" R{number}={reg(value, rules, frame.no, bool(frame.precise_regs >> number & 1))}")
    for index in sorted(frame.stack if slots is None else slots):
        item = frame.stack.get(index)
        text = slot(index, item, rules, frame.no, bool(frame.precise_stack >> index & 1)) if item else ""
        if text:
            parts.append(" " + text)
    ids = [str(ref.id) for ref in machine.refs if ref.id]
    if machine.refs and machine.refs[0].id:
        parts.append(f" refs={','.join(ids)}")
    if frame.cb:
        parts.append(" cb")
    if frame.async_cb:
        parts.append(" async_cb")
    return "".join(parts)
