"""`tc filter`, as a kernel executes it.

Sources: tc_new_tfilter, tc_del_tfilter and tc_dump_tfilter, net/sched/cls_api.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL, ENOENT, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.net import ETH_P_ALL
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK, handle_text
from ebpfvm.sched.shown import Part, printed, worded
from ebpfvm.sched.tc.command import INGRESS_HANDLE, TC_H_INGRESS, Commands, refuse
from ebpfvm.sched.tc.filters import FILTERS
from ebpfvm.sched.tc.grammar import check_kind
from ebpfvm.sched.tc.grammar_filter import FILTER_ARGS, FILTER_KINDS, filter_handle, filter_options
from ebpfvm.sched.tc.show_filter import FilterFilter, FilterView, show_filter, show_one

if TYPE_CHECKING:

    from ebpfvm.sched.netdev import NetDev
    from ebpfvm.sched.tc.block import Block
    from ebpfvm.sched.tc.grammar import Command

_HOOKS: Final = {0xFFFFFFF2: "ingress", 0xFFFFFFF3: "egress", INGRESS_HANDLE: "ingress", TC_H_INGRESS: "ingress"}
_PLACES: Final = ("root", "ingress", "egress", "parent")


class FilterCommands(Commands):
    """Execute `tc filter`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        if command.verb == "show":
            return self._show(command)
        if command.verb == "link":
            self.no_verb(command)
        if command.kind or command.verb != "del":
            check_kind(command, FILTER_KINDS, FILTER_ARGS, self.source)
        if command.verb == "get":
            return self._get(command)
        if command.verb == "del":
            self._delete(command)
        else:
            self._modify(command)
        return []

    def _modify(self, command: Command) -> None:
        args = command.args
        protocol, handle = args.get("protocol", ETH_P_ALL), filter_handle(command, self.source)
        items = filter_options(command, self.source)
        try:
            options = self.builder.filter(command.kind, protocol, items)
            if command.kind == "fw":
                options["mask"] = handle[1]
            block = self._block(command, change=True)
            block.add(FILTERS[command.kind].cls, options, chain=args.get("chain", 0), prio=args.get("prio", 0),
                      protocol=protocol, handle=handle[0], replace=command.verb != "add",
                      create=command.verb != "change")
        finally:
            self.forget_unused()

    def _delete(self, command: Command) -> None:
        args = command.args
        if "handle" in args and not command.kind:
            raise UsageError("tc filter del: name the kind of the filter too with 'handle', as in handle 800::800 u32")
        handle = filter_handle(command, self.source)
        if not args.get("prio") and ("protocol" in args or handle[0] or command.kind):
            refuse(ENOENT, "Cannot flush filters with protocol, handle or kind set", "name a priority too")
        self._block(command, change=True).delete(
            chain=args.get("chain"), prio=args.get("prio", 0), protocol=args.get("protocol", 0), handle=handle[0],
            kind=command.kind)
        self.forget_unused()

    # ---- show ---------------------------------------------------------------------------------------------

    def _show(self, command: Command) -> list[str]:
        args = command.args
        if "block" not in args and "dev" not in args:
            return printed([], command.flags)
        block = self._shown(command)
        if block is None:
            return printed([], command.flags)
        named = "block" in args or any(word in args for word in _PLACES)
        parent = [] if named else [self._parent(self.dev(command).qdisc.handle)]
        wanted = FilterFilter(args.get("chain"), args.get("prio"), args.get("protocol"))
        view = FilterView("s" in command.flags, parent, "block" not in args, self.net.kernel.clock)
        return printed(show_filter(block, view, wanted), command.flags)

    def _get(self, command: Command) -> list[str]:
        """Return the lines of one filter, by priority, protocol, handle and kind (tc_get_tfilter)."""
        args = command.args
        for word in ("protocol", "prio", "handle"):
            if not args.get(word):
                raise UsageError(f"tc filter get: {word!r} is needed")
        handle, block = filter_handle(command, self.source)[0], self._block(command)
        found = block.find_one(args.get("chain", 0), args["prio"], args["protocol"], command.kind, handle)
        parent = [] if block.index else [self._parent(args.get("parent", self.dev(command).qdisc.handle))]
        view = FilterView("s" in command.flags, parent, now=self.net.kernel.clock)
        return printed([show_one(*found, view)], command.flags)

    def _shown(self, command: Command) -> Block | None:
        """Return the block to print; None for a place that takes no filters."""
        try:
            return self._block(command)
        except OSError:
            if "block" in command.args:
                raise
            return None

    def _parent(self, handle: int) -> Part:
        return worded("parent", handle_text(handle))

    # ---- where --------------------------------------------------------------------------------------------

    def _block(self, command: Command, change: bool = False) -> Block:
        """Return the block that a filter command is about (tcf_block_find)."""
        args = command.args
        places = [word for word in (*_PLACES, "block") if word in args]
        if len(places) > 1:
            raise UsageError(f"tc filter: {' and '.join(map(repr, places))} cannot be used together")
        if "block" in args:
            found = self.net.blocks.get(args["block"])
            if found is None:
                refuse(EINVAL, "Block of given index was not found", args["block"])
            return found
        dev = self.dev(command)
        if "root" in args:
            refuse(EINVAL, "Parent Qdisc doesn't exists", "root is no qdisc's handle")
        parent = args.get("parent", 0)
        side = places[0] if places and places[0] in ("ingress", "egress") else _HOOKS.get(parent)
        if side is not None:
            if dev.hook_kind == "clsact" and parent in (INGRESS_HANDLE, TC_H_INGRESS):
                what = "Invalid argument" if parent == INGRESS_HANDLE else "Specified class doesn't exist"
                refuse(EINVAL, what, "a clsact has the parents ffff:fff2 (ingress) and ffff:fff3 (egress)")
            return self._hook(dev, "ingress" if dev.hook_kind == "ingress" else side, change)
        return self._qdisc_block(dev, parent)

    def _hook(self, dev: NetDev, side: str, change: bool) -> Block:
        if side not in dev.hooks:
            refuse(EINVAL, "Parent Qdisc doesn't exists",
                   f"device {dev.name} has no {side} filters, add qdisc clsact first")
        block = dev.hooks[side]
        if change and block.index:
            refuse(EOPNOTSUPP,
                   "This filter block is shared. Please use the block index to manipulate the filters",
                   f"block {block.index}")
        return block

    def _qdisc_block(self, dev: NetDev, parent: int) -> Block:
        major = parent & TC_H_MAJ_MASK
        qdisc: Any = self.net.find_qdisc(dev, major) if major else dev.qdisc
        if qdisc is None:
            refuse(EINVAL, "Parent Qdisc doesn't exists", handle_text(major))
        if not isinstance(qdisc, ClassfulQdisc):
            refuse(EINVAL, "Qdisc not classful", f"{qdisc.kind} {handle_text(qdisc.handle)}")
        cl = qdisc.find(parent) if parent & ~TC_H_MAJ_MASK else None
        if parent & ~TC_H_MAJ_MASK and cl is None:
            refuse(EINVAL, "Specified class doesn't exist", handle_text(parent))
        block = qdisc.tcf_block(cl)
        if block is None and cl is not None and qdisc.tcf_block(None) is not None:
            refuse(EINVAL, "Invalid argument", f"the filters of {qdisc.kind} are those of the qdisc, not of a class")
        if block is None:
            refuse(EOPNOTSUPP, "Class doesn't support blocks", f"{qdisc.kind} {handle_text(qdisc.handle)}")
        return block
