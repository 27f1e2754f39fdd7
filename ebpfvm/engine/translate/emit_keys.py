"""Keys of maps as integers, formed from the variables of the frame instead of packed into bytes.

A program stores a rank big-endian, and the rbtree reads it big-endian, so two swaps of bytes cancel: next to a variable
of the frame that such a key contains, its number with swapped bytes is kept, which is what the program swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import Expr, bswap, cut, number
from ebpfvm.engine.translate.ranges import NumRange, PtrOrigin, PtrRange, slot_at
from ebpfvm.engine.translate.statements import slot_name

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.ranges import Slot
    from ebpfvm.ints import ByteOrder
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row

_MOST_TERMS = 3  # with more, packing bytes is faster


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


def unswap(row: Row, insn: Insn, known: tuple[int, str]) -> Expr | None:
    """Return the result of an instruction on a number with swapped bytes; its size and what was swapped are `known`.

    The instruction swaps them again, or selects the last byte, which was the first one; None for others.
    """
    size, name = known
    if swap_size(row) == size:
        return Expr(name, 0, (1 << 8 * size) - 1)
    if row.op == "rsh" and row.source == "k" and insn.imm == 8 * size - 8 and row.width >= 8 * size:
        return Expr(f"({name} & 255)", 0, 255)
    return None


def from_frame(em: CodeWriter, key: object, size: int, order: ByteOrder) -> str | None:
    """Return the integer in a key of few variables of the frame; None for other keys."""
    if not isinstance(key, PtrRange) or key.lo != key.hi:
        return None
    if key.origin.kind == "key":
        return _same_key(em, key, size, order)
    if key.origin.kind != "fp":
        return None
    start, end = slot_at(key), slot_at(key) + size
    atoms = [slot for slot in em.frame.atoms if start <= slot[0] < end]
    parts = [(8 * (end - off - width if order == "big" else off - start), _part(em, (off, width), order))
             for off, width in atoms]
    if not parts:
        return None
    if all(part.const is not None for _, part in parts):
        return f"{sum(part.lo << shift for shift, part in parts):#x}"
    if len(parts) > _MOST_TERMS:
        return None
    terms = [f"{part.text} << {shift}" if shift else part.text for shift, part in parts if part.const != 0]
    return f"({' | '.join(terms)})" if len(parts) > 1 else terms[0]


def _same_key(em: CodeWriter, key: PtrRange, size: int, order: ByteOrder) -> str | None:
    """Return the key that a walk passes, if that is a whole key of the other map."""
    walked = em.keys[key.origin.name]
    return f"d_{key.origin.name}" if not key.lo and (walked.key_size, walked.order) == (size, order) else None


def from_key(em: CodeWriter, origin: PtrOrigin, off: int, size: int) -> tuple[Expr, Expr | None]:
    """Return a number in the key that a walk passes, and before its bytes were reversed if they were."""
    walked = em.keys[origin.name]
    shift = 8 * (walked.key_size - off - size if walked.order == "big" else off)
    name, top = f"d_{origin.name}", (1 << 8 * walked.key_size) - 1
    plain = cut(Expr(f"({name} >> {shift})", 0, top >> shift) if shift else Expr(name, 0, top), 8 * size)
    if walked.order == "little" or size == 1:
        return plain, None
    return swapped(plain, size), plain


def key_bytes(em: CodeWriter, key: PtrRange, size: int) -> str:
    """Return bytes of the key that a walk passes."""
    walked = em.keys[key.origin.name]
    return f"d_{key.origin.name}.to_bytes({walked.key_size}, '{walked.order}')[{key.lo}:{key.lo + size}]"


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
