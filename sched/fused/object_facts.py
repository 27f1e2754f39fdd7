"""What is known of objects on the way to a block of a member."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import VARIABLE, reads_of
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

LOST: Final = -1
"""Instead of the references of an object: nobody knows them, and asking is of no use."""

_MORE_HELD: Final = re.compile(r"REFS\.held > (\w+)")
_VALUE: Final = re.compile(r"(\w+) or None")
_TRUTH: Final = re.compile(r"((?:not )*)\(?(\w+)( is None| is not None)?\)?")
CLOCK: Final = "now"  # the time of a run, which is less than half of what 64 bits hold
_ZERO: Final = re.compile(r"\(?(\w+) (==|!=) (\d\w*)\)?")
_NO_WRAP: Final = re.compile(r"\(?(\w+) <= \(\((0x[0-9a-f]+|\d+) \+ \1\) & 0xffffffffffffffff\)\)?")
_MASKED: Final = re.compile(r"(not )?\(?(\w+)\.refs & (0x[0-9a-f]+|OWN_MASK)\)?")
_EXACT: Final = re.compile(r"\(?(\w+)\.refs == (0x[0-9a-f]+|OWN)\)?")
_HELD: Final = re.compile(r"(not )?REFS\.held")
_ROOTED: Final = re.compile(r"(?:not )?(\w+)(?: is not None|\.refs & 0x[0-9a-f]+)?(?: and not \1\.refs & 0x[0-9a-f]+)?")


def rooted(condition: str, body: str) -> str | None:
    """Return the variable with the object that a guarded line is about, None if that is not clear."""
    found = _ROOTED.fullmatch(condition)
    if found is None:
        return None
    name: str = found[1]
    about = "is not None" in condition or ".refs &" in condition or f"{name}.refs" in body
    return name if about else None


def decided(condition: str, facts: ObjectFacts, own: int) -> bool | None:
    """Return whether a condition is true, None if that is not known; `own` is one reference of the qdisc."""
    found = [_atom(part, facts, own) for part in condition.split(" and ")]
    return False if False in found else None if None in found else True


def _atom(text: str, facts: ObjectFacts, own: int) -> bool | None:
    more = _MORE_HELD.fullmatch(text)
    if more is not None:
        before = facts.const.get(more[1])
        return None if before is None or facts.held is None else facts.held > int(before)
    masked, held = _MASKED.fullmatch(text), _HELD.fullmatch(text)
    if masked is not None:
        refs = facts.refs.get(masked[2], LOST)
        mask = own * U32_MAX if masked[3] == "OWN_MASK" else int(masked[3], 0)
        return None if refs == LOST else bool(refs & mask) == (masked[1] is None)
    if held is not None:
        return None if facts.held is None else bool(facts.held) == (held[1] is None)
    exact = _EXACT.fullmatch(text)
    if exact is not None:
        refs = facts.refs.get(exact[1], LOST)
        return None if refs == LOST else refs == (own if exact[2] == "OWN" else int(exact[2], 0))
    zero, truth = _ZERO.fullmatch(text), _TRUTH.fullmatch(text)
    if zero is not None:
        const = facts.const.get(zero[1])
        same = None if const is None or not const[0].isdigit() else int(const, 0) == int(zero[3], 0)
        return None if same is None else same == (zero[2] == "==")
    wraps = _NO_WRAP.fullmatch(text)
    if wraps is not None and facts.const.get(wraps[1]) == CLOCK and int(wraps[2], 0) < 1 << 63:
        return True
    if truth is None:
        return None
    return _truth(truth[2], truth[3], truth[1].count("not") % 2 == 1, facts)


def _truth(name: str, suffix: str | None, negated: bool, facts: ObjectFacts) -> bool | None:
    const = facts.const.get(name)
    if const is not None and suffix is None:
        return (const in ("None", "False") or (const[0].isdigit() and not int(const, 0))) == negated
    null = facts.null.get(name)
    return None if null is None else (null == (suffix == " is None")) != negated


class ObjectFacts:
    """What is known.

    Attributes:
        same: variable -> another one with the same object.
        const: variable -> number.
        null: variable -> whether it is None.
        refs: variable -> references of its object; `LOST`.
        unsaved: those of them whose references are not stored in the object.
        cells: (variable, number of a cell) -> what the cell contains.
        fresh: variables with objects that nothing else refers to.
        held, stored: how many references the program holds, and what `REFS.held` says; None if it is not known.
        put: the packets on the list to free that are not there yet; None if it is not known.
        types: variable -> type of its object.
        locks: lock -> its value, and what its memory says.
        deltas: variable -> what is to be added to the references of its object, which are not known.
        first: variable -> the tree whose first object it has.
        roots: variable -> the cell with the tree that it is.
        kept: variables with objects to which somebody besides the program has a reference.
        unspent: whether nothing of the budget is consumed, and `ticks` not made yet.
    """

    __slots__ = ("cells", "const", "deltas", "first", "fresh", "held", "kept", "locks", "null", "put", "refs", "roots",
                 "same", "stored", "types", "unsaved", "unspent")

    def __init__(self) -> None:
        self.same: dict[str, str] = {}
        self.const: dict[str, str] = {}
        self.null: dict[str, bool] = {}
        self.refs: dict[str, int] = {}
        self.unsaved: set[str] = set()
        self.cells: dict[tuple[str, int], str] = {}
        self.fresh: set[str] = set()
        self.held: int | None = None
        self.stored: int | None = None
        self.put: tuple[str, ...] | None = None
        self.types: dict[str, object] = {}
        self.locks: dict[str, tuple[str, str]] = {}
        self.deltas: dict[str, int] = {}
        self.kept: set[str] = set()
        self.first: dict[str, str] = {}
        self.roots: dict[str, str] = {}
        self.unspent = False

    def copy(self) -> ObjectFacts:
        """Return a copy."""
        made = ObjectFacts()
        made.same, made.const, made.null = dict(self.same), dict(self.const), dict(self.null)
        made.refs, made.types, made.locks = dict(self.refs), dict(self.types), dict(self.locks)
        made.unsaved, made.cells, made.fresh = set(self.unsaved), dict(self.cells), set(self.fresh)
        made.held, made.stored, made.put = self.held, self.stored, self.put
        made.deltas, made.kept = dict(self.deltas), set(self.kept)
        made.first, made.roots = dict(self.first), dict(self.roots)
        made.unspent = self.unspent
        return made

    def key(self) -> tuple[object, ...]:
        """Return what is known, as a key."""
        return (*(frozenset(part.items()) for part in (self.same, self.const, self.null, self.refs, self.cells,
                                                               self.types, self.locks, self.deltas, self.first,
                                                               self.roots)),
                frozenset(self.unsaved), frozenset(self.fresh), frozenset(self.kept), self.held, self.stored, self.put,
                self.unspent)

    def renamed(self, text: str) -> str:
        """Return a text with the variables that stand for others replaced by those."""
        return VARIABLE.sub(lambda found: self.same.get(found[0], found[0]), text)

    def live(self, names: frozenset[str]) -> ObjectFacts:
        """Return what is known of variables that are still used, and of what they stand for."""
        made = self.copy()
        kept = {*self.live_roots(names), *self.unsaved, *self.deltas, *(self.put or ())}
        kept |= {value for (root, _), value in self.cells.items() if root in kept}
        made.same = {name: root for name, root in self.same.items() if name in names}
        made.const = {name: value for name, value in self.const.items() if name in kept}
        made.null = {name: value for name, value in self.null.items() if name in kept}
        made.refs = {name: value for name, value in self.refs.items() if name in kept}
        made.cells = {place: value for place, value in self.cells.items() if place[0] in kept}
        made.fresh &= kept
        made.kept &= kept
        for part in (made.first, made.roots):
            for name in [name for name, text in part.items() if not kept.issuperset((name, *reads_of(text)))]:
                del part[name]
        made.types = {name: value for name, value in self.types.items() if name in kept}
        made.locks = {lock: state for lock, state in self.locks.items() if "." not in lock
                      or lock.partition(".")[0] in kept}
        return made

    def lasting(self, written: frozenset[str]) -> ObjectFacts:
        """Return what is known in and after a loop that assigns variables, while nothing is kept from being stored."""
        made = ObjectFacts()
        made.held = made.stored = self.held
        made.same = {name: root for name, root in self.same.items() if not {name, root} & written}
        made.const = {name: value for name, value in self.const.items() if name not in written}
        made.null = {name: value for name, value in self.null.items() if name not in written}
        made.types = {name: value for name, value in self.types.items() if name not in written}
        return made

    def common(self, other: ObjectFacts) -> ObjectFacts:
        """Return what is known both here and there, of facts that last; the verifier makes sure that `held` agrees."""
        made = ObjectFacts()
        made.held = made.stored = self.held if other.held is None else other.held
        for name in ("same", "const", "null", "types"):
            part = getattr(other, name)
            setattr(made, name, {key: value for key, value in getattr(self, name).items() if part.get(key) == value})
        return made

    def live_roots(self, names: frozenset[str]) -> set[str]:
        """Return variables, and what they stand for."""
        return {*names, *(root for name, root in self.same.items() if name in names)}

    def heir(self, name: str) -> str:
        """Return another variable with the same object, "" if there is none."""
        return next((other for other, root in self.same.items() if root == name), "")

    def is_first(self, name: str, tree: str) -> bool:
        """Return whether an object is the first of a tree."""
        return name in self.first and self.first[name] == self.roots.get(tree, tree)

    def handed_on(self, name: str) -> bool:
        """Let another variable with the same object stand for it; return False if there is none."""
        heir = self.heir(name)
        if not heir:
            return False
        for tree in (self.first, self.roots):
            tree |= {other: re.sub(rf"\b{name}\b", heir, text) for other, text in tree.items()}
            if name in tree:
                tree[heir] = tree.pop(name)
        self.same = {other: heir if root == name else root for other, root in self.same.items() if other != heir}
        parts: tuple[dict[str, Any], ...] = self.null, self.refs, self.types, self.deltas
        for part in parts:
            if name in part:
                part[heir] = part.pop(name)
        for names in (self.unsaved, self.fresh, self.kept):
            if name in names:
                names.discard(name)
                names.add(heir)
        self.cells = {(heir if root == name else root, number): heir if value == name else value
                      for (root, number), value in self.cells.items()}
        self.locks = {heir + lock[len(name):] if lock.startswith(f"{name}.") else lock: state
                      for lock, state in self.locks.items()}
        self.put = self.put and tuple(heir if each == name else each for each in self.put)
        return True

    def forget(self, name: str) -> None:
        """Forget a variable that is assigned."""
        for part in (self.same, self.const, self.null, self.refs, self.types):
            part.pop(name, None)
        self.unsaved.discard(name)
        self.fresh.discard(name)
        self.kept.discard(name)
        self.deltas.pop(name, None)
        for tree in (self.first, self.roots):
            for other in [other for other, text in tree.items() if name in (other, *reads_of(text))]:
                del tree[other]
        self.same = {other: root for other, root in self.same.items() if root != name}
        self.cells = {place: value for place, value in self.cells.items() if name not in (place[0], value)}
        self.locks = {lock: state for lock, state in self.locks.items() if not lock.startswith(f"{name}.")}

    def clobber(self, moves: bool) -> None:
        """Forget what a call may have changed; `moves` says whether the program may hold more or less after it."""
        self.refs.clear()
        self.unsaved.clear()
        self.cells.clear()
        self.locks.clear()
        self.fresh.clear()
        self.kept.clear()
        self.first.clear()
        self.put = None
        if moves:
            self.held = self.stored = None

    def move(self, count: int) -> None:
        """Note that `REFS.held` has changed by `count`, after everything was stored."""
        if self.held is not None:
            self.held += count
            self.stored = self.held

    def born(self, root: str, empty: Iterable[int]) -> None:
        """Note that a variable has a new object, of which the cells `empty` are None."""
        self.null[root], self.refs[root] = False, 1
        self.cells |= {(root, number): "None" for number in empty}
        self.fresh.add(root)

    def count(self, name: str, refs: int) -> None:
        """Note the references of an object; other variables may have the same one."""
        for other in [other for other in self.refs if other not in self.unsaved and self.may_be(name, other)]:
            del self.refs[other]
        self.refs[name] = refs
        if refs == LOST:
            self.unsaved.discard(name)
        else:
            self.unsaved.add(name)

    def may_be(self, name: str, other: str) -> bool:
        """Return whether two variables may have the same object."""
        types = self.types.get(name), self.types.get(other)
        return name != other and not {name, other} & self.fresh and (None in types or types[0] == types[1])

    def cell(self, name: str, number: int, text: str) -> str:
        """Note what a cell contains now, and return it."""
        found = _VALUE.fullmatch(text)
        value = text
        if found is not None and found[1] in self.null:
            value = "None" if self.null[found[1]] else found[1]
        self.cells = {place: old for place, old in self.cells.items() if place[1] != number
                      or (place[0] != name and not self.may_be(place[0], name))}
        if value == "None" or value in self.null:
            self.cells[name, number] = value
        self.fresh.discard(value)
        return value

    def is_none(self, name: str, numbers: Iterable[int]) -> bool:
        """Return whether all these cells of an object are known to be empty."""
        return all(self.cells.get((name, number)) == "None" for number in numbers)

    def after(self, condition: str, holds: bool) -> ObjectFacts:
        """Return what is known where a condition holds, or does not."""
        made, found = self.copy(), _TRUTH.fullmatch(condition)
        if found is not None and found[2] not in self.const:
            negated = found[1].count("not") % 2 == 1
            is_null = holds if found[3] == " is None" else not holds
            made.null[found[2]] = is_null != negated
        return made

    @property
    def pending(self) -> bool:
        """Whether something is not stored yet."""
        return bool(self.unsaved or self.put or self.deltas or self.held != self.stored
                    or any(a != b for a, b in self.locks.values()))

    def with_null(self, name: str, is_null: bool) -> ObjectFacts:
        """Return what is known if a variable is None, or if it is not."""
        made = self.copy()
        made.null[name] = is_null
        return made
