"""What is known on the way to a block: constants, NULL, who holds a packet, and what maps contain."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import VARIABLE, Stmt, effect
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.fused.parsed import attribute, is_none, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "program"  # the key of a fact about the program itself
References = tuple[str, int]
"""References to a packet: a number, to which one of an unknown holder is added ("" for none)."""

_COMPUTED: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b, ast.BitXor: lambda a, b: a ^ b, ast.RShift: lambda a, b: a >> b}
_COMPARED: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b, ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b}


class PathFacts(NamedTuple):
    """Facts, most of them about variables.

    Attributes:
        const, null: which constant a variable has, and whether it is None.
        refs: references to the packet that a variable has.
        late: the packets whose references are known, but not stored yet.
        same: variables that are copies of others.
        addresses: variable with an address -> the variable with the packet at it, or with None.
        parts: variables that are the upper bits of others (shift, -1), or the lower ones (0, mask).
        keys: the text of a key that is computed from variables alone, with those -> variable with that key.
        found: (map, key) -> variable with that element's value, or with None.
        first: map -> variable with the map's first key.
        cells: (variable with a map's value, index) -> what is in it: a variable or "None".
        gone: variable with a value that was deleted from a map -> where values are kept to be used again, and its size.
        intact: the program, as long as it has deleted nothing else from a map.
        cold: the program, once something unusual has happened: then nothing else is known, and nothing special is done.
    """

    const: dict[str, int]
    null: dict[str, bool]
    refs: dict[str, References]
    late: dict[str, bool]
    same: dict[str, str]
    addresses: dict[str, str]
    parts: dict[str, tuple[str, int, int]]
    keys: dict[tuple[str, ...], str]
    found: dict[tuple[str, str], str]
    first: dict[str, str]
    cells: dict[tuple[str, int], str]
    gone: dict[str, tuple[str, int]]
    intact: dict[str, bool]
    cold: dict[str, bool]

    @classmethod
    def nothing(cls, cold: bool = False) -> PathFacts:
        """Return no facts."""
        found = cls(*({} for _ in cls._fields))
        if cold:
            found.cold[PROGRAM] = True
        return found

    def _parts(self) -> tuple[dict[Any, Any], ...]:
        return tuple(self)

    def copy(self) -> PathFacts:
        """Return a copy."""
        return PathFacts._make(map(dict.copy, self._parts()))

    def become(self, other: PathFacts) -> None:
        """Take over the facts of another."""
        for part, new in zip(self._parts(), other._parts(), strict=True):
            part.clear()
            part.update(new)

    def key(self) -> tuple[object, ...]:
        """Return what is known, as a key."""
        return tuple([frozenset(part.items()) if part else None for part in self._parts()])

    def forget(self, name: str) -> None:
        """Forget what is known of a variable that is assigned."""
        for part in self._parts() if name else ():
            for key in [key for key, value in part.items() if name in (key, value)
                        or (type(key) is tuple and name in key) or (type(value) is tuple and name in value)]:
                del part[key]

    def keep(self, live: frozenset[str]) -> None:
        """Forget what is known of variables that are not live."""
        for part in self._parts():
            if part and part is not self.late and part is not self.gone:
                for key in [key for key, value in part.items() if not (_lives(key, live) and _lives(value, live))
                            and key not in self.late and key not in self.gone and key != PROGRAM]:
                    del part[key]

    def root(self, name: str) -> str:
        """Return the variable that a variable is a copy of."""
        return self.same.get(name, name)

    def is_null(self, name: str) -> bool | None:
        """Return whether a variable is None, None if that is not known."""
        return self.null.get(self.root(name))

    @property
    def is_late(self) -> bool:
        """Whether something is not stored yet."""
        return bool(self.late or self.gone)

    def quiesced(self, pc: int) -> list[Stmt]:
        """Return what is to be done when a program ends, and nothing it has deleted is used any more."""
        out = [effect(f"{spare}.append({name})", pc) for name, (spare, _) in self.gone.items()]
        self.gone.clear()
        if PROGRAM not in self.intact:
            out.append(effect("if MEMORY.retired_bytes or MEMORY.retired: MEMORY.quiesce()", pc))
        return out

    def store_late(self, pc: int) -> list[Stmt]:
        """Return the stores of what is known, but not stored yet: that values were deleted, and references."""
        out = [effect(f"{name}.alive = False; BYTES.retire({size})", pc) for name, (_, size) in self.gone.items()]
        if self.gone:
            self.intact.clear()
            self.gone.clear()
        return [*out, *self.store_references(pc)]

    def store_references(self, pc: int) -> list[Stmt]:
        """Return the stores of the references that are not stored yet."""
        out = []
        for name in self.late:
            symbol, number = self.refs[name]
            terms = [f"{symbol}.unit"] if symbol else []
            terms += [f"{number:#x}"] if number or not symbol else []
            out.append(effect(f"{name}.refs = {' + '.join(terms)}", pc))
        self.late.clear()
        return out

    def forget_references(self, pc: int) -> list[Stmt]:
        """Forget what is known of references, and return the stores of those that are not stored yet."""
        out = self.store_references(pc)
        self.refs.clear()
        return out

    # ---- conditions -------------------------------------------------------------------------------------------------

    def decided(self, node: ast.expr) -> bool | None:
        """Return whether a condition is true, None if that is not known."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.decided(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            both = isinstance(node.op, ast.And)
            parts = [self.decided(part) for part in node.values]
            return (not both) if (not both) in parts else None if None in parts else both
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and is_none(node.comparators[0]):
            null = self.is_null(name_of(node.left))
            return None if null is None else null == isinstance(node.ops[0], ast.Is)
        number = self.number(node)
        return None if number is None else bool(number)

    def undecided(self, node: ast.expr) -> ast.expr:
        """Return a condition without what is known to change nothing."""
        if not isinstance(node, ast.BoolOp):
            return node
        neutral = isinstance(node.op, ast.And)
        parts = [part for part in node.values if self.decided(part) is not neutral] or node.values[-1:]
        return parts[0] if len(parts) == 1 else ast.BoolOp(node.op, parts)

    def number(self, node: ast.expr) -> int | None:
        """Return what an expression is, None if that is not known."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, int) else None
        if isinstance(node, ast.Name):
            return self.const.get(node.id)
        left, operator, right = _operation(node)
        if operator is None:
            held = self.references(node)
            return held[1] if held is not None and not held[0] else None
        b = self.number(right)
        if b is None:
            return None
        a, held = self.number(left), self.references(left)
        if a is not None:
            found: Any = _COMPUTED.get(operator) or _COMPARED.get(operator)
            return None if found is None else int(found(a, b))
        if held is None:
            return None
        # Each holder has bits of its own, and b has none of this one's.
        return held[1] & b if operator is ast.BitAnd else int(operator is ast.NotEq) if held[1] == b else None

    def references(self, node: ast.expr) -> References | None:
        """Return the known references to a packet, if an expression is the number of those."""
        return self.refs.get(self.root(name_of(attribute(node, "refs"))))


def _operation(node: ast.expr) -> tuple[Any, Any, Any]:
    """Return the parts of a computation or comparison of two numbers."""
    if isinstance(node, ast.BinOp):
        return node.left, type(node.op), node.right
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return node.left, type(node.ops[0]), node.comparators[0]
    return None, None, None


@lru_cache(4096)
def is_variable(name: object) -> bool:
    """Return whether something is the name of a variable of generated code."""
    return isinstance(name, str) and VARIABLE.fullmatch(name) is not None


def _lives(names: object, live: frozenset[str]) -> bool:
    """Return whether all names of variables in a part of a fact are live."""
    if type(names) is tuple:
        return all(each in live or not is_variable(each) for each in names)
    return names in live or not is_variable(names)
