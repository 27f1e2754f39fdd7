"""Emit operations on maps: on one that is known, or on an inner map, of which is known what all of them share.

Keys are integers formed from the variables of the frame, and values lists of them, where the map's class has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import number as number_of
from ebpfvm.engine.steps import operand
from ebpfvm.engine.translate import emit_values
from ebpfvm.engine.translate.emit_keys import from_frame
from ebpfvm.engine.translate.ranges import ANY, PtrRange
from ebpfvm.engine.translate.statements import assign, effect, effect_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.helper import Helper
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.map_facts import MapFacts
    from ebpfvm.engine.translate.ranges import Abs, RangeState
    from ebpfvm.engine.translate.unit import Unit

    Argument = Callable[[CodeWriter, Helper, int], str]

_FEW = 8  # members of a value that are stored one by one
TEMPLATE = "TEMPLATE_"  # followed by an origin: what the inner maps that it may be have in common
_METHODS = {"update": "put", "delete": "remove"}  # the bodies of these helpers only call the map's method


def variable(value: object) -> str | None:
    """Return the variable that holds the inner map of a map of maps which a register points to, if it is known."""
    if isinstance(value, PtrRange) and value.origin.inner is not None and not value.lo and not value.hi:
        return f"o_{value.origin.name}"
    return None


def method(em: CodeWriter, value: Abs, found: MapFacts, name: str) -> str:
    """Return what calls a method of the map that a register points to."""
    if found.found is None:
        return f"{variable(value)}.{name}"
    em.names[f"{name.upper()}{found.number}"] = getattr(found.found, name)
    return f"{name.upper()}{found.number}"


def operation(em: CodeWriter, helper: Helper, argument: Argument) -> str | None:
    """Return the call of a helper that only forwards to a method of its map, if the map is known."""
    value = em.state.regs[1]
    found = em.unit.map_at(value) if helper.map_op in _METHODS else None
    if found is None:
        return None
    called = _METHODS[helper.map_op] if found.is_keyed else helper.map_op
    if not hasattr(found.kind, called):
        return None
    args = [argument(em, helper, n) for n in range(1, len(helper.args))]
    if found.is_keyed:
        args[0] = key(em, helper, found, argument)
    if found.shape is not None and len(args) > 1:
        args[1] = emit_values.from_frame(em, em.state.regs[3], found.shape) or args[1]
    return f"{method(em, value, found, called)}({', '.join(args)})"


def key(em: CodeWriter, helper: Helper, found: MapFacts, argument: Argument) -> str:
    """Return the key of a map operation as an integer."""
    order = found.order
    assert order is not None
    number = from_frame(em, em.state.regs[2], found.key_size, order)
    return number or f"from_bytes({argument(em, helper, 1)}, '{order}')"


def found_by_region(unit: Unit, facts: FunctionFacts) -> set[str]:
    """Return the names of the origins that a lookup yields as a region: `g_` is None for NULL."""
    return {origin.name for pc, origin in facts.defined.items()
            if pc in facts.before and _looked_up(unit, pc, facts.before[pc]) is not None}


def _looked_up(unit: Unit, pc: int, state: RangeState) -> MapFacts | None:
    """Return the map of a lookup in a map of plain values, which yields the region at once."""
    helper = unit.helper(pc) if pc not in unit.steps else None
    if helper is None or helper.map_op != "lookup":
        return None
    found = unit.map_at(state.regs[1])
    if found is None or not hasattr(found.kind, "find") or getattr(found.kind.type, "in_map", False):
        return None
    return found


def never_null(unit: Unit, facts: FunctionFacts, found: set[str]) -> set[str]:
    """Return those of the origins `found` whose look-ups, of which there may be several, all find something."""
    fails = {origin.name for pc, origin in facts.defined.items()
             if pc in facts.before and not unit.always_there(facts.before[pc])}
    return found - fails


def overwrite(em: CodeWriter, helper: Helper, argument: Argument) -> bool:
    """Emit an update of an element that is always there, whose value consists of variables of the frame, in place."""
    found = em.unit.map_at(em.state.regs[1]) if helper.map_op == "update" else None
    if found is None or found.shape is None or found.shape.packets or len(found.shape.parts) > _FEW \
            or em.unit.known_result(em.pc, em.state) == ANY:
        return False
    members = emit_values.members_in_frame(em, em.state.regs[3], found.shape)
    if members is None:
        return False
    place, element = f"t_{em.pc}_key", f"t_{em.pc}_element"
    em.add(assign(place, key(em, helper, found, argument), em.pc))
    em.add(effect_to(element, _element(em, found, place), em.pc))
    for number, member in enumerate(members):
        em.add(effect(f"{element}[{number}] = {member}", em.pc))
    em.set(0, number_of(0))
    return True


def _element(em: CodeWriter, found: MapFacts, key: str) -> str:
    """Return the element at the variable `key` of an array, which makes it if it has never been used."""
    value = em.state.regs[1]
    return f"{method(em, value, found, 'existing')}({key}) or {method(em, value, found, 'get')}({key})"


def find(em: CodeWriter, helper: Helper, argument: Argument) -> bool:
    """Emit a look-up in a map of plain values; return False if the map is not known as one."""
    found, name = _looked_up(em.unit, em.pc, em.state), em.facts.defined[em.pc].name
    if found is None:
        return False
    value = em.state.regs[1]
    if not found.is_keyed:
        em.add(effect_to(f"g_{name}", f"{method(em, value, found, 'find')}({argument(em, helper, 1)})", em.pc))
    elif hasattr(found.kind, "existing"):
        number = f"t_{em.pc}_key"
        em.add(assign(number, key(em, helper, found, argument), em.pc))
        em.add(effect_to(f"g_{name}", _element(em, found, number), em.pc))
    else:
        text = f"{method(em, value, found, 'get')}({key(em, helper, found, argument)})"
        em.add(effect_to(f"g_{name}", text, em.pc))
    em.add(assign(f"b_{name}", f"g_{name}.base if g_{name} is not None else 0", em.pc))
    em.describe(em.facts.defined[em.pc], region=False)
    em.set(0, operand(f"b_{name}"))
    return True


def find_inner(em: CodeWriter, helper: Helper, argument: Argument) -> bool:
    """Emit a look-up of an inner map in a map of maps; return False if it is something else."""
    found, origin = em.unit.map_at(em.state.regs[1]), em.facts.defined.get(em.pc)
    if helper.map_op != "lookup" or found is None or origin is None or origin.inner is None:
        return False
    name = origin.name
    em.names[f"INNER{found.number}"] = found.found.elems.get
    em.names[f"{TEMPLATE}{name}"] = found.found.template
    em.add(effect_to(f"o_{name}", f"INNER{found.number}({key(em, helper, found, argument)})", em.pc))
    em.add(assign(f"g_{name}", f"o_{name}.region if o_{name} is not None else None", em.pc))
    em.add(assign(f"b_{name}", f"g_{name}.base if g_{name} is not None else 0", em.pc))
    em.set(0, operand(f"b_{name}"))
    return True


def nth(em: CodeWriter, value: Abs, number: int) -> str:
    """Return the key that a walk over an unchanged map visits as number `number`, from 0; None beyond the last."""
    found, name = em.unit.map_at(value), object_name(em, value)
    assert found is not None
    if not hasattr(found.kind, "head"):
        return f"{name}.nth({number})"
    if number:
        return f"{name}.ranks[{name}.head + {number}] if len({name}.elems) > {number} else None"
    return f"{name}.ranks[{name}.head] if {name}.elems else None"


def object_name(em: CodeWriter, value: Abs) -> str | None:
    """Return a name for the map that a register points to, None if nothing is known of it."""
    found = em.unit.map_at(value)
    if found is None or found.found is None:
        return variable(value)
    em.names[f"MAP{found.number}"] = found.found
    return f"MAP{found.number}"


__all__ = ["find", "find_inner", "found_by_region", "key", "method", "never_null", "nth", "object_name", "operation",
           "overwrite", "variable"]
