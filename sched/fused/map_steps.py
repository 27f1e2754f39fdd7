"""Operations on rbtree maps as code: what `Rbtree` does in the usual case, without a call.

Everything else is left to the map's own method, so the code is the same as the call that it replaces. What the code
does is remembered: an element that was just inserted is the one that is looked up next, its slots are empty, and the
first element is removed by moving the map's head.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import Stmt, assign, effect, effect_to, reads_of
from ebpfvm.ints import U64_MAX
from ebpfvm.maps.array import ArrayMap
from ebpfvm.maps.of_maps import MapOfMaps
from ebpfvm.sched.fused.fused_steps import Branch, Split
from ebpfvm.sched.fused.map_code import METHODS, MapCode, Views
from ebpfvm.sched.fused.parsed import attribute, is_none, name_of, unmasked, unparsed

_LISTED: Final = 1024  # elements of an array, or inner maps, that are kept in a list

if TYPE_CHECKING:
    from ebpfvm.sched.fused.path_facts import PathFacts


class MapSteps:
    """See `Steps`.

    Args:
        views: the maps.
    """

    def __init__(self, views: Views) -> None:
        self.views = views

    def step(self, line: Stmt, node: ast.stmt, facts: PathFacts) -> list[Stmt] | Split | None:
        """Return what becomes of a statement; None if it is about no map."""
        value = node.value if isinstance(node, (ast.Assign, ast.Expr)) else None
        if line.also or value is None:
            return None
        if line.writes and isinstance(value, ast.IfExp):
            return self._first(line, value, facts)
        if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
            return self._existing(line, value, facts)
        call = unmasked(value)
        if not isinstance(call, ast.Call) or call.keywords:
            return None
        found, method = self.views.method(call.func)
        if found is None:
            return self._inner(line, call, facts)
        if method not in METHODS:
            return None
        if (method == "get" and not line.writes) or (method == "put" and not _is_inserted(call, found)):
            return None
        key, before = self._key(call.args[0], line, facts)
        if method == "get":
            return [*before, *self._get(line, found, key, facts)]
        if method == "put":
            return self._put(line, found, key, call, facts, before)
        return self._remove(line, found, key, call, facts, before)

    def _key(self, node: ast.expr, line: Stmt, facts: PathFacts) -> tuple[str, list[Stmt]]:
        """Return the variable with a key, and what makes it."""
        whole = self._recomposed(node, facts)
        if whole:
            return whole, []
        name = name_of(node)
        if name or isinstance(node, ast.Constant):
            return facts.root(name) if name else unparsed(node), []
        text = unparsed(node)
        computed = (text, *sorted(reads_of(text)))
        if computed in facts.keys:
            return facts.keys[computed], []
        made = f"k_{line.pc}"
        facts.forget(made)
        if not any(isinstance(part, ast.Subscript | ast.Call | ast.Attribute) for part in ast.walk(node)):
            facts.keys[computed] = made  # a key that is read from memory has changed when the memory has
        return made, [assign(made, text, line.pc)]

    @staticmethod
    def _recomposed(node: ast.expr, facts: PathFacts) -> str:
        """Return the variable that a key's parts were cut from, "" for another key."""
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.BitOr):
            return ""
        match node.left:
            case ast.BinOp(ast.Name(high), ast.LShift(), ast.Constant(int(bits))):
                upper, lower = (facts.parts.get(facts.root(name)) for name in (high, name_of(node.right)))
                if upper is not None and upper[1:] == (bits, -1) and lower == (upper[0], 0, (1 << bits) - 1):
                    return upper[0]
        return ""

    # ---- looking up -------------------------------------------------------------------------------------------------

    @staticmethod
    def _get(line: Stmt, found: MapCode, key: str, facts: PathFacts) -> list[Stmt]:
        known = facts.found.get((found.map, key))
        facts.forget(line.writes)
        if known is not None and known != line.writes:
            facts.same[line.writes] = facts.root(known)
            return [assign(line.writes, known, line.pc)]
        if facts.first.get(found.map) == key:
            facts.found[found.map, key] = line.writes
            facts.null[line.writes] = False
            return [effect_to(line.writes, f"{found.elems}[{key}]", line.pc)]
        facts.found[found.map, key] = line.writes
        return [effect_to(line.writes, f"{found.elems}.get({key})", line.pc)]

    def _first(self, line: Stmt, node: ast.IfExp, facts: PathFacts) -> Split | None:
        """Return how the first key is found; the node is `MAP.ranks[HEAD] if MAP.elems else None`."""
        of = attribute(node.test, "elems")
        found = self.views.map(of) if of is not None else None
        if found is None or not isinstance(node.body, ast.Subscript) or unparsed(node.body.slice) != found.head:
            return None
        facts.forget(line.writes)
        some = facts.copy()
        some.first[found.map] = line.writes
        some.null[line.writes] = False
        other = (*facts.store_late(line.pc), effect_to(line.writes, f"{found.map}.nth(0)", line.pc))
        return Split(f"{found.head} < len({found.keys})", Branch(facts, other, cold=True),
                     Branch(some, (assign(line.writes, f"{found.keys}[{found.head}]", line.pc),)))

    def _existing(self, line: Stmt, node: ast.BoolOp, facts: PathFacts) -> Split | None:
        """Return how an element of an array is found that usually exists; the node is `EXISTING(key) or GET(key)`."""
        get, make = node.values
        owner = self.views.owner(name_of(get.func)) if isinstance(get, ast.Call) else None
        if not line.writes or not isinstance(owner, ArrayMap):
            return None
        facts.forget(line.writes)
        known = facts.copy()
        known.null[line.writes] = False
        before = effect_to(line.writes, unparsed(get), line.pc)
        made = self.views.called(effect_to(line.writes, unparsed(make), line.pc), facts)
        assert isinstance(get, ast.Call)
        key, size = unparsed(get.args[0]), self._bound(get, known)
        if 0 < size <= min(owner.max_entries, _LISTED):
            listed = f"{self.views.elements_of(owner, size)}[{key}]"
            before = assign(line.writes, listed, line.pc)
            made = *made, effect(f"{listed} = {line.writes}", line.pc)
        return Split(f"{line.writes} is None", Branch(known), Branch(facts, made, cold=True), (before,))

    @staticmethod
    def _bound(call: ast.Call, facts: PathFacts) -> int:
        """Return what the key of a look-up is less than, 0 if that is not known."""
        if isinstance(call.args[0], ast.Constant):
            return call.args[0].value + 1 if isinstance(call.args[0].value, int) else 0
        root = facts.root(name_of(call.args[0]))
        _, shift, mask = facts.parts.get(root, ("", -1, -1))
        return mask + 1 if not shift else 0

    def _inner(self, line: Stmt, call: ast.Call, facts: PathFacts) -> list[Stmt] | None:
        """Return how an inner map is found that has a small number."""
        owner = self.views.owner(name_of(call.func))
        size = self._bound(call, facts) if line.writes and isinstance(owner, MapOfMaps) else 0
        if not isinstance(owner, MapOfMaps) or not 0 < size <= _LISTED:
            return None
        text = f"{self.views.inner_of(owner, size)}[{unparsed(call.args[0])}]"
        facts.forget(line.writes)
        return [assign(line.writes, text, line.pc)]

    # ---- changing ---------------------------------------------------------------------------------------------------

    def _put(self, line: Stmt, found: MapCode, key: str, call: ast.Call, facts: PathFacts, before: list[Stmt]
             ) -> Split:
        """Return an insertion of a key that is new."""
        values = call.args[1]
        usual = facts.copy()
        lines = self._inserted(line, found, key, values, usual)
        facts.first.pop(found.map, None)
        facts.found.clear()
        facts.cells.clear()
        new = f"{key} not in {found.elems} and len({found.elems}) < {found.room}"
        slowly = self._slowly(line, key, call, facts)
        return Split(new, Branch(facts, slowly, cold=True), Branch(usual, lines), tuple(before))

    def _inserted(self, line: Stmt, found: MapCode, key: str, values: ast.expr, facts: PathFacts) -> tuple[Stmt, ...]:
        """Return the insertion of a key that is new."""
        value, pc = f"g_{line.pc}p", line.pc
        for name in (value, line.writes):
            facts.forget(name)
        lines = [effect_to(value, f"{found.spare}.pop() if {found.spare} else {found.make}", pc)]
        if not isinstance(values, ast.List):
            lines.append(effect(f"{value}[:] = {found.cells}({unparsed(values)})", pc))
            facts.cells.update({(value, number): "None" for number in found.packets})
        for number, cell in enumerate(values.elts if isinstance(values, ast.List) else ()):
            if not is_none(cell):
                lines.append(effect(f"{value}[{number}] = {unparsed(cell)}", pc))
            facts.cells[value, number] = "None" if is_none(cell) else name_of(cell)
        for unknown in [place for place, cell in facts.cells.items() if not cell]:
            del facts.cells[unknown]
        lines += [effect(f"{found.elems}[{key}] = {value}", pc),
                  effect(f"if not {found.keys} or {key} > {found.keys}[-1]: {found.keys}.append({key})", pc),
                  effect(f"else: insort({found.keys}, {key}, {found.head})", pc)]
        facts.first.pop(found.map, None)
        facts.found[found.map, key] = value
        facts.null[value] = False
        if line.writes:
            lines.append(assign(line.writes, "0", pc))
            facts.const[line.writes] = 0
        return tuple(lines)

    def _remove(self, line: Stmt, found: MapCode, key: str, call: ast.Call, facts: PathFacts, before: list[Stmt]
                ) -> Split:
        """Return the removal of an element that exists and holds no packet."""
        value = f"g_{line.pc}r"
        facts.forget(value)
        first, known = facts.first.get(found.map) == key, facts.found.get((found.map, key), "")
        if not known and not first:
            before.append(effect_to(value, f"{found.elems}.get({key})", line.pc))
        element = known or (f"{found.elems}[{key}]" if first else value)
        tests = [f"{found.head} < len({found.keys})"] if not first else []
        tests += [f"{element} is not None"] if not first and facts.is_null(element) is not False else []
        tests += [found.plain] if found.plain else []
        cells = [number for number in found.packets if not known or facts.cells.get((known, number)) != "None"]
        tests += [f"{element}[{number}] is None" for number in cells]
        tests.append(f"not {element}.id")  # nobody has its address
        usual = facts.copy()
        lines = self._removed(line, found, key, value, usual, first)
        slowly = self._slowly(line, key, call, facts)
        return Split(" and ".join(tests), Branch(facts, slowly, cold=True), Branch(usual, lines), tuple(before))

    @staticmethod
    def _removed(line: Stmt, found: MapCode, key: str, value: str, facts: PathFacts, first: bool) -> tuple[Stmt, ...]:
        pc, dropped = line.pc, found.drop_first
        known = facts.found.pop((found.map, key), value)
        facts.first.pop(found.map, None)
        take = effect_to(value, f"{found.elems}.pop({key})", pc) if known == value else effect(
            f"del {found.elems}[{key}]", pc)
        facts.gone[known] = found.spare, found.size
        if not first:
            dropped = (f"if {found.keys}[{found.head}] != {key}: "
                       f"del {found.keys}[bisect_left({found.keys}, {key}, {found.head})]",
                       f"else: {'; '.join(dropped[:1])}", *dropped[1:])
        lines = [take, *(effect(text, pc) for text in dropped)]
        if line.writes:
            facts.forget(line.writes)
            facts.const[line.writes] = 0
            lines.append(assign(line.writes, "0", pc))
        return tuple(lines)

    def _slowly(self, line: Stmt, key: str, call: ast.Call, facts: PathFacts) -> tuple[Stmt, ...]:
        """Return the call of the map's own method."""
        args = [key, *map(unparsed, call.args[1:])]
        text = f"{unparsed(call.func)}({', '.join(args)})"
        if not line.writes:
            return self.views.called(effect(text, line.pc), facts)
        return self.views.called(effect_to(line.writes, text, line.pc, f" & {U64_MAX:#x}"), facts)


def _is_inserted(call: ast.Call, found: MapCode) -> bool:
    """Return whether a call of `put` inserts a value that consists of variables, or of bytes."""
    if len(call.args) != 3:
        return False
    values, flags = call.args[1:]
    of_bytes = isinstance(values, ast.Call) and name_of(values.func) == "bytes" and bool(found.cells)
    return (isinstance(values, ast.List) or of_bytes) and isinstance(flags, ast.Constant) and flags.value in (0, 1)
