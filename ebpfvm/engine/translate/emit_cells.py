"""Emit loads and stores of parts of values that are cut into cells (`ValueShape`, `ObjectShape`).

A caller says how a cell is written (`item`). An access of exactly one cell is that cell; one of parts of a cell, or of
several, is put together from cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ebpfvm.engine.steps import Expr
from ebpfvm.engine.translate.statements import assign, effect

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from ebpfvm.engine.translate.code_writer import CodeWriter


class Shape(Protocol):
    """How bytes are cut into cells; see the classes."""

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """Offset and size of each cell."""

    @property
    def places(self) -> Mapping[tuple[int, int], int]:
        """(offset, size) -> number of the cell."""

    @property
    def packets(self) -> Container[int]:
        """The numbers of the cells that are no numbers."""

    def covering(self, off: int, size: int) -> list[int]:
        """Return the numbers of the cells that an access touches."""


def moved(text: str, bits: int) -> str:
    """Return an expression shifted to the left, or to the right by a negative number of bits."""
    return f"{text} << {bits}" if bits > 0 else f"{text} >> {-bits}" if bits else text


def load(shape: Shape, item: Callable[[int], str], off: int, size: int) -> Expr | None:
    """Return the number at a place, None if a cell that is no number is there."""
    top = (1 << 8 * size) - 1
    touched = shape.covering(off, size)
    if any(number in shape.packets for number in touched):
        return None
    number = shape.places.get((off, size))
    if number is not None:
        return Expr(item(number), 0, top)
    terms = [moved(item(number), 8 * (shape.parts[number][0] - off)) for number in touched]
    return Expr(f"(({' | '.join(terms)}) & {top:#x})", 0, top)


def store(em: CodeWriter, shape: Shape, item: Callable[[int], str], off: int, size: int, value: Expr) -> bool:
    """Append the lines that store a number at a place; return False if a cell that is no number is there."""
    touched = shape.covering(off, size)
    if any(number in shape.packets for number in touched):
        return False
    number = shape.places.get((off, size))
    if number is not None:
        em.add(effect(f"{item(number)} = {value.text}", em.pc))
        return True
    whole = f"t_{em.pc}_value"
    em.add(assign(whole, value.text, em.pc))
    for number in touched:
        start, length = shape.parts[number]
        shift, full = 8 * (off - start), (1 << 8 * length) - 1
        changed = ((1 << 8 * size) - 1 << shift if shift >= 0 else (1 << 8 * size) - 1 >> -shift) & full
        kept = "" if changed == full else f"({item(number)} & {full & ~changed:#x}) | "
        em.add(effect(f"{item(number)} = {kept}(({moved(whole, shift)}) & {changed:#x})", em.pc))
    return True
