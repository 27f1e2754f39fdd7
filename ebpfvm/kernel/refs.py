"""References: how many there are to each counted object, and who holds them.

A kernel only counts the references of an object. Here the count is kept for each holder. So a leak, a release of
something that is not held and a use after free are reported when they happen, in unverified programs too, and a
simulation can check at its end that no packet was lost, and name the last holder.

Holders are short texts: `PROGRAM` for what a running program holds in registers or on its stack, the `name` of a
region for a kptr slot in it ("map pifo"), and the names that the layers give themselves ("qdisc 1:", "link eth0").

All counts of an object are one integer, `RefCounted.refs`, with a field of `FIELD` bits for each holder: a holder's
number is given out when its name is first used, and `Holder.unit` is one reference of it. An object whose integer is 0
is gone. What holds no references costs nothing, and handing a reference over is an addition.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final, Never

from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "program"
CTX_HOLDER: Final = "ctx->skb"  # holds the reference of a packet that a dequeue program hands over
LEAKED: Final = "leaked by "  # followed by the name of the program that lost the reference

FIELD: Final = 32  # bits, more than there can be kptr slots in all maps
COUNT: Final = (1 << FIELD) - 1
PROGRAM_UNIT: Final = 1  # generated code adds and subtracts these two
CTX_UNIT: Final = 1 << FIELD

_LAYER, MEMORY, _RUN = range(3)  # in this order the holders of an object are named
_SERIAL: Final = attrgetter("serial")
_FEW: Final = 256  # live objects that are not worth looking for freed ones


class RefCounted:
    """A counted object (SkBuff, an object of bpf_obj_new, ...).

    Attributes:
        what: name of its kind, for messages.
        serial: its number among all objects of the kernel, from 1, set by `Refs.add`.
        refs: the counts of all its holders; 0 once it is freed.
        last_holder: who released the last reference; set when it is freed.
    """

    __slots__ = ("last_holder", "refs", "serial")
    what: ClassVar[str] = "object"

    serial: int
    refs: int
    last_holder: str

    @property
    def users(self) -> int:
        """The reference count."""
        rest, count = self.refs, 0
        while rest:
            count += rest & COUNT
            rest >>= FIELD
        return count

    def destroy(self) -> None:
        """Free what the object owns; `Refs` calls this when the last reference is released."""

    def __str__(self) -> str:
        return f"{self.what} #{self.serial}"


class Holder:
    """A holder of references.

    Attributes:
        name: its name.
        unit: one reference that it holds.
        mask: the bits of its field.
        moved: what a reference that it gets from the program adds to the counts.
        rank: whether it is named before others that hold the same object.
    """

    __slots__ = ("mask", "moved", "name", "rank", "unit")

    def __init__(self, name: str, number: int, rank: int) -> None:
        self.name = name
        self.unit = 1 << FIELD * number
        self.mask = COUNT << FIELD * number
        self.moved = self.unit - PROGRAM_UNIT
        self.rank = rank


class Refs:
    """The references to all counted objects.

    Attributes:
        held: number of references that running programs hold.
        serial: number of the latest object.
        born: live objects in the order of their birth, among freed ones that `live` removes when there are many.
        room: how many there may be before `live` is called.
        pool: freed objects among `born` that generated code uses again for new ones, until `live` removes them.
        reused: whether generated code may have done so, after which `born` is out of order.
        by_name: name -> holder.
    """

    __slots__ = ("_holders", "born", "by_name", "held", "pool", "reused", "room", "serial")

    def __init__(self) -> None:
        self.held = 0
        self.serial = 0
        self.born: list[RefCounted] = []
        self.pool: list[RefCounted] = []
        self.reused = False
        self.room = _FEW
        self.by_name: dict[str, Holder] = {}
        self._holders: list[Holder] = []
        self.holder(PROGRAM, _RUN)
        self.holder(CTX_HOLDER, _RUN)

    def holder(self, name: str, rank: int = _LAYER) -> Holder:
        """Return the holder of that name, which is made if there is none."""
        found = self.by_name.get(name)
        if found is None:
            found = self.by_name[name] = Holder(name, len(self._holders), rank)
            self._holders.append(found)
        return found

    def add(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Add a new object with one reference, held by `holder`."""
        obj.serial = self.serial = self.serial + 1
        obj.refs = (self.by_name.get(holder) or self.holder(holder)).unit
        self.born.append(obj)
        if len(self.born) > self.room:
            self.live()
        if holder == PROGRAM:
            self.held += 1

    def live(self) -> list[RefCounted]:
        """Return the live objects in the order of their birth."""
        self.pool.clear()
        found = [obj for obj in self.born if obj.refs]
        if self.reused:
            found.sort(key=_SERIAL)
        self.born[:] = found  # in place: generated code keeps the list
        self.room = len(found) * 3 // 2 + _FEW
        return found

    def acquire(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Acquire one more reference.

        Raises:
            Fault: "use-after-free", if the object is gone.
        """
        refs = obj.refs
        if not refs:
            self._gone(obj, "acquires a reference to")
        obj.refs = refs + (self.by_name.get(holder) or self.holder(holder)).unit
        if holder == PROGRAM:
            self.held += 1

    def release(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Release `holder`'s reference; the last release destroys the object.

        Raises:
            Fault: "double-free", if `holder` has none.
        """
        refs, found = obj.refs, self.by_name.get(holder)
        if found is None or not refs & found.mask:
            self._not_held(obj, holder, "releases")
        obj.refs = refs = refs - found.unit
        if holder == PROGRAM:
            self.held -= 1
        if not refs:
            obj.last_holder = holder
            obj.destroy()

    def move(self, obj: RefCounted, old: str, new: str, rank: int = _LAYER) -> None:
        """Move a reference from `old` to `new`; the count does not change.

        Raises:
            Fault: "double-free", if `old` has none.
        """
        refs, giver = obj.refs, self.by_name.get(old)
        if giver is None or not refs & giver.mask:
            self._not_held(obj, old, f"gives to {new}")
        obj.refs = refs - giver.unit + (self.by_name.get(new) or self.holder(new, rank)).unit
        if old == PROGRAM:
            self.held -= 1
        if new == PROGRAM:
            self.held += 1

    def give(self, obj: RefCounted, to: str) -> None:
        """Move the program's reference to `to` (a kptr slot, ctx->skb); raise Fault as `move` does."""
        self.move(obj, PROGRAM, to, MEMORY)

    def take(self, obj: RefCounted, holder: str) -> None:
        """Move the reference of `holder` (a kptr slot) to the program; raise Fault as `move` does."""
        self.move(obj, holder, PROGRAM)

    def program_exit(self, before: int, name: str) -> None:
        """Check that a program that started with `held == before` has released everything that it acquired.

        Raises:
            Fault: "leak", with the objects. They keep their references, from now on as "leaked by NAME".
        """
        if self.held <= before:
            return
        leaked = self.abandon(before, name)
        raise Fault("leak", f"program {name} ends holding {', '.join(str(obj) for obj in leaked)}: "
                            "every reference must be released, stored in a map or handed over")

    def abandon(self, before: int, name: str) -> list[RefCounted]:
        """Mark the objects that programs still hold after a fault as leaked by `name`, and return them."""
        found: list[RefCounted] = []
        if self.held <= before:
            return found
        lost = self.holder(LEAKED + name, _RUN).unit
        for obj in sorted(self.born, key=_SERIAL, reverse=True):  # youngest first: those are the ending program's
            while self.held > before and obj.refs & COUNT:
                obj.refs += lost - PROGRAM_UNIT
                self.held -= 1
                found.append(obj)
        return found

    def names(self, obj: RefCounted) -> list[str]:
        """Return the holder of each reference: layers first, then memory, then programs."""
        found = []
        rest = obj.refs
        for holder in self._holders:
            found += [holder] * (rest & COUNT)
            rest >>= FIELD
            if not rest:
                break
        return [holder.name for holder in sorted(found, key=lambda holder: holder.rank)]

    def holding(self, select: Callable[[str], bool]) -> list[RefCounted]:
        """Return the live objects that have a holder for which `select` is true."""
        return [obj for obj in self.live() if any(map(select, self.names(obj)))]

    def _gone(self, obj: RefCounted, verb: str) -> Never:
        raise Fault("use-after-free", f"the program {verb} {obj}, which was freed by {obj.last_holder}")

    def _not_held(self, obj: RefCounted, holder: str, verb: str) -> Never:
        if not obj.refs:
            raise Fault("double-free", f"{holder} {verb} {obj}, which was already freed by {obj.last_holder}")
        raise Fault("double-free", f"{holder} {verb} a reference to {obj} that it does not hold; "
                                   f"held by {', '.join(self.names(obj))}")
