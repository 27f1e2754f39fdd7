"""Runs functions of the scalar domain on symbolic numbers.

The source of the function is interpreted statement by statement. Where a condition depends on symbols, both branches
are executed and the variables they leave behind are joined by ``z3.If``, so one run covers every path. Only what the
domain uses of Python is known here; anything else is an error, not a guess.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import z3

from tests.proofs import integers as i

LIMIT = 80  # turns of a `while`


@dataclass(frozen=True, eq=False)
class Maybe:
    """None where `none` holds, else `value`."""

    none: Any
    value: Any


@dataclass(frozen=True, eq=False)
class Record:
    """A NamedTuple with symbolic fields."""

    type: type
    items: tuple[Any, ...]

    def get(self, name: str) -> Any:
        return self.items[self.type._fields.index(name)]  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Cases:
    """One of several outcomes of stubbed functions, by condition."""

    cases: tuple[tuple[Any, Any], ...]


def land(*parts: Any) -> Any:
    """Conjunction that keeps what is decided."""
    left = [part for part in parts if part is not True]
    if any(part is False for part in left):
        return False
    return z3.And(*left) if len(left) > 1 else left[0] if left else True


def lnot(part: Any) -> Any:
    return not part if isinstance(part, bool) else z3.Not(part)


def lor(*parts: Any) -> Any:
    return lnot(land(*(lnot(part) for part in parts)))


def join(condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b`` for any value of the domain."""
    if condition is True or a is b:
        return a
    if condition is False:
        return b
    if isinstance(a, (bool, z3.BoolRef)) and isinstance(b, (bool, z3.BoolRef)):
        return lor(land(condition, a), land(lnot(condition), b))
    if isinstance(a, (int, i.Int)) and isinstance(b, (int, i.Int)):
        return i.choose(condition, a, b)
    if a is None or b is None or isinstance(a, Maybe) or isinstance(b, Maybe):
        return _join_maybe(condition, a, b)
    if isinstance(a, Cases) or isinstance(b, Cases):
        return Cases(tuple((land(condition, c), v) for c, v in _cases(a))
                     + tuple((land(lnot(condition), c), v) for c, v in _cases(b)))
    items = tuple(join(condition, x, y) for x, y in zip(_items(a), _items(b), strict=True))
    kind = a.type if isinstance(a, Record) else type(a)
    return Record(kind, items) if hasattr(kind, "_fields") else items


def _cases(value: Any) -> tuple[tuple[Any, Any], ...]:
    return value.cases if isinstance(value, Cases) else ((True, value),)


def _join_maybe(condition: Any, a: Any, b: Any) -> Maybe:
    none_a, value_a = (a.none, a.value) if isinstance(a, Maybe) else (a is None, a)
    none_b, value_b = (b.none, b.value) if isinstance(b, Maybe) else (b is None, b)
    none = lor(land(condition, none_a), land(lnot(condition), none_b))
    if value_a is None or value_b is None:
        return Maybe(none, value_b if value_a is None else value_a)
    return Maybe(none, join(condition, value_a, value_b))


def _items(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Maybe):
        value = value.value
    if isinstance(value, Record):
        return value.items
    return tuple(value)


def truth(value: Any) -> Any:
    """The value as a condition."""
    if isinstance(value, i.Int):
        return lnot(i.equal(value, 0))
    if isinstance(value, (bool, z3.BoolRef)):
        return value
    if isinstance(value, int):
        return bool(value)
    if value is None:
        return False
    raise NotImplementedError(f"truth of {value!r}")


def impossible(condition: Any) -> bool:
    """Can Z3 see that the condition never holds?"""
    solver = z3.Solver()
    solver.add(condition)
    return bool(solver.check() == z3.unsat)


@functools.cache
def definition(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (node,) = tree.body
    if not isinstance(node, ast.FunctionDef):
        raise NotImplementedError(f"{function} is not a plain function")
    return node


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: i.add, ast.Sub: i.sub, ast.Mult: i.mul, ast.FloorDiv: i.floordiv, ast.BitAnd: i.and_, ast.BitOr: i.or_,
    ast.BitXor: i.xor, ast.LShift: i.lshift, ast.RShift: i.rshift,
}
PLAIN: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: int.__add__, ast.Sub: int.__sub__, ast.Mult: int.__mul__, ast.FloorDiv: int.__floordiv__,
    ast.BitAnd: int.__and__, ast.BitOr: int.__or__, ast.BitXor: int.__xor__, ast.LShift: int.__lshift__,
    ast.RShift: int.__rshift__,
}


def operate(op: ast.operator, a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return PLAIN[type(op)](int(a), int(b))
    if isinstance(a, z3.BoolRef):
        a = i.choose(a, 1, 0)
    if isinstance(b, z3.BoolRef):
        b = i.choose(b, 1, 0)
    return BINARY[type(op)](a, b)


def same(a: Any, b: Any) -> Any:
    """``a == b``, also of tuples."""
    if isinstance(a, (int, i.Int)) and isinstance(b, (int, i.Int)):
        return i.equal(a, b)
    left, right = _items(a), _items(b)
    return len(left) == len(right) and land(*(same(x, y) for x, y in zip(left, right, strict=True)))


class Machine:
    """Interprets functions; `stubs` replaces some of them, by the function itself."""

    def __init__(self, stubs: Mapping[Any, Callable[..., Any]]) -> None:
        self.stubs = stubs

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        """The value of ``function(*args)``."""
        if function in self.stubs:
            return self.stubs[function](*args)
        if function in (min, max):
            return functools.reduce(lambda a, b: self._extreme(function, a, b), args)
        if function is abs:
            return i.absolute(args[0])
        if function is int:
            return join(truth(args[0]), 1, 0)
        if inspect.isclass(function) and hasattr(function, "_fields"):
            return Record(function, args)
        if not isinstance(function, FunctionType):
            raise NotImplementedError(f"call of {function!r}")
        return Frame(self, function, args).run()

    def _extreme(self, function: Any, a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int):
            return function(a, b)
        return join(i.less(a, b) if function is min else i.less(b, a), a, b)


class Frame:
    """One call: the variables, and the condition under which control is still here."""

    def __init__(self, machine: Machine, function: FunctionType, args: tuple[Any, ...]) -> None:
        node = definition(function)
        self.machine = machine
        self.function = function
        self.names = dict(zip((arg.arg for arg in node.args.args), args, strict=True))
        self.outer = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        self.here: Any = True
        self.result: Any = None
        self.returned: Any = False
        self.body = node.body

    def run(self) -> Any:
        self.block(self.body)
        return self.result

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if self.here is False:
                return
            getattr(self, f"do_{type(statement).__name__}")(statement)

    def do_Expr(self, node: ast.Expr) -> None:
        assert isinstance(node.value, ast.Constant), "only docstrings"

    def do_Return(self, node: ast.Return) -> None:
        value = self.value(node.value) if node.value else None
        self.result = value if self.returned is False else join(self.returned, self.result, value)
        self.returned = lor(self.returned, self.here)
        self.here = False

    def do_Assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:
        assert node.value is not None
        self.assign(node.target, self.value(node.value))

    def do_AugAssign(self, node: ast.AugAssign) -> None:
        assert isinstance(node.target, ast.Name)
        self.assign(node.target, operate(node.op, self.name(node.target.id), self.value(node.value)))

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, item in zip(target.elts, _items(value), strict=True):
                self.assign(part, item)
            return
        assert isinstance(target, ast.Name)
        old = self.names.get(target.id, value)
        self.names[target.id] = value if self.here is True else join(self.here, value, old)

    def do_If(self, node: ast.If) -> None:
        condition = truth(self.value(node.test))
        before = self.here
        self.here = land(before, condition)
        self.known_not_none(node.test, ast.IsNot)
        self.block(node.body)
        after = self.here
        self.here = land(before, lnot(condition))
        if after is False:
            self.known_not_none(node.test, ast.Is)
        self.block(node.orelse)
        self.here = lor(after, self.here)

    def known_not_none(self, test: ast.expr, op: type[ast.cmpop]) -> None:
        """After ``if x is None: return`` and inside ``if x is not None``, x is its value."""
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], op) and isinstance(test.left, ast.Name):
            value = self.names[test.left.id]
            self.names[test.left.id] = value.value if isinstance(value, Maybe) else value

    def do_For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)
        self.turns(range(*[self.value(arg) for arg in node.iter.args]), node.body, node.target.id)

    def do_While(self, node: ast.While) -> None:
        left: Any = False
        for _ in range(LIMIT):
            condition = truth(self.value(node.test))
            left = lor(left, land(self.here, lnot(condition)))
            self.here = land(self.here, condition)
            if self.here is False or impossible(self.here):
                break
            self.block(node.body)
        else:
            raise NotImplementedError("a loop that does not end")
        self.here = left

    def turns(self, numbers: range, body: list[ast.stmt], name: str) -> None:
        self.left: Any = False
        for number in numbers:
            self.names[name] = number
            self.block(body)
        self.here = lor(self.here, self.left)

    def do_Break(self, node: ast.Break) -> None:
        self.left = lor(self.left, self.here)
        self.here = False

    def name(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        return self.outer[name] if name in self.outer else getattr(builtins, name)

    def value(self, node: ast.expr) -> Any:
        return getattr(self, f"of_{type(node).__name__}")(node)

    def of_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def of_Name(self, node: ast.Name) -> Any:
        return self.name(node.id)

    def of_Tuple(self, node: ast.Tuple) -> Any:
        return self.many(node.elts)

    def many(self, nodes: list[ast.expr]) -> tuple[Any, ...]:
        items: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items.extend(_items(self.value(node.value)))
            else:
                items.append(self.value(node))
        return tuple(items)

    def of_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, tuple) and isinstance(right, int):
            return left * right
        return operate(node.op, left, right)

    def of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return lnot(truth(value))
        return i.invert(value) if isinstance(node.op, ast.Invert) else -value if isinstance(value, int) \
            else i.negative(value)

    def of_BoolOp(self, node: ast.BoolOp) -> Any:
        combine = land if isinstance(node.op, ast.And) else lor
        return combine(*(truth(self.value(part)) for part in node.values))

    def of_IfExp(self, node: ast.IfExp) -> Any:
        condition = truth(self.value(node.test))
        if isinstance(condition, bool):
            return self.value(node.body if condition else node.orelse)
        return join(condition, self.value(node.body), self.value(node.orelse))

    def of_Compare(self, node: ast.Compare) -> Any:
        values = [self.value(part) for part in (node.left, *node.comparators)]
        return land(*(self.compare(op, a, b) for op, a, b in zip(node.ops, values[:-1], values[1:], strict=True)))

    def compare(self, op: ast.cmpop, a: Any, b: Any) -> Any:
        if isinstance(op, (ast.Is, ast.IsNot)):
            assert b is None
            none = a.none if isinstance(a, Maybe) else a is None
            return none if isinstance(op, ast.Is) else lnot(none)
        if isinstance(op, (ast.Eq, ast.NotEq)):
            if isinstance(a, z3.BoolRef) or isinstance(b, z3.BoolRef):
                equal = lor(land(a, b), land(lnot(a), lnot(b)))
            else:
                equal = same(a, b)
            return equal if isinstance(op, ast.Eq) else lnot(equal)
        if isinstance(op, (ast.In, ast.NotIn)):
            found = lor(*(same(a, item) for item in b))
            return found if isinstance(op, ast.In) else lnot(found)
        if isinstance(a, Maybe):
            a = a.value
        if isinstance(op, ast.Lt):
            return i.less(a, b)
        if isinstance(op, ast.Gt):
            return i.less(b, a)
        if isinstance(op, ast.LtE):
            return lnot(i.less(b, a))
        assert isinstance(op, ast.GtE)
        return lnot(i.less(a, b))

    def of_Attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, Record):
            found = inspect.getattr_static(owner.type, node.attr)
            return self.machine.call(found.fget, (owner,)) if isinstance(found, property) else owner.get(node.attr)
        assert isinstance(owner, ModuleType) or hasattr(owner, "_fields"), node.attr
        return getattr(owner, node.attr)

    def of_Subscript(self, node: ast.Subscript) -> Any:
        items = _items(self.value(node.value))
        if isinstance(node.slice, ast.Slice):
            ends = [self.value(end) if end else None for end in (node.slice.lower, node.slice.upper)]
            return items[slice(*ends)]
        return items[self.value(node.slice)]

    def of_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "bit_length":
            of = self.value(node.func.value)
            return of.bit_length() if isinstance(of, int) else i.BitLength(of)
        assert not node.keywords
        return self.machine.call(self.value(node.func), self.many(node.args))
