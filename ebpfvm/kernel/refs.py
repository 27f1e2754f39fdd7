"""The ledger of references: every counted object, and the holder of each of its references.

A kernel only counts the references of an object. This ledger also records who holds each one. So a leak, a release of
something that is not held and a use after free are reported when they happen, in unverified programs too, and a
simulation can check at its end that no packet was lost, and name the last holder.

Holders are short texts: `PROGRAM` for what a running program holds in registers or on its stack, the `name` of a
region for a kptr slot in it ("map pifo"), and the names that the layers give themselves ("qdisc 1:", "link eth0").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Never

from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "program"


class RefCounted:
    """A counted object (SkBuff, an object of bpf_obj_new, ...).

    Attributes:
        what: name of its kind, for messages.
        serial: its number among all objects of the kernel, from 1; 0 before `Refs.add`.
        holders: the holder of each reference; empty once it is freed.
        last_holder: who released the last reference.
    """

    what: ClassVar[str] = "object"
    serial: int = 0
    last_holder: str = ""
    holders: list[str]

    @property
    def users(self) -> int:
        """The reference count."""
        return len(self.holders)

    def destroy(self) -> None:
        """Free what the object owns; `Refs` calls this when the last reference is released."""

    def __str__(self) -> str:
        return f"{self.what} #{self.serial}"


class Refs:
    """The ledger of references.

    Attributes:
        objects: serial -> live object.
        held: number of references that running programs hold.
    """

    def __init__(self) -> None:
        self.objects: dict[int, RefCounted] = {}
        self.held = 0
        self._next = 1

    def add(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Add a new object with one reference, held by `holder`."""
        obj.serial = serial = self._next
        self._next = serial + 1
        obj.holders = [holder]
        self.objects[serial] = obj
        if holder == PROGRAM:
            self.held += 1

    def acquire(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Acquire one more reference.

        Raises:
            Fault: "use-after-free", if the object is gone.
        """
        if not obj.holders:
            self._gone(obj, "acquires a reference to")
        obj.holders.append(holder)
        if holder == PROGRAM:
            self.held += 1

    def release(self, obj: RefCounted, holder: str = PROGRAM) -> None:
        """Release `holder`'s reference; the last release destroys the object.

        Raises:
            Fault: "double-free", if `holder` has none.
        """
        holders = obj.holders
        try:
            holders.remove(holder)
        except ValueError:
            self._not_held(obj, holder, "releases")
        if holder == PROGRAM:
            self.held -= 1
        if not holders:
            obj.last_holder = holder
            del self.objects[obj.serial]
            obj.destroy()

    def move(self, obj: RefCounted, old: str, new: str) -> None:
        """Move a reference from `old` to `new`; the count does not change.

        Raises:
            Fault: "double-free", if `old` has none.
        """
        holders = obj.holders
        try:
            holders[holders.index(old)] = new
        except ValueError:
            self._not_held(obj, old, f"gives to {new}")
        if old == PROGRAM:
            self.held -= 1
        if new == PROGRAM:
            self.held += 1

    def give(self, obj: RefCounted, to: str) -> None:
        """Move the program's reference to `to` (a kptr slot, ctx->skb); raise Fault as `move` does."""
        self.move(obj, PROGRAM, to)

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
        found = []
        for obj in reversed(self.objects.values()):  # youngest first: those are the ending program's
            while self.held > before and PROGRAM in obj.holders:
                obj.holders[obj.holders.index(PROGRAM)] = f"leaked by {name}"
                self.held -= 1
                found.append(obj)
        return found

    def holding(self, select: Callable[[str], bool]) -> list[RefCounted]:
        """Return the live objects that have a holder for which `select` is true."""
        return [obj for obj in self.objects.values() if any(map(select, obj.holders))]

    def _gone(self, obj: RefCounted, verb: str) -> Never:
        raise Fault("use-after-free", f"the program {verb} {obj}, which was freed by {obj.last_holder}")

    def _not_held(self, obj: RefCounted, holder: str, verb: str) -> Never:
        if not obj.holders:
            raise Fault("double-free", f"{holder} {verb} {obj}, which was already freed by {obj.last_holder}")
        raise Fault("double-free", f"{holder} {verb} a reference to {obj} that it does not hold; "
                                   f"held by {', '.join(obj.holders)}")
