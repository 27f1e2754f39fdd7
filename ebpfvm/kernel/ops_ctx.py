"""The context of a program that fills a member of a struct of operations: the call's arguments, in 64 bits each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from ebpfvm.kernel.layouts import Layout, ObjectRegion

if TYPE_CHECKING:
    from ebpfvm.contract.ops import OpsMember
    from ebpfvm.kernel.emulated import Kernel


class OpsCtx(ObjectRegion):
    """The arguments of one call, which the caller sets as attributes of `owner`.

    Attributes:
        arguments: the names of the arguments in order.
    """

    __slots__ = ("arguments",)

    def __init__(self, kernel: Kernel, layout: Layout) -> None:
        super().__init__("ctx", layout, SimpleNamespace())
        self.region = self
        self.arguments = tuple(layout.fields)
        kernel.memory.adopt(self)

    def set(self, *values: int) -> None:
        """Set the arguments."""
        vars(self.owner).update(zip(self.arguments, values, strict=True))


def ops_layout(struct: str, member: OpsMember) -> Layout:
    """Return the layout of a member's context."""
    fields = member.fields()
    return Layout(f"{struct}.{member.name}", fields, 8 * len(fields))
