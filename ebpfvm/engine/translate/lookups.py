"""Look-ups in one map whose values may share the variables that describe them.

A program that looks a key up, inserts it, and looks it up again uses either value afterwards. Both have the same
variables, so that the value stays known where they meet, unless one is still used when the other is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.ranges import PtrRange
from ebpfvm.engine.translate.register_uses import live_after

if TYPE_CHECKING:
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.ranges import PtrOrigin
    from ebpfvm.engine.translate.unit import Unit


def sharing(unit: Unit, facts: FunctionFacts) -> dict[int, int]:
    """Return the look-ups that share the variables of another one."""
    groups: dict[int, list[int]] = {}
    for pc, origin in facts.defined.items():
        helper = unit.helper(pc) if pc not in unit.steps else None
        if helper is not None and helper.map_op == "lookup" and pc in facts.before and origin.map is not None \
                and origin.map.found is not None and not origin.inner:
            groups.setdefault(id(origin.map.found), []).append(pc)
    shared: dict[int, int] = {}
    live = live_after(unit, facts.function) if any(len(group) > 1 for group in groups.values()) else {}
    for group in groups.values():
        origins = [facts.defined[pc] for pc in group]
        if len(group) > 1 and not any(_used(facts, pc, live[pc].kept, origins) for pc in group):
            shared |= dict.fromkeys(group[1:], group[0])
    return shared


def _used(facts: FunctionFacts, pc: int, live: frozenset[int], origins: list[PtrOrigin]) -> bool:
    """Return whether a value that one of the look-ups has found may be used after the look-up at `pc`."""
    state = facts.before[pc]
    values = (*(state.regs[reg] for reg in live), *state.slots.values())
    return any(isinstance(value, PtrRange) and value.origin in origins for value in values)
