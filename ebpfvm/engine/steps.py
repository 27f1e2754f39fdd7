"""The one lowering from the meaning of an instruction (text of its row in `isa.table`) to Python.

`lower` translates the text to a Python expression over given operands. Each operand and result carries the interval of
its value, and a truncation to W bits is only written where the interval requires it. The interpreter knows nothing
about its operands, so all truncations are written; the translator passes the results of its range pass, so fewer are.
The interval of the result comes from the same walk, so that code and range cannot disagree.
"""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import InternalError
from ebpfvm.ints import U64_MAX, signed
from ebpfvm.isa.table import ROWS
from ebpfvm.isa.table_checks import check
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.isa.table import Row

check(ROWS)


class Expr(NamedTuple):
    """A Python expression, as text that can be used anywhere, and the interval of its value.

    Attributes:
        text: an atom, or in parentheses.
        lo, hi: bounds, both included.
    """

    text: str
    lo: int
    hi: int

    @property
    def const(self) -> int | None:
        """The value if there is only one."""
        return self.lo if self.lo == self.hi else None


def number(n: int) -> Expr:
    """Return a constant."""
    text = f"{n:#x}" if n > 0xFFFF else str(n)
    return Expr(text if n >= 0 else f"({text})", n, n)


def operand(text: str, lo: int = 0, hi: int = U64_MAX) -> Expr:
    """Return a register or another atom."""
    return Expr(text, lo, hi)


def cut(value: Expr, width: int) -> Expr:
    """Return the low `width` bits, unsigned."""
    mask = (1 << width) - 1
    if value.lo >= 0 and value.hi <= mask:
        return value
    if value.const is not None:
        return number(value.const & mask)
    return Expr(f"({value.text} & {mask:#x})", 0, mask)


def sdiv(a: int, b: int, width: int) -> int:
    """Return the signed quotient of unsigned `width`-bit numbers, truncated; 0 for division by zero (RFC 9669, 4.1)."""
    x, y = signed(a, width), signed(b, width)
    if not y:
        return 0
    quotient = abs(x) // abs(y)
    return (quotient if (x < 0) == (y < 0) else -quotient) & (1 << width) - 1


def smod(a: int, b: int, width: int) -> int:
    """Return the remainder that belongs to `sdiv`: it has the sign of the dividend, and is the dividend for zero."""
    x, y = signed(a, width), signed(b, width)
    if not y:
        return a
    rest = abs(x) % abs(y)
    return (-rest if x < 0 else rest) & (1 << width) - 1


def bswap(x: int, width: int) -> int:
    """Return the low `width` bits of `x` with their bytes reversed."""
    size = width // 8
    return int.from_bytes((x & (1 << width) - 1).to_bytes(size, "little"), "big")


# The functions that lowered text calls, by name.
PRIMITIVES: Final[Mapping[str, Callable[..., int]]] = {"sdiv": sdiv, "smod": smod, "from_bytes": int.from_bytes}


@functools.cache
def _parse(meaning: str) -> ast.expr:
    return ast.parse(meaning, mode="eval").body


def lower(row: Row, a: Expr, b: Expr, *, loose: bool = False, **names: Expr) -> Expr:
    """Return the value that `row.meaning` describes, truncated to the row's width.

    Args:
        row: an "alu", "atomic" or "ldx" row; pass the loaded number of the latter as `loaded`.
        a, b: destination and source operand, of any width; they are truncated as the row requires.
        loose: whether the result need not be truncated; then only its low bits, at most the row's width, are right.
        names: "old" and "r0" (atomics), "loaded" (ldx).
    """
    width = 64 if row.kind == "ldx" else row.width
    low = _low_only(row.meaning)
    known = {name: value if name in low and value.const is None else cut(value, row.width)
             for name, value in {"a": a, "b": b, **names}.items()}
    value = _Lowering(width, known).visit(_parse(row.meaning))
    if loose:
        return value
    if row.op == "lsh" and b.const is not None and not 0 <= value.lo <= value.hi < 1 << width:
        # Truncated before the shift, the number is smaller throughout.
        shift = b.const & width - 1
        low_bits = cut(known["a"], width - shift)
        return _lshift(low_bits, number(shift), width)
    return cut(value, width)


def condition(row: Row, a: Expr, b: Expr) -> Expr:
    """Return the condition of a "jmp" row; its interval is one number if it is always true (1) or always false (0)."""
    width = row.width
    return _Lowering(width, {"a": cut(a, width), "b": cut(b, width)}).visit(_parse(row.meaning))


@functools.cache
def _low_only(meaning: str) -> frozenset[str]:
    """Return the names of which only the low W bits can reach the truncated result, so that they need no truncation."""
    found: dict[str, bool] = {}

    def walk(node: ast.AST, low_bits: bool) -> None:
        if isinstance(node, ast.Name):
            found[node.id] = low_bits and found.get(node.id, True)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, _MODULAR):
            mask = isinstance(node.op, ast.BitAnd) and ast.unparse(node.right) == "W - 1"
            walk(node.left, low_bits or mask)
            walk(node.right, low_bits or mask)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
            walk(node.left, low_bits)
            walk(node.right, False)
        elif isinstance(node, ast.UnaryOp):
            walk(node.operand, low_bits)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("sext", "zext", "bswap"):
            walk(node.args[0], True)
        else:
            for child in ast.iter_child_nodes(node):
                walk(child, False)

    walk(_parse(meaning), True)
    return frozenset(name for name, low_bits in found.items() if low_bits)


_MODULAR = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)


class _Lowering:
    """One walk over a meaning."""

    def __init__(self, width: int, names: Mapping[str, Expr]) -> None:
        self.width = width
        self.sign = 1 << width - 1
        self.names = names

    def visit(self, node: ast.expr) -> Expr:
        if isinstance(node, ast.Name):
            return number(self.width) if node.id == "W" else self.names[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return number(node.value)
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](self.visit(node.left), self.visit(node.right), self.width)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            x = self.visit(node.operand)
            return number(-x.const) if x.const is not None else Expr(f"(-{x.text})", -x.hi, -x.lo)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "load":
                return self.names["loaded"]
            method: Callable[..., Expr] = getattr(self, f"_{node.func.id}")
            return method(*map(self.visit, node.args))
        raise InternalError(f"the instruction table uses {ast.dump(node)}, which has no lowering")

    def _compare(self, node: ast.Compare) -> Expr:
        left, right = node.left, node.comparators[0]
        a, b = self.visit(left), self.visit(right)
        symbol = _COMPARISONS[type(node.ops[0])]
        fixed = _decide(symbol, a, b)
        if fixed is not None:
            return number(int(fixed))
        if _issigned(left) and _issigned(right) and (a.lo < 0 or b.lo < 0):
            assert isinstance(left, ast.Call) and isinstance(right, ast.Call)
            a, b = self.visit(left.args[0]), self.visit(right.args[0])
            if b.const is not None and a.text.isidentifier():
                return Expr(self._beside(a.text, symbol, b.const), 0, 1)
            if a.const is not None and b.text.isidentifier():
                return Expr(self._beside(b.text, _MIRRORED[symbol], a.const), 0, 1)
            # Flipping the sign bit keeps the order and costs one operation less than making the number signed.
            a, b = self._flipped(a), self._flipped(b)
        return Expr(f"({a.text} {symbol} {b.text})", 0, 1)

    def _beside(self, x: str, symbol: str, constant: int) -> str:
        """Return a signed comparison as comparisons of unsigned numbers, which make no new number.

        Unsigned, the negative numbers follow the others: the less ones are `sign <= x`.
        """
        inside = {"<": f"{x} < {number(constant).text}", "<=": f"{x} <= {number(constant).text}",
                  ">": f"{x} > {number(constant).text}", ">=": f"{x} >= {number(constant).text}"}[symbol]
        negative = f"{x} >= {self.sign:#x}" if symbol.startswith("<") else f"{x} < {self.sign:#x}"
        if constant == 0 and symbol in ("<", ">="):
            return f"({negative})"
        return f"({inside} {'or' if symbol.startswith('<') != (constant >= self.sign) else 'and'} {negative})"

    def _flipped(self, x: Expr) -> Expr:
        return number(x.const ^ self.sign) if x.const is not None else Expr(f"({x.text} ^ {self.sign:#x})", 0, U64_MAX)

    def _s(self, x: Expr) -> Expr:
        if x.const is not None:
            return number(signed(x.const, self.width))
        if x.hi < self.sign:
            return x
        low = x.lo - 2 * self.sign if x.lo >= self.sign else -self.sign
        high = x.hi - 2 * self.sign if x.lo >= self.sign else self.sign - 1
        return Expr(f"(({x.text} ^ {self.sign:#x}) - {self.sign:#x})", low, high)

    def _ashr(self, x: Expr, n: Expr) -> Expr:
        return cut(_rshift(self._s(x), n, self.width), self.width)

    def _udiv(self, x: Expr, y: Expr) -> Expr:
        if y.lo > 0:
            return Expr(f"({x.text} // {y.text})", x.lo // y.hi, x.hi // y.lo)
        if y.const == 0:
            return number(0)
        return Expr(f"({x.text} // {y.text} if {y.text} else 0)", 0, x.hi)

    def _umod(self, x: Expr, y: Expr) -> Expr:
        if y.lo > 0:
            return Expr(f"({x.text} % {y.text})", 0, min(x.hi, y.hi - 1))
        if y.const == 0:
            return x
        return Expr(f"({x.text} % {y.text} if {y.text} else {x.text})", 0, x.hi)

    def _sdiv(self, x: Expr, y: Expr) -> Expr:
        return Expr(f"sdiv({x.text}, {y.text}, {self.width})", 0, 2 * self.sign - 1)

    def _smod(self, x: Expr, y: Expr) -> Expr:
        return Expr(f"smod({x.text}, {y.text}, {self.width})", 0, 2 * self.sign - 1)

    def _sext(self, x: Expr, n: Expr) -> Expr:
        low = cut(x, n.lo)
        if n.lo == self.width:
            return low
        narrow = _Lowering(n.lo, {})
        return cut(narrow._s(low), self.width)

    def _zext(self, x: Expr, n: Expr) -> Expr:
        return cut(x, n.lo)

    def _bswap(self, x: Expr, n: Expr) -> Expr:
        low = cut(x, n.lo)
        if low.const is not None:
            return number(bswap(low.const, n.lo))
        if n.lo == 16 and low.text.isidentifier():
            return Expr(f"(({low.text} & 255) << 8 | {low.text} >> 8)", 0, 0xFFFF)
        # In parentheses: a number may still replace a name.
        return Expr(f"from_bytes(({low.text}).to_bytes({n.lo // 8}, 'little'), 'big')", 0, (1 << n.lo) - 1)

    def _ite(self, c: Expr, x: Expr, y: Expr) -> Expr:
        return Expr(f"({x.text} if {c.text} else {y.text})", min(x.lo, y.lo), max(x.hi, y.hi))


def _issigned(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "s"


def _decide(symbol: str, a: Expr, b: Expr) -> bool | None:
    """Return the outcome of a comparison that the intervals decide, otherwise None."""
    if symbol in ("<", ">="):
        less = True if a.hi < b.lo else False if a.lo >= b.hi else None
        return less if less is None or symbol == "<" else not less
    if symbol in (">", "<="):
        greater = True if a.lo > b.hi else False if a.hi <= b.lo else None
        return greater if greater is None or symbol == ">" else not greater
    same = False if a.hi < b.lo or a.lo > b.hi else True if a.const is not None and a.const == b.const else None
    return same if same is None or symbol == "==" else not same


def _add(a: Expr, b: Expr, width: int) -> Expr:
    b = _small(b, width)
    if a.const is not None and b.const is not None:
        return number(a.const + b.const)
    if b.const is not None and b.const < 0:
        return Expr(f"({a.text} - {number(-b.const).text})", a.lo + b.const, a.hi + b.const)
    if b.const == 0:
        return a
    return Expr(f"({a.text} + {b.text})", a.lo + b.lo, a.hi + b.hi)


def _small(b: Expr, width: int) -> Expr:
    """Return a constant with the sign bit set as a negative number: the sum is equal modulo 2**W and stays in range."""
    return b if b.const is None else number(signed(b.const, width))


def _sub(a: Expr, b: Expr, width: int) -> Expr:
    if b.const is not None:
        return _add(a, number(-signed(b.const, width) & (1 << width) - 1), width)
    return Expr(f"({a.text} - {b.text})", a.lo - b.hi, a.hi - b.lo)


def _mul(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const * b.const)
    products = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Expr(f"({a.text} * {b.text})", min(products), max(products))


def _and(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const & b.const)
    for x, mask in ((a, b.const), (b, a.const)):
        # A mask of all the bits the other can have changes nothing.
        if mask is not None and mask & (mask + 1) == 0 and x.lo >= 0 and x.hi <= mask:
            return x
    if a.lo < 0 and b.lo < 0:
        return Expr(f"({a.text} & {b.text})", *_bits(a, b))
    return Expr(f"({a.text} & {b.text})", 0, b.hi if a.lo < 0 else a.hi if b.lo < 0 else min(a.hi, b.hi))


def _bits(a: Expr, b: Expr) -> tuple[int, int]:
    """Return the interval of the numbers, negative ones included, that have no more bits than both operands."""
    length = max(n.bit_length() for n in (a.lo, a.hi, b.lo, b.hi))
    return -(1 << length) if a.lo < 0 or b.lo < 0 else 0, (1 << length) - 1


def _or(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const | b.const)
    low, high = _bits(a, b)
    return Expr(f"({a.text} | {b.text})", max(a.lo, b.lo) if low == 0 else low, high)


def _xor(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const ^ b.const)
    return Expr(f"({a.text} ^ {b.text})", *_bits(a, b))


def _lshift(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const << b.const)
    if b.const == 0:
        return a
    return Expr(f"({a.text} << {b.text})", a.lo << (b.hi if a.lo < 0 else b.lo), a.hi << (b.hi if a.hi >= 0 else b.lo))


def _rshift(a: Expr, b: Expr, width: int) -> Expr:
    if a.const is not None and b.const is not None:
        return number(a.const >> b.const)
    if b.const == 0:
        return a
    low = a.lo >> (b.hi if a.lo >= 0 else b.lo)
    return Expr(f"({a.text} >> {b.text})", low, a.hi >> (b.lo if a.hi >= 0 else b.hi))


_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Expr, Expr, int], Expr]]] = {
    ast.Add: _add, ast.Sub: _sub, ast.Mult: _mul, ast.BitAnd: _and, ast.BitOr: _or, ast.BitXor: _xor,
    ast.LShift: _lshift, ast.RShift: _rshift}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
