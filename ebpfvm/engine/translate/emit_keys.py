"""Keys of maps as integers, formed from the variables of the frame instead of packed into bytes.

A program stores a rank big-endian, and the rbtree reads it big-endian, so two swaps of bytes cancel: next to a variable
of the frame that such a key contains, its number with swapped bytes is kept, which is what the program swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import Expr, bswap, number
from ebpfvm.engine.translate.ranges import FP, NumRange, PtrRange

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.ranges import Slot
    from ebpfvm.ints import ByteOrder
    from ebpfvm.isa.table import Row

_MOST_TERMS = 3  # with more, packing bytes is faster


def slot_name(off: int, size: int) -> str:
    """Return the name of the variable of a stack slot."""
    return f"s_{-off}_{size}"


def swapped_name(off: int, size: int) -> str:
    """Return the name of the variable that has the bytes of a stack slot's number in reverse."""
    return f"s_{-off}_{size}_be"


def swapped(value: Expr, size: int) -> Expr:
    """Return a number of `size` bytes with its bytes reversed."""
    if value.const is not None:
        return number(bswap(value.const, 8 * size))
    return Expr(f"from_bytes(({value.text}).to_bytes({size}, 'little'), 'big')", 0, (1 << 8 * size) - 1)


def swap_size(row: Row) -> int:
    """Return how many bytes an instruction reverses, 0 if it does something else."""
    return int(row.op[-2:]) // 8 if row.op in ("be16", "be32", "be64", "bswap16", "bswap32", "bswap64") else 0


def from_frame(em: CodeWriter, key: object, size: int, order: ByteOrder) -> str | None:
    """Return the integer in a key of few variables of the frame; None for other keys."""
    if not isinstance(key, PtrRange) or key.origin is not FP or key.lo != key.hi:
        return None
    end = key.lo + size
    atoms = [slot for slot in em.frame.atoms if key.lo <= slot[0] < end]
    parts = [(8 * (end - off - width if order == "big" else off - key.lo), _part(em, (off, width), order))
             for off, width in atoms]
    if not parts:
        return None
    if all(part.const is not None for _, part in parts):
        return f"{sum(part.lo << shift for shift, part in parts):#x}"
    if len(parts) > _MOST_TERMS:
        return None
    terms = [f"{part.text} << {shift}" if shift else part.text for shift, part in parts if part.const != 0]
    return f"({' | '.join(terms)})" if len(parts) > 1 else terms[0]


def _part(em: CodeWriter, atom: Slot, order: ByteOrder) -> Expr:
    """Return what an atom contributes to a key."""
    off, size = atom
    value = em.value(em.state.slots.get(atom, NumRange(0, (1 << 8 * size) - 1)), slot_name(off, size))
    if order == "little" or size == 1:
        return value
    if value.const is not None:
        return swapped(value, size)
    if atom in em.frame.swapped:
        return Expr(swapped_name(off, size), 0, (1 << 8 * size) - 1)
    return swapped(value, size)
