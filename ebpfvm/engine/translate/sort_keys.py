"""Functions that order a tree by one number: `return a->key < b->key`.

The instructions of such a function are followed on every path. It has to return 1 exactly where the number of the new
object is less than that of the other one, both unsigned and at the same place, and 0 elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.engine.translate.held_pointers import Root
    from ebpfvm.engine.translate.unit import Unit

_LONGEST: Final = 16  # instructions
_KINDS: Final = ("alu", "ldx", "jmp", "ja", "exit")


class _Node(NamedTuple):
    """A pointer `off` bytes from the node that is argument `n`."""

    n: int
    off: int


class _Number(NamedTuple):
    """The number of `size` bytes there."""

    n: int
    off: int
    size: int


_Value = _Node | _Number | int | None
_Path = tuple[list[tuple[str, _Value, _Value, bool]], _Value]
_NEW_IS_LESS: Final = {("jlt", True, 1), ("jge", False, 1), ("jgt", True, 2), ("jle", False, 2)}
_IS_NOT: Final = {("jlt", False, 1), ("jge", True, 1), ("jgt", False, 2), ("jle", True, 2)}


def cell_of(unit: Unit, target: int, root: Root) -> int | None:
    """Return the cell of a tree's objects by which the function at `target` orders them, None if it does not."""
    key, shape = key_of(unit, target), root.kind.shape
    number = None if key is None else shape.places.get((root.at + key[0], key[1]))
    return None if number in shape.packets else number


def key_of(unit: Unit, entry: int) -> tuple[int, int] | None:
    """Return place (from the node) and size of the number by which the function at `entry` orders, None for others."""
    flow = unit.flow(entry)
    if len(flow) > _LONGEST or any(row.kind not in _KINDS for pc in flow if (row := unit.rows[pc]) is not None) \
            or unit.plain(entry).loops:
        return None
    regs: dict[int, _Value] = {1: _Node(1, 0), 2: _Node(2, 0)}
    found: set[tuple[int, int] | None] = set()
    results = set()
    for tests, result in _paths(unit, flow, entry, regs):
        if len(tests) != 1 or result not in (0, 1):
            return None
        key, less = _judged(*tests[0])
        found.add(key)
        results.add((less, result))
    return found.pop() if results == {(True, 1), (False, 0)} and len(found) == 1 else None


def _judged(op: str, a: _Value, b: _Value, holds: bool) -> tuple[tuple[int, int] | None, bool | None]:
    """Return the number that a test compares, and whether it says that the new object's is less."""
    if not isinstance(a, _Number) or not isinstance(b, _Number) or a[1:] != b[1:] or {a.n, b.n} != {1, 2}:
        return None, None
    test = op, holds, a.n
    less = True if test in _NEW_IS_LESS else False if test in _IS_NOT else None
    return (a.off, a.size), less


def _paths(unit: Unit, flow: dict[int, list[int]], pc: int, regs: dict[int, _Value]) -> Iterator[_Path]:
    """Yield the tests and the result of each path from `pc` on."""
    tests: list[tuple[str, _Value, _Value, bool]] = []
    while True:
        row, insn = unit.rows[pc], unit.insns[pc]
        if row is None:
            yield tests, None
            return
        if row.kind == "exit":
            yield tests, regs.get(0)
            return
        if row.kind == "jmp":
            a, b = regs.get(insn.dst), regs.get(insn.src) if row.source == "x" else None
            if row.width == 32 and not _fits(a, b):
                a = None
            for holds, following in zip((False, True), flow[pc], strict=False):
                for more, result in _paths(unit, flow, following, dict(regs)):
                    yield [*tests, (row.op, a, b, holds), *more], result
            return
        if row.kind in ("alu", "ldx"):
            regs[insn.dst] = _computed(unit, pc, regs)
        pc = flow[pc][0]


def _fits(*values: _Value) -> bool:
    return all(isinstance(value, _Number) and value.size <= 4 for value in values)


def _computed(unit: Unit, pc: int, regs: dict[int, _Value]) -> _Value:
    """Return what the instruction at `pc` puts into its register, None for what is not followed."""
    row, insn = unit.rows[pc], unit.insns[pc]
    assert row is not None
    if row.kind == "ldx":
        base = regs.get(insn.src)
        known = isinstance(base, _Node) and not row.sign
        return _Number(base.n, base.off + insn.off, row.width // 8) if known else None  # type: ignore[union-attr]
    value = regs.get(insn.src) if row.source == "x" else insn.imm
    old = regs.get(insn.dst)
    if row.op == "mov":
        return value if row.width == 64 or (isinstance(value, int) and value >= 0) or _fits(value) else None
    if row.op in ("add", "sub") and row.width == 64 and isinstance(old, _Node) and isinstance(value, int):
        return _Node(old.n, old.off + (value if row.op == "add" else -value))
    return None
