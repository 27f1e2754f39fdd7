"""The context of a program that fills a member of a struct of operations: the call's arguments, in 64 bits each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ebpfvm.kernel.layouts import Layout, ObjectRegion

if TYPE_CHECKING:
    from ebpfvm.contract.ops import OpsMember
    from ebpfvm.kernel.emulated import Kernel


class OpsArguments:
    """The arguments of one call: attribute NAME is the number that a program reads, NAME_object the object behind it.

    Attributes:
        given: the object that the program returns, if the engine knows it; its reference has already passed to the
            caller.
    """

    __slots__: ClassVar[tuple[str, ...]] = ("given",)
    given: Any


def _number(held: Any) -> int:
    """Return what a program reads for an argument: a number, or the address of an object."""
    if held is None:
        return 0
    found: int = held if isinstance(held, int) else held.ptr
    return found


def object_name(name: str) -> str:
    """Return the attribute of `OpsArguments` that is the object behind an argument."""
    return f"{name}_object"


def _arguments_of(names: tuple[str, ...]) -> type[OpsArguments]:
    """Return the class of the arguments of a member."""
    def number(name: str) -> property:
        return property(lambda self: _number(getattr(self, object_name(name))))
    parts: dict[str, Any] = {"__slots__": tuple(map(object_name, names))} | {name: number(name) for name in names}
    return type("Arguments", (OpsArguments,), parts)


class OpsCtx(ObjectRegion):
    """The arguments of one call, which the caller sets as attributes of `owner`.

    Attributes:
        owner: the arguments.
        objects: the names of their attributes that are objects.
    """

    __slots__ = ("objects",)
    owner: OpsArguments

    def __init__(self, kernel: Kernel, layout: Layout) -> None:
        names = tuple(layout.fields)
        super().__init__("ctx", layout, _arguments_of(names)())
        self.region = self
        self.owner.given = None
        self.objects = tuple(map(object_name, names))
        kernel.memory.adopt(self)

    def set(self, *values: Any) -> None:
        """Set the arguments: numbers, objects with an address as `ptr`, or None for NULL."""
        for name, value in zip(self.objects, values, strict=True):
            setattr(self.owner, name, value)


def ops_layout(struct: str, member: OpsMember) -> Layout:
    """Return the layout of a member's context."""
    fields = member.fields()
    return Layout(f"{struct}.{member.name}", fields, 8 * len(fields))
