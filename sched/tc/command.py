"""What the commands of `tc` share: their namespace, and how they report a refusal by the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from ebpfvm.errnos import ENOENT, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK, Qdisc, handle_text
from ebpfvm.sched.tc.lexer import ScriptError

if TYPE_CHECKING:
    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.tc.build import TcBuilder
    from ebpfvm.sched.tc.grammar import Command

TC_H_INGRESS = 0xFFFFFFF1
INGRESS_HANDLE = 0xFFFF0000


def refuse(number: int, message: str, *detail: object) -> Never:
    """Raise the kernel's errno and text, followed by what it concerns after a colon."""
    raise OSError(number, message + "".join(f": {part}" for part in detail))


class Commands:
    """Base of the classes that execute commands.

    Args:
        net: the namespace.
        builder: builds qdiscs, filters and actions for it.
        source: name of the script.
    """

    def __init__(self, net: Namespace, builder: TcBuilder, source: str) -> None:
        self.net = net
        self.builder = builder
        self.source = source

    def dev(self, command: Command) -> NetDev:
        """Return the device that the command names."""
        if "dev" not in command.args:
            raise UsageError(f"tc {command.what} {command.verb}: 'dev NAME' is missing")
        return self.net.device(command.args["dev"])

    def upper(self, dev: NetDev, parent: int, missing: str) -> tuple[ClassfulQdisc, Any]:
        """Return the qdisc and class that `parent` names (qdisc_lookup and qdisc_leaf).

        Raises:
            OSError: `missing` if there is no such qdisc, or it has no classes, or not this class.
        """
        found = self.net.find_qdisc(dev, parent & TC_H_MAJ_MASK)
        if found is None:
            refuse(ENOENT, missing, handle_text(parent & TC_H_MAJ_MASK))
        if not isinstance(found, ClassfulQdisc):
            refuse(EOPNOTSUPP, "Parent qdisc is not classful", f"{found.kind} {handle_text(found.handle)}")
        cl = found.find(parent)
        if cl is None:
            refuse(ENOENT, "Specified class not found", handle_text(parent))
        return found, cl

    def no_verb(self, command: Command) -> Never:
        """Raise `ScriptError`, because the command has no such verb."""
        raise ScriptError(f"tc {command.what} has no {command.verb!r}: expected add, change, del, replace or show",
                          command.at, self.source)

    def forget_unused(self) -> None:
        """Count the filters that use each action, and remove actions that a filter created and none uses any more."""
        for action in self.net.actions.values():
            action.bound = 0
        for block in self.net.all_blocks():
            for tp in block.protos():
                for item in tp.listed():
                    for action in item.actions:
                        action.bound += 1
        for key, action in list(self.net.actions.items()):
            if not action.bound and not action.own:
                del self.net.actions[key]


def is_default(qdisc: Qdisc | None) -> bool:
    """Return whether no command created this qdisc, so that lookups ignore it."""
    return qdisc is None or not qdisc.handle
