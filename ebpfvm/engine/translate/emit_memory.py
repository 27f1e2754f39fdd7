"""Emit loads and stores as an index, an attribute or a checked access, depending on what is known of the pointer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.steps import Expr, cut, operand
from ebpfvm.engine.translate import emit_fields, emit_values
from ebpfvm.engine.translate.emit_keys import from_key, swapped, swapped_name
from ebpfvm.engine.translate.ranges import FP, NumRange, PtrOrigin, PtrRange, slot_at
from ebpfvm.engine.translate.statements import Stmt, assign, effect, slot_name
from ebpfvm.ints import S64_MAX, U64_MAX, signed

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter, Place
    from ebpfvm.engine.translate.ranges import Slot
    from ebpfvm.kernel.layouts import FieldAccess

# Views of wider numbers read in the host's order.
VIEWS: Final = sys.byteorder == "little"


def value_range(size: int) -> tuple[int, int]:
    """Return the interval of an unsigned number of `size` bytes."""
    return 0, (1 << 8 * size) - 1


def load(em: CodeWriter, place: Place) -> Expr:
    """Return the number at `place` as an expression; may append preparing lines."""
    pointer, size = place.pointer, place.size
    low, high = value_range(size)
    if isinstance(pointer, PtrRange) and pointer.origin.kind == "held":
        return emit_fields.load(em, place, pointer)
    if not isinstance(pointer, PtrRange) or pointer.origin.kind == "mixed":
        verb = "LOAD_PROBE" if em.pc in em.unit.prog.probes else "LOAD"
        return Expr(f"{verb}({em.address(place)}, {size})", 0, high)
    origin, off = pointer.origin, pointer.lo + place.off
    if pointer.lo != pointer.hi:
        if origin.layout is not None:
            return Expr(f"LOAD({em.address(place)}, {size})", 0, high)
        if origin.shape is not None or origin.checked:
            return Expr(f"g_{origin.name}.load({variable_index(em, place)}, {size})", low, high)
        return Expr(_variable_element(em, origin, place), low, high)
    if origin.shape is not None:
        return emit_values.load(origin, off, size)
    if origin.checked:
        return Expr(f"g_{origin.name}.load({constant_index(origin, off)}, {size})", low, high)
    if origin.kind == "fp" and (slot_at(pointer, place.off), size) in em.frame.local:
        return _gather(em, em.frame.local[slot_at(pointer, place.off), size])
    if origin.kind == "key":
        return from_key(em, origin, off, size)[0]
    if origin.layout is not None:
        return _load_field(em, origin, off, size, place)
    return Expr(constant_element(em, origin, off, size), low, high)


def atom_value(em: CodeWriter, atom: Slot) -> Expr:
    """Return the value of an atom of the stack."""
    return em.value(em.state.slots.get(atom, NumRange(*value_range(atom[1]))), slot_name(*atom))


def _gather(em: CodeWriter, atoms: tuple[Slot, ...]) -> Expr:
    """Return the number that `atoms` hold."""
    if len(atoms) == 1:
        return atom_value(em, atoms[0])
    if atoms in em.wholes:
        return em.wholes[atoms]
    start, total = atoms[0][0], sum(size for _, size in atoms)
    parts = [(8 * (off - start), atom_value(em, (off, size))) for off, size in atoms]
    if all(value.const is not None for _, value in parts):
        return em.number(sum(value.lo << shift for shift, value in parts))
    text = " | ".join(f"{value.text} << {shift}" if shift else value.text for shift, value in parts)
    return Expr(f"({text})", *value_range(total))


def _scatter(em: CodeWriter, atoms: tuple[Slot, ...], value: Expr, reg: int | None) -> None:
    """Store a number in `atoms`; it is what register `reg` holds, if there is one."""
    if len(atoms) > 1 and value.const is None:
        whole = f"t_{em.pc}_new"  # t_PC may hold the old value of an atomic operation
        em.add(assign(whole, value.text, em.pc))
        if not value.text.isidentifier():
            value = value._replace(text=whole)
    for off, size in atoms:
        shift = 8 * (off - atoms[0][0])
        part = value
        if shift:
            part = em.number(value.lo >> shift) if value.const is not None else \
                Expr(f"({value.text} >> {shift})", value.lo >> shift, value.hi >> shift)
        part = cut(part, 8 * size)
        em.add(assign(slot_name(off, size), part.text, em.pc))
        if (off, size) in em.frame.swapped:
            known = em.swaps.get(reg) if len(atoms) == 1 else None
            reverse = known[1] if known is not None and known[0] == size else swapped(part, size).text
            em.add(assign(swapped_name(off, size), reverse, em.pc))
    if len(atoms) > 1 and value.const is None:
        em.wholes[atoms] = value._replace(text=whole)


def shifted(em: CodeWriter, pointer: PtrRange, index: str, by: Expr, op: str) -> Expr:
    """Return the index of `pointer` after adding or subtracting (`op`) a number of bytes."""
    unit = em.form.unit(pointer)
    sign = "+" if op == "add" else "-"
    if by.const is not None:
        step = signed(by.const, 64) >> unit
        return operand(f"({index} {sign if step >= 0 else '-' if op == 'add' else '+'} {abs(step)})")
    text = by.text
    if by.lo > S64_MAX:
        text = f"({text} - {U64_MAX + 1:#x})"
    elif by.hi > S64_MAX:
        text = f"(({text} ^ {S64_MAX + 1:#x}) - {S64_MAX + 1:#x})"
    if unit:
        text = f"({text} >> {unit})"
    return operand(text if index == "0" and op == "add" else f"({index} {sign} {text})")


def variable_index(em: CodeWriter, place: Place) -> str:
    """Return the index into the region's data for a pointer whose offset is not constant."""
    pointer = place.pointer
    assert isinstance(pointer, PtrRange)
    origin = pointer.origin
    if em.form.held(pointer) is not None:
        return f"r{place.reg}{_plus(place.off)}"
    if origin.kind == "const":
        constant = place.off - origin.region.base
        return f"r{place.reg} {'-' if constant < 0 else '+'} {abs(constant):#x}"
    return f"r{place.reg} + k_{origin.name}{_plus(place.off)}"


def _plus(n: int) -> str:
    return f" + {n}" if n > 0 else f" - {-n}" if n else ""


def _variable_view(em: CodeWriter, origin: PtrOrigin, place: Place) -> str | None:
    """Return the element through a view, if the index is known to be a whole number of elements."""
    pointer, size = place.pointer, place.size
    assert isinstance(pointer, PtrRange)
    if origin is FP and em.frame.cells is not None:
        if em.form.held(pointer) is not None:
            return f"l_f[r{place.reg}{_plus(place.off >> em.frame.cells.unit)}]"
        return f"l_f[{em.form.from_address(origin, f'r{place.reg}{_plus(place.off)}')}]"
    if not VIEWS or size == 1 or origin.kind not in ("fp", "const") or origin.start is None:
        return None
    if (origin.start + place.off) % size or 1 << min(pointer.zeros, 3) < size:
        return None
    if origin.kind == "const" and origin.region.size % size:
        return None
    view = f"v{size}_f" if origin.kind == "fp" else f"V{origin.region.id}_{size}"
    return f"{view}[{variable_index(em, place)} >> {size.bit_length() - 1}]"


def _variable_element(em: CodeWriter, origin: PtrOrigin, place: Place) -> str:
    return _variable_view(em, origin, place) or _element(origin, variable_index(em, place), place.size)


def _put_variable(em: CodeWriter, origin: PtrOrigin, place: Place, value: Expr) -> None:
    view = _variable_view(em, origin, place)
    if view is not None:
        em.add(effect(f"{view} = {value.text}", em.pc))
    else:
        em.add(_put(origin, variable_index(em, place), place.size, value, em.pc))


def data_name(origin: PtrOrigin) -> str:
    """Return the name of the bytes of an origin's region."""
    return f"D{origin.region.id}" if origin.kind == "const" else f"d_{origin.name}"


def _element(origin: PtrOrigin, index: str, size: int) -> str:
    if size == 1:
        return f"{data_name(origin)}[{index}]"
    return f"U{size}({data_name(origin)}, {index})[0]"


def constant_index(origin: PtrOrigin, off: int) -> str:
    """Return the index into the region's data, `off` bytes from the origin."""
    if origin.start is None:
        return f"i_{origin.name}{_plus(off)}"
    return str(origin.start + off)


def constant_element(em: CodeWriter, origin: PtrOrigin, off: int, size: int) -> str:
    """Return the element at a constant offset, through a view if the region is known to have one."""
    view = _view(em, origin, off, size)
    return view or _element(origin, constant_index(origin, off), size)


def _view(em: CodeWriter, origin: PtrOrigin, off: int, size: int) -> str | None:
    cells = em.frame.cells if origin is FP else None
    if cells is not None and cells.start <= off < cells.start + cells.size:
        return f"l_f[{cells.number(off)}]"
    if not VIEWS or size == 1 or origin.kind not in ("fp", "const") or origin.start is None:
        return None
    index = origin.start + off
    if index % size:
        return None
    if origin.kind == "fp":
        return f"v{size}_f[{index // size}]"
    return f"V{origin.region.id}_{size}[{index // size}]" if index + size <= origin.region.size // size * size else None


def _load_field(em: CodeWriter, origin: PtrOrigin, off: int, size: int, place: Place) -> Expr:
    how: FieldAccess | None = origin.layout.reading(off, size)
    if how is None:
        return Expr(f"LOAD({em.address(place)}, {size})", *value_range(size))
    owner = f"o_{origin.name}"
    if how.wide:
        assert how.item is not None
        array = f"{owner}.{how.field.name}"
        return Expr(f"({array}[{how.item}] | {array}[{how.item + 1}] << 32)", *value_range(8))
    item = "" if how.item is None else f"[{how.item}]"
    text = f"{owner}.{how.field.name}{item}"
    if how.mask is None:
        return operand(text)
    if how.shift:
        text = f"({text} >> {how.shift})"
    return Expr(f"({text} & {how.mask:#x})", 0, how.mask)


def store(em: CodeWriter, place: Place, value: Expr, reg: int | None = None) -> None:
    """Append the lines that store `value`, which register `reg` holds if there is one, at `place`."""
    pointer, size = place.pointer, place.size
    value = cut(value, 8 * size)
    if isinstance(pointer, PtrRange) and pointer.origin.kind == "held":
        emit_fields.store(em, place, pointer, value)
        return
    if not isinstance(pointer, PtrRange) or pointer.origin.kind == "mixed":
        em.add(effect(f"STORE({em.address(place)}, {size}, {value.text})", em.pc))
        return
    origin, off = pointer.origin, pointer.lo + place.off
    if pointer.lo != pointer.hi:
        if origin.layout is not None:
            em.add(effect(f"STORE({em.address(place)}, {size}, {value.text})", em.pc))
        elif origin.shape is not None or origin.checked:
            em.add(effect(f"g_{origin.name}.store({variable_index(em, place)}, {size}, {value.text})", em.pc))
        else:
            _put_variable(em, origin, place, value)
    elif origin.shape is not None:
        emit_values.store(em, origin, off, size, value)
    elif origin.checked:
        em.add(effect(f"g_{origin.name}.store({constant_index(origin, off)}, {size}, {value.text})", em.pc))
    elif origin.kind == "fp" and (slot_at(pointer, place.off), size) in em.frame.local:
        _scatter(em, em.frame.local[slot_at(pointer, place.off), size], value, reg)
    elif origin.layout is not None:
        _store_field(em, origin, off, size, value)
    else:
        view = _view(em, origin, off, size)
        if view is not None:
            em.add(effect(f"{view} = {value.text}", em.pc))
        else:
            em.add(_put(origin, constant_index(origin, off), size, value, em.pc))


def _put(origin: PtrOrigin, index: str, size: int, value: Expr, pc: int) -> Stmt:
    if size == 1:
        return effect(f"{data_name(origin)}[{index}] = {value.text}", pc)
    return effect(f"P{size}({data_name(origin)}, {index}, {value.text})", pc)


def _store_field(em: CodeWriter, origin: PtrOrigin, off: int, size: int, value: Expr) -> None:
    how: FieldAccess | None = origin.layout.writing(off, size)
    if how is None or how.wide or how.shift or how.mask != (1 << 8 * (how.field.element or how.field.size)) - 1:
        # Also for ctx->skb, because a store to it transfers a reference.
        em.add(effect(f"g_{origin.name}.store({off}, {size}, {value.text})", em.pc))
        return
    item = "" if how.item is None else f"[{how.item}]"
    em.add(effect(f"o_{origin.name}.{how.field.name}{item} = {value.text}", em.pc))
