"""The syntax of extended matches (tc-ematch(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errors import UsageError
from ebpfvm.sched.tc.ematch import META, SIZES, Cmp, EmNbyte, EmU32, Group, Joined, Meta, MetaValue, Not
from ebpfvm.sched.tc.lr import first, listing, option_rules
from ebpfvm.sched.tc.u32_words import key_of

if TYPE_CHECKING:
    from ebpfvm.sched.tc.lr import Rule


def ematch_rules() -> list[Rule]:
    """Return the rules for `expr`, a tree of matches."""
    rules: list[Rule] = [
        ("expr : match", first), ("expr : match 'and' expr", Joined), ("expr : match 'or' expr", Joined),
        ("expr : match 'AND' expr", lambda a, _, b: Joined(a, "and", b)),
        ("expr : match 'OR' expr", lambda a, _, b: Joined(a, "or", b)),
        ("match : 'not' match", lambda _, match: Not(match)), ("match : 'NOT' match", lambda _, match: Not(match)),
        ("match : '(' expr ')'", lambda _, expr, __: Group(expr)),
        ("match : 'cmp' '(' align 'at' OFFSET cmp_options operator NUMBER ')'",
         lambda _, __, align, ___, at, items, operator, value, ____: Cmp(align, at, operator, value, **dict(items))),
        *((f"align : '{word}'", first) for word in SIZES),
        *((f"operator : '{word}'", first) for word in ("eq", "lt", "gt")),
        *listing("cmp_options", "cmp_option"),
        *option_rules("cmp_option", {"layer": "LAYER", "mask": "NUMBER", "trans": ""}),
        ("match : 'u32' '(' align NUMBER NUMBER 'at' U32OFFSET ')'",
         lambda _, __, align, value, mask, ___, at, ____: _em_u32(SIZES[align], value, mask, at)),
        ("match : 'nbyte' '(' TEXT 'at' U16 ')'",
         lambda _, __, text, ___, at, ____: EmNbyte(_needle(text), at)),
        ("match : 'nbyte' '(' TEXT 'at' U16 'layer' LAYER ')'",
         lambda _, __, text, ___, at, ____, layer, _____: EmNbyte(_needle(text), at, layer)),
        ("match : 'meta' '(' meta operator meta ')'",
         lambda _, __, left, operator, right, ___: Meta(left, operator, right)),
        ("meta : INTEGER", lambda value: MetaValue("", value)),
        ("meta : meta_name meta_options", lambda name, items: MetaValue(name, 0, **dict(items))),
        *listing("meta_options", "meta_option"), *option_rules("meta_option", {"shift": "U8", "mask": "NUMBER"})]
    return [*rules, *((f"meta_name : '{word}'", first) for word in META)]


def _needle(text: str) -> bytes:
    found = text.strip('"').encode()
    if not found:
        raise UsageError("nbyte: the text is empty")
    return found


def _em_u32(size: int, value: int, mask: int, at: tuple[int, bool]) -> EmU32:
    key = key_of(size, value, mask, at)
    return EmU32(key.value, key.mask, key.off, key.nexthdr)
