"""Emit what programs do with objects that they allocate: lists, trees, locks and kptrs as operations on the objects.

References move by additions to the integer that counts them, and `REFS.held` counts what the program holds; whatever is
unusual is left to the methods of `Refs`, which name the fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract.args import Arg
from ebpfvm.engine.steps import number
from ebpfvm.engine.translate import emit_held, emit_memory
from ebpfvm.engine.translate.code_writer import Place
from ebpfvm.engine.translate.emit_fields import cell
from ebpfvm.engine.translate.emit_memory import constant_index
from ebpfvm.engine.translate.ranges import PtrRange, is_object, number_of
from ebpfvm.engine.translate.sort_keys import cell_of
from ebpfvm.engine.translate.statements import assign, effect, effect_to
from ebpfvm.errnos import EINVAL
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.object_sorting import sorter, sorter_by
from ebpfvm.kernel.object_types import ObjectType
from ebpfvm.kernel.refs import COUNT, MEMORY, PROGRAM_UNIT
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.held_pointers import Root
    from ebpfvm.kernel.refs import Holder

_IN_USE: Final = f"{-EINVAL & U64_MAX:#x}"


class _Rooted(NamedTuple):
    """A list or tree: the expression for it, what it holds, and one reference that it holds."""

    text: str
    root: Root
    unit: int
    own: bool  # whether its `at` must be set


def helper(em: CodeWriter, called: Helper) -> bool:
    """Emit the call of a helper; return False if it is something else, or nothing is known of its arguments."""
    if not em.unit.held.used:
        return False
    if called.role == "kptr_xchg":
        return _swap(em)
    return called.role in ("lock", "unlock") and _lock(em, called)


def kfunc(em: CodeWriter, called: Kfunc) -> bool:
    """Emit the call of a kfunc; return False as `helper` does."""
    if not em.unit.held.used:
        return False
    emit = _BY_ROLE.get(called.role) or _BY_EXPANSION.get(called.expands)
    if emit is None or not emit(em, called):
        return False
    em.names["REFS"] = em.unit.prog.kernel.refs
    return True


# -- objects ---------------------------------------------------------------------------------------------------------

def _new(em: CodeWriter, called: Kfunc) -> bool:
    kind = em.unit.held.new(em.state)
    if kind is None:
        return False
    name = f"NEW{number_of(em.state.regs[1]).lo}"
    em.names.setdefault(name, em.unit.prog.kernel.graph.maker(kind))
    em.add(effect_to("r0", f"{name}()", em.pc))
    return True


def _kind(em: CodeWriter, n: int) -> ObjectType | None:
    """Return the type of the allocated object that argument `n` is."""
    value = em.state.regs[n]
    if emit_held.argument(em, n) is None or not isinstance(value, PtrRange):
        return None
    return value.origin.held if isinstance(value.origin.held, ObjectType) else None


def _drop(em: CodeWriter, called: Kfunc) -> bool:
    kind = _kind(em, 1)
    if kind is None:
        return False
    name = f"DROP{em.pc}"
    em.names[name] = em.unit.prog.kernel.graph.dropper(kind)
    em.add(effect(f"{name}(r1)", em.pc))
    em.add(assign("r0", "0", em.pc))
    return True


def _acquire(em: CodeWriter, called: Kfunc) -> bool:
    if _kind(em, 1) is None:
        return False
    em.add(effect(f"if r1.refs: r1.refs += {PROGRAM_UNIT}; REFS.held += 1", em.pc))
    em.add(assign("r0", "r1 if r1.refs else None", em.pc))
    return True


# -- lists and trees -------------------------------------------------------------------------------------------------

def _rooted(em: CodeWriter) -> _Rooted | None:
    """Return the list or tree that the first argument is."""
    value, held, kernel = em.state.regs[1], em.unit.held, em.unit.prog.kernel
    root = held.root(value)
    if root is None or not isinstance(value, PtrRange):
        return None
    origin, off = value.origin, value.lo
    if origin.kind == "held":
        unit = kernel.refs.holder(origin.held.holder, MEMORY).unit
        return _Rooted(cell(1, origin.held.shape.roots[off]), root, unit, own=False)
    if origin.kind == "const":
        field = next(field for field in origin.region.owner.fields if field.offset == off)
        find = kernel.graph.list_at if field.kind == "list_head" else kernel.graph.tree_at
        name = f"ROOT{origin.region.id}_{off}"
        em.names[name] = found = find(origin.region.base + off)
        if not found:
            found.at = root.at
        return _Rooted(name, root, found.holder.unit, own=False)
    field = next(field for field in origin.fields if field.offset == off)
    find = kernel.graph.list_at if field.kind == "list_head" else kernel.graph.tree_at
    em.names[f"FIND_{field.kind}"] = find
    em.add(assign(f"t_{em.pc}_root", f"FIND_{field.kind}({em.reg(1).text})", em.pc)._replace(pure=False))
    return _Rooted(f"t_{em.pc}_root", root, kernel.refs.holder(origin.map.found.holder, MEMORY).unit, own=True)


def _push(em: CodeWriter, called: Kfunc) -> bool:
    rooted = _rooted(em) if _node(em) else None
    if rooted is None:
        return False
    kernel, (text, root, unit, own) = em.unit.prog.kernel, rooted
    name = f"GIVE{unit.bit_length()}"
    em.names[name] = _giver(kernel, unit)
    used, put = f"t_{em.pc}_used", "append" if called.expands == "push_back" else "appendleft"
    if text.startswith("r1"):
        em.add(assign(f"t_{em.pc}_root", text, em.pc)._replace(pure=False))
        text = f"t_{em.pc}_root"
    if any(field.kind == "refcount" for field in root.kind.fields):
        em.names["RELEASE"] = kernel.refs.release
        em.add(assign(used, f"r2.cells[{root.cell}] is not None", em.pc)._replace(pure=False))
        em.add(effect(f"if {used}: RELEASE(r2)", em.pc))
        guard, only = f"not {used} and ", f"if not {used}: "
        em.add(assign("r0", f"{_IN_USE} if {used} else 0", em.pc))
    else:
        guard = only = ""
        em.add(assign("r0", "0", em.pc))
    em.add(effect(f"if {guard}not r2.refs & {COUNT:#x}: {name}(r2)", em.pc))
    at = f"; {text}.at = {root.at}" if own else ""
    em.add(effect(f"{only}r2.refs += {unit - PROGRAM_UNIT:#x}; REFS.held -= 1; r2.cells[{root.cell}] = {text}; "
                  f"{text}.{put}(r2){at}", em.pc))
    return True


def _giver(kernel: Any, unit: int) -> Callable[[Any], None]:
    holder = next(holder for holder in kernel.refs.by_name.values() if holder.unit == unit)
    return lambda obj: kernel.refs.give(obj, holder.name)


def _node(em: CodeWriter) -> bool:
    root = em.unit.held.root(em.state.regs[1])
    return root is not None and em.unit.held.is_node(em.state.regs[2], root)


def _taken(em: CodeWriter, rooted: _Rooted) -> None:
    """Emit what happens to an object in r0 that was taken out."""
    moved = rooted.unit - PROGRAM_UNIT
    em.add(effect(f"if r0 is not None: r0.cells[{rooted.root.cell}] = None; r0.refs -= {moved:#x}; REFS.held += 1",
                  em.pc))


def _pop(em: CodeWriter, called: Kfunc) -> bool:
    rooted = _rooted(em)
    if rooted is None:
        return False
    take = "popleft" if called.expands == "pop_front" else "pop"
    em.add(assign("r0", f"{rooted.text}.{take}() if {rooted.text} else None", em.pc)._replace(pure=False))
    _taken(em, rooted)
    return True


def _look(em: CodeWriter, called: Kfunc) -> bool:
    rooted = _rooted(em)
    if rooted is None:
        return False
    index = 0 if called.expands == "first" else -1
    em.add(assign("r0", f"{rooted.text}[{index}] if {rooted.text} else None", em.pc)._replace(pure=False))
    return True


def _unlink(em: CodeWriter, called: Kfunc) -> bool:
    rooted = _rooted(em) if _node(em) else None
    if rooted is None:
        return False
    text = rooted.text
    if text.startswith("r1"):
        em.add(assign(f"t_{em.pc}_root", text, em.pc)._replace(pure=False))
        text = f"t_{em.pc}_root"
    em.add(assign("r0", f"r2 if r2.cells[{rooted.root.cell}] is {text} else None", em.pc)._replace(pure=False))
    em.add(effect(f"if r0 is not None: {text}.remove(r0)", em.pc))
    _taken(em, rooted)
    return True


def _ask(em: CodeWriter, called: Kfunc) -> bool:
    rooted = _rooted(em) if called.expands == "empty" or _node(em) else None
    if rooted is None:
        return False
    text = rooted.text
    if called.expands == "empty":
        value = f"0 if {text} else 1"
    else:
        value = f"1 if {text} and {text}[{0 if called.expands == 'is_first' else -1}] is r2 else 0"
    em.add(assign("r0", value, em.pc)._replace(pure=False))
    return True


def _insert_sorted(em: CodeWriter, called: Kfunc) -> bool:
    found = em.unit.held.sorts(em.pc, em.state)
    rooted = _rooted(em) if found is not None else None
    if found is None or rooted is None:
        return False
    target, root = found
    key = cell_of(em.unit, target, root)
    if key is not None:
        exact = _comes_to_loop(em)
        name = f"ADD_{'EXACTLY' if exact else 'BY'}_{key}_{root.cell}_{root.kind.name}"
        em.names[name] = sorter_by(em.unit.prog.kernel.refs, root.kind, root.at, key, exact)
        em.add(effect_to("r0", f"{name}(ticks, {rooted.text}, r2, {rooted.unit:#x}, OVER)", em.pc, f" & {U64_MAX:#x}"))
        return True
    name = f"ADD{target}_{root.at}"
    em.names[name] = sorter(em.unit.prog.kernel.refs, root.kind, root.at)
    em.calls = True
    text = f"{name}(ticks, {rooted.text}, r2, f{target}, {rooted.unit:#x}, OVER)"
    em.add(effect_to("r0", text, em.pc, f" & {U64_MAX:#x}"))
    return True


def _comes_to_loop(em: CodeWriter) -> bool:
    """Return whether a loop, which needs what the budget has left, is in or after the current instruction.

    It may be in the caller of a function too, or in what is called.
    """
    graph = em.facts.function
    if graph.entry:
        return True
    work = [next(start for start, block in graph.blocks.items() if em.pc in block.pcs)]
    seen: set[int] = set()
    while work:
        start = work.pop()
        if any(start in body for body in graph.loops.values()) or \
                any(_calls_function(em, pc) for pc in graph.blocks[start].pcs):
            return True
        if start not in seen:
            seen.add(start)
            work.extend(graph.blocks[start].succs)
    return False


def _calls_function(em: CodeWriter, pc: int) -> bool:
    """Return whether an instruction calls a function that stays one, or a helper that does."""
    row, helper = em.unit.rows[pc], em.unit.helper(pc)
    if row is None or row.kind != "call" or pc in em.unit.steps:
        return False
    return row.op == "call_local" or (helper is not None and any(spec.kind is Arg.PTR_TO_FUNC for spec in helper.args))


# -- packets, locks and kptrs ----------------------------------------------------------------------------------------

def _put_aside(em: CodeWriter, called: Kfunc) -> bool:
    packet, to_free = (emit_held.argument(em, n) for n in (1, 2))
    if packet is None or to_free is None:
        return False
    em.add(effect(f"{to_free}.put({packet})", em.pc))
    em.add(assign("r0", "0", em.pc))
    return True


def _flow_hash(em: CodeWriter, called: Kfunc) -> bool:
    packet = emit_held.argument(em, 1)
    if packet is None:
        return False
    em.names["HASH"] = called.body
    em.add(effect_to("r0", f"HASH(ENV, {packet})", em.pc))
    return True


def _count_sent(em: CodeWriter, called: Kfunc) -> bool:
    qdisc, packet = (emit_held.argument(em, n) for n in (1, 2))
    if qdisc is None or packet is None or [em.state.regs[n].origin.held.name for n in (1, 2)] != ["Qdisc", "sk_buff"]:  # type: ignore[union-attr]
        return False
    em.add(effect(f"{qdisc}.kernel_view.bytes += {packet}.wire_len", em.pc))
    em.add(effect(f"{qdisc}.kernel_view.packets += {packet}.gso_segs or 1", em.pc))
    em.add(assign("r0", "0", em.pc))
    return True


def _lock(em: CodeWriter, called: Helper) -> bool:
    value = em.state.regs[1]
    if not isinstance(value, PtrRange) or value.lo != value.hi or value.origin.kind not in ("held", "const"):
        return False
    place = Place(value, 1, 0, 4)
    text = emit_memory.load(em, place).text
    if "LOAD" in text:
        return False
    em.names[f"H{em.pc}"] = called.body
    test = "" if called.role == "lock" else "not "
    em.add(effect(f"if {test}{text}: H{em.pc}(ENV, {em.reg(1).text})", em.pc))  # raises the fault
    emit_memory.store(em, place, number(int(called.role == "lock")))
    em.add(assign("r0", "0", em.pc))
    return True


def _new_object(em: CodeWriter) -> str:
    """Return the object, or None for NULL, that the second argument of an exchange is."""
    value = em.state.regs[2]
    if not isinstance(value, PtrRange) and value.hi == 0:
        return "None"
    if emit_held.argument(em, 2) is not None:
        return "r2"
    em.names["OWNER"] = em.unit.memory.owner
    return f"OWNER({em.reg(2).text})"


def _swap(em: CodeWriter) -> bool:
    slot = em.state.regs[1]
    if em.unit.held.result(em.pc, em.state) is None or not isinstance(slot, PtrRange):
        return False
    new, kernel = _new_object(em), em.unit.prog.kernel
    em.names["REFS"] = kernel.refs
    if is_object(slot):
        kind: ObjectType = slot.origin.held
        _swap_cell(em, cell(1, kind.shape.kptrs[slot.lo]), kernel.refs.holder(kind.holder, MEMORY), new)
        return True
    shape, found = slot.origin.shape, slot.origin.map
    number = shape.places.get((slot.lo, 8)) if shape is not None and found is not None else None
    if number is not None and number in shape.packets and found.found is not None:
        _swap_cell(em, f"g_{slot.origin.name}[{number}]", found.found.kptr_holder, new)
        return True
    em.names["SWAP"] = kernel.swap
    region = f"g_{slot.origin.name}"
    if slot.origin.kind == "const":
        region = f"SLOT{slot.origin.region.id}"
        em.names[region] = slot.origin.region
    em.add(effect_to("r0", f"SWAP({region}, {constant_index(slot.origin, slot.lo)}, {new} or None)", em.pc))
    return True


def _swap_cell(em: CodeWriter, item: str, holder: Holder, new: str) -> None:
    """Emit the exchange of what a cell owns, whose references `holder` has."""
    kernel = em.unit.prog.kernel
    old, moved = f"t_{em.pc}_old", holder.moved
    name = f"HOLDER{holder.unit.bit_length()}"
    em.names |= {"TAKE": kernel.taken, "GIVE": kernel.refs.give, name: holder.name}
    if new.startswith("OWNER"):
        em.add(assign(f"t_{em.pc}_new", new, em.pc)._replace(pure=False))
        new = f"t_{em.pc}_new"
    em.add(assign(old, item, em.pc)._replace(pure=False))
    em.add(effect(f"if {old} is not None and not {old}.refs & {holder.mask:#x}: {old} = TAKE({old}, {name})", em.pc))
    em.add(effect(f"if {old} is not None: {old}.refs -= {moved:#x}; REFS.held += 1", em.pc))
    if new == "None":
        em.add(effect(f"{item} = None", em.pc))
    else:
        em.add(effect(f"if {new} and not {new}.refs & {COUNT:#x}: GIVE({new}, {name})", em.pc))
        em.add(effect(f"if {new}: {new}.refs += {moved:#x}; REFS.held -= 1", em.pc))
        em.add(effect(f"{item} = {new} or None", em.pc))
    em.add(assign("r0", old, em.pc))


_BY_ROLE: Final = {"obj_new": _new, "obj_drop": _drop, "refcount_acquire": _acquire}
_BY_EXPANSION: Final = {
    "push_front": _push, "push_back": _push, "pop_front": _pop, "pop_back": _pop, "first": _look, "last": _look,
    "is_first": _ask, "is_last": _ask, "empty": _ask, "unlink": _unlink, "insert_sorted": _insert_sorted,
    "put_aside": _put_aside, "flow_hash": _flow_hash, "count_sent": _count_sent,
}
