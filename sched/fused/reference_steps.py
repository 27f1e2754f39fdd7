"""References to packets: where their number is known, it is stored once, when somebody might look.

A program that acquires a reference and gives it away adds to `refs` each time. From the arrival of a packet on, or
since it was found in a slot, the number is known. How many references programs hold in all (`Refs.held`) is counted
when somebody asks: each is in a variable.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import ADDRESS_TAKEN, Stmt, assign, effect
from ebpfvm.kernel.refs import COUNT, PROGRAM_UNIT
from ebpfvm.sched.fused.fused_steps import Branch, Split
from ebpfvm.sched.fused.parsed import attribute, is_none, name_of, unparsed

if TYPE_CHECKING:
    from ebpfvm.sched.fused.path_facts import PathFacts, References

PACKET_AT: Final = "PACKETAT"
"""The name of what returns the packet at an address, None for NULL."""


class AddressSteps:
    """See `Steps`. The packet at an address is the one that the address was taken of."""

    def step(self, line: Stmt, node: ast.stmt, facts: PathFacts) -> list[Stmt] | None:
        """Return what becomes of an assignment of an address, and of one of the packet at an address; else None."""
        if not isinstance(node, ast.Assign) or not line.writes or line.also:
            return None
        taken = ADDRESS_TAKEN.fullmatch(line.value)
        if taken is not None:
            facts.forget(line.writes)
            facts.addresses[line.writes] = facts.root(taken[1])
            return [line]
        call = node.value
        if not isinstance(call, ast.Call) or name_of(call.func) != PACKET_AT:
            return None
        found = facts.addresses.get(facts.root(name_of(call.args[0])))
        if found is None:
            return None
        facts.forget(line.writes)
        facts.same[line.writes] = found
        return [assign(line.writes, found, line.pc)]


class ReferenceSteps:
    """See `Steps`."""

    def step(self, line: Stmt, node: ast.stmt, facts: PathFacts) -> list[Stmt] | Split | None:
        """Return what becomes of a statement; None if it is not about references."""
        if isinstance(node, ast.If) and not node.orelse:
            return self._guarded(line, node, facts)
        if isinstance(node, ast.AugAssign):
            if _of_held(node):
                return []
            packet = name_of(attribute(node.target, "refs"))
            return self._added(packet, node, line, facts) if packet else None
        if isinstance(node, ast.Assign):
            packet, number = name_of(attribute(node.targets[0], "refs")), facts.number(node.value)
            if packet and number is not None:
                return self._known(packet, ("", number), line, facts)
        return self._released(node, line, facts)

    # ---- what only happens to packets -------------------------------------------------------------------------------

    def _guarded(self, line: Stmt, node: ast.If, facts: PathFacts) -> list[Stmt] | Split | None:
        """Return what becomes of a line that does something if a packet is not NULL, or not held as it should be."""
        if "REFS.held" in unparsed(node.test):
            return []  # a callback has released what it acquired: the verifier says so
        both = isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
        tests: list[ast.expr] = node.test.values if both else [node.test]  # type: ignore[attr-defined]
        packet = _not_none(tests[0])
        if packet and packet.startswith("o_"):
            null = facts.is_null(packet)
            if null is None:
                return self._generally(node, line, facts) if facts.cold else _on_null(packet, facts)
            if null:
                return []
            tests = tests[1:]
        if not tests:
            return self._each(node.body, line, facts)
        packet = _of_unheld(tests[0])
        if len(tests) != 1 or not packet:
            return None
        if facts.decided(tests[0]) is False:
            return []
        return self._unheld(packet, tests[0], line, node, facts)

    def _unheld(self, packet: str, test: ast.expr, line: Stmt, node: ast.If, facts: PathFacts) -> list[Stmt] | Split:
        """Return what becomes of a line that fails unless somebody holds a packet."""
        usual = _only_holder(test)
        if usual is not None and facts.refs.get(facts.root(packet)) is None and line.writes == "" \
                and "TAKE" in {name_of(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}:
            before = tuple(facts.forget_references(line.pc))
            held, other = facts.copy(), facts.copy()
            held.refs[held.root(packet)] = usual
            symbol, number = usual
            unusual = self._checked(test, node, line, other)
            return Split(f"{packet}.refs == {symbol + '.unit' if symbol else hex(number)}",
                         Branch(other, (unusual,), cold=True), Branch(held), before)
        return [*facts.forget_references(line.pc), self._checked(test, node, line, facts)]

    @staticmethod
    def _checked(test: ast.expr, node: ast.If, line: Stmt, facts: PathFacts) -> Stmt:
        """Return the line without the test for NULL."""
        for part in node.body:
            if isinstance(part, ast.Assign) and name_of(part.targets[0]):
                facts.forget(name_of(part.targets[0]))
                facts.null[name_of(part.targets[0])] = False
        body = "; ".join(map(unparsed, node.body))
        return effect(f"if {unparsed(test)}: {body}", line.pc)

    @staticmethod
    def _generally(node: ast.If, line: Stmt, facts: PathFacts) -> list[Stmt]:
        """Return the line without what is not counted."""
        out = facts.forget_references(line.pc)
        body = [unparsed(part) for part in node.body if not _of_held(part)]
        for part in node.body:
            if isinstance(part, ast.Assign):
                facts.forget(name_of(part.targets[0]))
        return [*out, effect(f"if {unparsed(node.test)}: {'; '.join(body)}", line.pc)] if body else out

    def _each(self, parts: list[ast.stmt], line: Stmt, facts: PathFacts) -> list[Stmt] | None:
        """Return what becomes of several additions; None if something else is among them."""
        out: list[Stmt] = []
        if not all(isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Attribute) for part in parts):
            return None
        for part in parts:
            found = self.step(effect(unparsed(part), line.pc), part, facts)
            assert isinstance(found, list)
            out += found
        return out

    # ---- counting ---------------------------------------------------------------------------------------------------

    def _added(self, packet: str, node: ast.AugAssign, line: Stmt, facts: PathFacts) -> list[Stmt]:
        before, amount = facts.refs.get(facts.root(packet)), self._amount(node.value, facts)
        if before is None or amount is None:
            out = facts.forget_references(line.pc)
            return [*out, effect(unparsed(node), line.pc)]
        sign = 1 if isinstance(node.op, ast.Add) else -1
        symbol, number = amount
        if symbol and before[0] not in ("" if sign > 0 else symbol,):
            out = facts.forget_references(line.pc)
            return [*out, effect(unparsed(node), line.pc)]
        after = (symbol if sign > 0 else "") if symbol else before[0]
        return self._known(packet, (after, before[1] + sign * number), line, facts)

    def _amount(self, node: ast.expr, facts: PathFacts) -> References | None:
        """Return how many references are added; those of a holder that is not known are `HOLDER.moved`."""
        moved = attribute(node, "moved")
        if moved is not None:
            return unparsed(moved), -PROGRAM_UNIT
        number = facts.number(node)
        return None if number is None else ("", number)

    @staticmethod
    def _known(packet: str, after: References, line: Stmt, facts: PathFacts) -> list[Stmt]:
        root = facts.root(packet)
        out = [] if set(facts.late) <= {root} else facts.store_references(line.pc)
        facts.refs.clear()  # another variable may be the same packet
        facts.refs[root] = after
        facts.late[root] = True
        return out

    def _released(self, node: ast.stmt, line: Stmt, facts: PathFacts) -> list[Stmt] | None:
        """Return what becomes of a release that leaves references."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or name_of(call.func) != "RELEASE":
            return None
        packet = name_of(call.args[0])
        before = facts.refs.get(facts.root(packet))
        if before is None or not before[1] & COUNT or before == ("", PROGRAM_UNIT):
            return None
        return self._known(packet, (before[0], before[1] - PROGRAM_UNIT), line, facts)


def _on_null(packet: str, facts: PathFacts) -> Split:
    null, other = facts.copy(), facts.copy()
    null.null[null.root(packet)] = True
    other.null[other.root(packet)] = False
    # An element that is found because it is the first of its map has a packet, as long as nothing has gone wrong.
    return Split(f"{packet} is None", Branch(other, again=True), Branch(null, again=True, cold=bool(facts.first)))


def _of_held(node: ast.stmt) -> bool:
    """Return whether a statement counts the references of all programs."""
    return isinstance(node, ast.AugAssign) and name_of(attribute(node.target, "held")) == "REFS"


def _not_none(node: ast.expr) -> str:
    """Return the variable that an expression tests for not being None."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.IsNot) and is_none(node.comparators[0]):
        return name_of(node.left)
    return ""


def _of_unheld(node: ast.expr) -> str:
    """Return the packet of `not X.refs` and `not X.refs & mask`."""
    if not isinstance(node, ast.UnaryOp) or not isinstance(node.op, ast.Not):
        return ""
    inner = node.operand
    return name_of(attribute(inner.left if isinstance(inner, ast.BinOp) else inner, "refs"))


def _only_holder(test: ast.expr) -> References | None:
    """Return what `refs` is if the holder of the tested mask has one reference, and nobody else has any."""
    assert isinstance(test, ast.UnaryOp)
    mask = test.operand.right if isinstance(test.operand, ast.BinOp) else None
    if isinstance(mask, ast.Constant):
        number: int = mask.value  # type: ignore[assignment]
        return "", number & -number
    holder = attribute(mask, "mask")
    return None if holder is None else (unparsed(holder), 0)
