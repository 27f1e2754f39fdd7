"""What has to be true, and asking Z3 whether it is.

The real results of instructions come from the text of the instruction table, read as Z3 terms; which numbers a Num
stands for comes from `ebpfvm.verifier.domain.num.contains`, interpreted.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import z3

from tests.proofs import integers as i
from tests.proofs.symbolic import Cases, Frame, Machine, Maybe, Record, land, lnot, lor
from tests.unit.verifier.domain.meaning import text
from tests.unit.verifier.domain.small import load

EFFORT = 60_000_000
"""Z3's own measure of work that one question may cost at one width: some 20 seconds. (Seconds would make the width at
which a claim is decided depend on what else the machine does.)"""


class U:
    """A bit vector as the instruction table's texts see it: unsigned unless ``s()`` says otherwise."""

    def __init__(self, term: i.Term) -> None:
        self.term = term

    def _with(self, other: Any) -> i.Term:
        return other.term if isinstance(other, U) else z3.BitVecVal(other, self.term.size())

    def __add__(self, other: Any) -> U:
        return U(self.term + self._with(other))

    def __sub__(self, other: Any) -> U:
        return U(self.term - self._with(other))

    def __mul__(self, other: Any) -> U:
        return U(self.term * self._with(other))

    def __and__(self, other: Any) -> U:
        return U(self.term & self._with(other))

    def __or__(self, other: Any) -> U:
        return U(self.term | self._with(other))

    def __xor__(self, other: Any) -> U:
        return U(self.term ^ self._with(other))

    def __neg__(self) -> U:
        return U(-self.term)

    def __lshift__(self, other: Any) -> U:
        return U(self.term << self._with(other))

    def __rshift__(self, other: Any) -> U:
        return U(z3.LShR(self.term, self._with(other)))

    def __lt__(self, other: Any) -> z3.BoolRef:
        return z3.ULT(self.term, self._with(other))

    def __le__(self, other: Any) -> z3.BoolRef:
        return z3.ULE(self.term, self._with(other))

    def __gt__(self, other: Any) -> z3.BoolRef:
        return z3.UGT(self.term, self._with(other))

    def __ge__(self, other: Any) -> z3.BoolRef:
        return z3.UGE(self.term, self._with(other))

    def __eq__(self, other: object) -> z3.BoolRef:  # type: ignore[override]
        return self.term == self._with(other)

    def __ne__(self, other: object) -> z3.BoolRef:  # type: ignore[override]
        return self.term != self._with(other)


def primitives(bits: int) -> dict[str, Any]:
    """The names of the table's texts, as Z3 terms."""
    def zero_or(b: U, zero: i.Term, else_: i.Term) -> U:
        return U(z3.If(b.term == 0, zero, else_))

    return {
        "W": bits,
        "s": lambda x: x.term,  # Z3 compares bit vectors as signed
        "ashr": lambda a, n: U(a.term >> n.term),
        "udiv": lambda a, b: zero_or(b, z3.BitVecVal(0, bits), z3.UDiv(a.term, b.term)),
        "umod": lambda a, b: zero_or(b, a.term, z3.URem(a.term, b.term)),
        "sdiv": lambda a, b: zero_or(b, z3.BitVecVal(0, bits), a.term / b.term),
        "smod": lambda a, b: zero_or(b, a.term, z3.SRem(a.term, b.term)),
        "sext": lambda x, n: U(z3.SignExt(bits - n, z3.Extract(n - 1, 0, x.term))),
        "zext": lambda x, n: U(z3.ZeroExt(bits - n, z3.Extract(n - 1, 0, x.term))),
        "bswap": lambda x, n: U(z3.ZeroExt(bits - n, z3.Concat(
            *(z3.Extract(k + 7, k, x.term) for k in range(0, n, 8))))),
    }


def meaning(op: str, width: int, bits: int, a: i.Int, b: i.Int) -> Any:
    """The row's text on the low `bits` of two numbers: a number, or a condition."""
    names = {**primitives(bits), "a": U(i.term(a, bits)), "b": U(i.term(b, bits))}
    result = eval(text(op, width), names)
    return i.of_unsigned(result.term) if isinstance(result, U) else result


@dataclass(frozen=True)
class Answer:
    """What Z3 said to a claim."""

    proved: bool
    verdict: str
    seconds: float
    counterexample: str = ""


class World:
    """The domain at one width, with its operations interpreted on symbols.

    `plain` interprets everything. `trusting` takes the parts that are proved by themselves at their word: what they
    return is unknown, but for this: it holds the numbers it has to, if what they were given holds them. Which numbers
    that is asked of, `run` is told.
    """

    def __init__(self, bits: int, sub: int) -> None:
        self.bits, self.sub = bits, sub
        self.top, self.low = (1 << bits) - 1, (1 << sub) - 1
        self.d: SimpleNamespace = load(bits, sub)
        d, arc = self.d, self.d.arc
        new = {tuple.__new__: lambda cls, items: Record(cls, items),
               d.num.const: lambda value: self.plain.call(d.num.make_const, (value,))}
        self.plain = Machine(new)
        self.trusting = Machine({
            **new,
            d.intervals.sync: lambda *parts: Cases(((True, (d.intervals.build, parts)),)),
            d.circular.sync: lambda *parts: Cases(((True, (d.circular.build, parts)),)),
            d.intervals.sanitize: lambda num: num,
            d.circular.sanitize: lambda num: num,
            d.intervals.update: lambda *parts: self.updated(d.intervals.build, parts),
            d.circular.update: lambda *parts: self.updated(d.circular.build, parts),
            d.tnum.single: self.only,
            arc.intersect64: lambda a, b: self.met(a, b, bits),
            arc.intersect32: lambda a, b: self.met(a, b, sub),
            arc.add64: lambda a, b: self.summed(a, b, bits),
            arc.add32: lambda a, b: self.summed(a, b, sub),
            arc.negate64: lambda a: self.negated(a, bits),
            arc.negate32: lambda a: self.negated(a, sub),
        })
        self.numbers: tuple[Any, ...] = ()
        self.pairs: tuple[tuple[Any, Any], ...] = ()
        self.trusted: list[Any] = []
        self.count = 0

    def run(self, function: Any, *args: Any, numbers: tuple[Any, ...] = (),
            pairs: tuple[tuple[Any, Any], ...] = ()) -> Any:
        """The result of a transfer function.

        The parts' promises are asked of `numbers`, and of `pairs` where a part adds.
        """
        self.numbers, self.pairs, self.trusted = numbers, pairs, []
        return self.trusting.call(function, args)

    def run_itself(self, function: Any, *args: Any, numbers: tuple[Any, ...]) -> Any:
        """The same for a function that is itself taken on trust elsewhere."""
        self.numbers, self.pairs, self.trusted = numbers, (), []
        return Frame(self.trusting, function, args).run()

    def _fresh(self) -> str:
        self.count += 1
        return f"fresh{self.count}"

    def _arc(self, bits: int) -> tuple[i.Int, i.Int]:
        return self.arc64(self._fresh()) if bits == self.bits else self.arc32(self._fresh())

    def updated(self, build: Any, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        """`update` keeps every number."""
        num = self.num("7.2" if build is self.d.circular.build else "6.18", self._fresh())
        fresh = (num.items[:2], num.get("r64"), num.get("r32")) if build is self.d.circular.build \
            else (num.items[:2], num.items[2:6], num.items[6:10])
        self.trusted += [z3.Implies(self._holds((build, parts), number), self._holds((build, fresh), number))
                         for number in self.numbers]
        return fresh

    def only(self, var_off: Any, low: Any, high: Any) -> Maybe:
        """`single` gives None or the number that it has to be."""
        name = self._fresh()
        found = Maybe(z3.Bool(name + ".none"), self.number(name))
        for number in self.numbers:
            inside = land(self.plain.call(self.d.tnum.contains, (var_off, number)),
                          lnot(i.less(number, low)), lnot(i.less(high, number)))
            self.trusted.append(lor(lnot(inside), found.none, i.equal(found.value, number)))
        return found

    def met(self, a: Any, b: Any, bits: int) -> Any:
        """`intersect` keeps what is in both."""
        fresh, top = self._arc(bits), (1 << bits) - 1
        for number in self.numbers:
            number = i.and_(number, top)
            both = land(self.in_arc(a, number, bits), self.in_arc(b, number, bits))
            self.trusted.append(lor(lnot(both), self.in_arc(fresh, number, bits)))
        return fresh

    def summed(self, a: Any, b: Any, bits: int) -> Any:
        """`add` holds the sum."""
        fresh, top = self._arc(bits), (1 << bits) - 1
        for x, y in self.pairs:
            x, y = i.and_(x, top), i.and_(y, top)
            both = land(self.in_arc(a, x, bits), self.in_arc(b, y, bits))
            self.trusted.append(lor(lnot(both), self.in_arc(fresh, i.and_(i.add(x, y), top), bits)))
        return fresh

    def negated(self, a: Any, bits: int) -> Any:
        """`negate` holds the negative."""
        fresh, top = self._arc(bits), (1 << bits) - 1
        for x in (*self.numbers, *(part for pair in self.pairs for part in pair)):
            x = i.and_(x, top)
            self.trusted.append(lor(lnot(self.in_arc(a, x, bits)),
                                    self.in_arc(fresh, i.and_(i.negative(x), top), bits)))
        return fresh

    def number(self, name: str) -> i.Int:
        return i.unsigned(name, self.bits)

    def half(self, name: str) -> i.Int:
        return i.unsigned(name, self.sub)

    def num(self, version: str, name: str) -> Record:
        """Any Num at all."""
        whole, half = (self.bits,), (self.sub,)
        fields: list[Any] = [i.unsigned(f"{name}.{field}", *whole) for field in ("value", "mask", "umin", "umax")]
        fields += [i.signed(f"{name}.{field}", *whole) for field in ("smin", "smax")]
        fields += [i.unsigned(f"{name}.{field}", *half) for field in ("u32_min", "u32_max")]
        fields += [i.signed(f"{name}.{field}", *half) for field in ("s32_min", "s32_max")]
        if version == "7.2":
            fields += [self.arc64(f"{name}.r64"), self.arc32(f"{name}.r32")]
        else:
            fields += [self.d.num.FULL64, self.d.num.FULL32]
        return Record(self.d.num.Num, tuple(fields))

    def arc64(self, name: str) -> tuple[i.Int, i.Int]:
        return self.number(name + ".base"), self.number(name + ".size")

    def arc32(self, name: str) -> tuple[i.Int, i.Int]:
        return self.half(name + ".base"), self.half(name + ".size")

    def holds(self, num: Any, value: Any) -> Any:
        """The condition that `value` is in `num`, a Num or what came of a stubbed `sync`."""
        if isinstance(num, Cases):
            return land(*(z3.Implies(condition, self._holds(case, value)) if condition is not True
                          else self._holds(case, value) for condition, case in num.cases))
        return self._holds(num, value)

    def _holds(self, num: Any, value: Any) -> Any:
        if isinstance(num, (Record, self.d.num.Num)):
            return self.plain.call(self.d.num.contains, (num, value))
        build, parts = num
        if build is self.d.circular.build:
            # The bounds of a circular range follow from it: `bounds64` and `bounds32` are proved by themselves.
            var_off, r64, r32 = parts
            return land(self.plain.call(self.d.tnum.contains, (var_off, value)), self.in_arc(r64, value, self.bits),
                        self.in_arc(r32, i.and_(value, (1 << self.sub) - 1), self.sub))
        return self.plain.call(self.d.num.contains, (self.plain.call(build, parts), value))

    def in_arc(self, arc: Any, value: Any, bits: int) -> Any:
        """Is `value` in the circular range, which is then not the empty one?"""
        top = (1 << bits) - 1
        base, size = arc
        not_empty = lnot(land(i.equal(base, top), i.equal(size, top)))
        if i.linear(base, size, value):
            return land(not_empty, lnot(i.less(size, i.and_(i.sub(value, base), top))))
        return land(not_empty, z3.ULE(i.term(value, bits) - i.term(base, bits), i.term(size, bits)))

    def amount(self, name: str, below: int) -> tuple[Record, i.Int]:
        """A known but unnamed shift amount: the Num and the number."""
        value = i.of_unsigned(z3.BitVec(name, below.bit_length() - 1))
        kept = value, 0
        return Record(self.d.num.Num, (value, 0, *[value] * 8, kept, kept)), value

    def prove(self, claim: Any, *given: Any) -> Answer:
        """Does `claim` follow from what is given and what is taken on trust? Its parts are asked one by one."""
        start = time.perf_counter()
        for part in conjuncts(claim):
            verdict, found = z3.unknown, ""
            for solver in self.solvers():
                solver.set("rlimit", EFFORT)
                solver.add(*given, *self.trusted, lnot(part))
                verdict = solver.check()
                if verdict != z3.unknown:
                    found = example(solver) if verdict == z3.sat else ""
                    break
            if verdict != z3.unsat:
                return Answer(False, str(verdict), time.perf_counter() - start, found)
        return Answer(True, "proved", time.perf_counter() - start)

    def solvers(self) -> tuple[z3.Solver, ...]:
        """Ways to ask, one after the other."""
        return z3.SolverFor("QF_BV"), z3.Solver()

def conjuncts(claim: Any) -> list[Any]:
    """The parts of a claim that have to hold together."""
    if isinstance(claim, bool):
        return [claim]
    if z3.is_and(claim):
        return [part for child in claim.children() for part in conjuncts(child)]
    if z3.is_implies(claim):
        return [z3.Implies(claim.arg(0), part) for part in conjuncts(claim.arg(1))]
    return [claim]


def example(solver: z3.Solver) -> str:
    """The numbers that refute a claim."""
    model = solver.model()
    return ", ".join(f"{item} = {model[item]}" for item in sorted(model, key=str))


class LinearWorld(World):
    """The same with numbers of linear arithmetic, at full width; for claims about sums and comparisons."""

    def __init__(self) -> None:
        super().__init__(64, 32)

    def number(self, name: str, bits: int = 64) -> i.Int:
        number = z3.Int(name)
        self.trusted += [number >= 0, number < 1 << bits]
        return i.Linear(number, 0, (1 << bits) - 1)

    def half(self, name: str) -> i.Int:
        return self.number(name, 32)

    def solvers(self) -> tuple[z3.Solver, ...]:
        return (z3.Solver(),)


@functools.cache
def world(bits: int, sub: int) -> World:
    return World(bits, sub)
