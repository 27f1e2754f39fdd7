"""Lines that write back what `ObjectPaths` has kept from being stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.statements import Stmt, effect
from ebpfvm.kernel.object_types import ObjectType
from ebpfvm.sched.fused.glue import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.sched.fused.object_facts import ObjectFacts


def is_single(kind: object) -> bool:
    """Return whether objects of a type have one owner at a time."""
    if not isinstance(kind, ObjectType):
        return kind is not None  # packets: no function of struct_ops counts them
    return all(field.kind != "refcount" for field in kind.fields)


def counted(facts: ObjectFacts, names: Iterable[str]) -> list[Stmt]:
    """Return the lines that write back the references of objects whose number is known, but not stored yet."""
    unsaved = facts.unsaved.intersection(names)
    facts.unsaved -= unsaved
    return [effect(f"{name}.refs = {facts.refs[name]:#x}", OUTSIDE) for name in sorted(unsaved)]


def saved(facts: ObjectFacts, name: str) -> list[Stmt]:
    """Return the lines that write back the references of what may be the same object."""
    out = counted(facts, [other for other in facts.unsaved if facts.may_be(name, other)])
    return [*out, *added(facts, [other for other in facts.deltas if other == name or facts.may_be(name, other)])]


def added(facts: ObjectFacts, names: Iterable[str]) -> list[Stmt]:
    """Return the lines that add to the references of objects what has not been added yet."""
    changed = [(name, facts.deltas.pop(name)) for name in sorted(names) if name in facts.deltas]
    return [effect(f"{name}.refs {'-+'[more > 0]}= {abs(more):#x}", OUTSIDE) for name, more in changed if more]


def held_stored(facts: ObjectFacts) -> list[Stmt]:
    """Return the line that writes back how many references the program holds, if that has changed."""
    if facts.held == facts.stored:
        return []
    facts.stored = facts.held
    return [effect(f"REFS.held = {facts.held}", OUTSIDE)]


def unlocked(facts: ObjectFacts, select: Callable[[str], bool]) -> list[Stmt]:
    """Return the lines that write back the locks that `select` is true for."""
    changed = [lock for lock, (value, stored) in facts.locks.items() if value != stored and select(lock)]
    lines = [effect(f"{lock} = {facts.locks[lock][0]}", OUTSIDE) for lock in changed]
    facts.locks |= {lock: (facts.locks[lock][0],) * 2 for lock in changed}
    return lines


def stored(facts: ObjectFacts) -> list[Stmt]:
    """Return the lines that write back what has not been stored yet."""
    out = counted(facts, facts.unsaved)
    out += added(facts, list(facts.deltas))
    out += held_stored(facts)
    out += unlocked(facts, lambda _: True)
    if facts.put:
        out += [effect(f"FREE.packets.append({name})", OUTSIDE) for name in facts.put]
        facts.put = None
    return out


def around(facts: ObjectFacts, call: str) -> str:
    """Return a call that may fail, between what writes back what is not stored yet and what undoes that."""
    undone = [f"{name}.refs {'+-'[more > 0]}= {abs(more):#x}" for name, more in facts.deltas.items() if more]
    undone += [f"{lock} = {before}" for lock, (value, before) in facts.locks.items() if value != before]
    if facts.held != facts.stored:
        undone.append(f"REFS.held = {facts.stored}")
    return "; ".join([*(stmt.text for stmt in stored(facts.copy())), call, *undone])


def storing_first(condition: str, body: str, pc: int, facts: ObjectFacts) -> Stmt:
    """Return a guarded line that writes back what has not been stored yet, if it does anything."""
    kept = "".join(f"{stmt.text}; " for stmt in stored(facts.copy()))
    return effect(f"if {condition}: {kept}{body}", pc)
