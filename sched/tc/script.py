"""Doing the commands of a `tc` script: `run_script`.

What a kernel refuses is refused with its errno and, where it has one, its message (net/sched/sch_api.c and cls_api.c,
Linux 7.2); every error says in which line and column the command begins that it is about.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import EbpfvmError, UsageError
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.qdisc import TC_H_MAJ_MASK, TC_H_ROOT, Qdisc, handle_text
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.build import Builder
from ebpfvm.sched.tc.cls_basic import Basic, Fw, Matchall
from ebpfvm.sched.tc.cls_bpf import Bpf
from ebpfvm.sched.tc.cls_flower import Flower
from ebpfvm.sched.tc.cls_u32 import U32
from ebpfvm.sched.tc.grammar import CLASS_KINDS, QDISC_KINDS, Command, check_kind, parse_script, qdisc_grammar
from ebpfvm.sched.tc.grammar_filter import FILTER_ARGS, FILTER_KINDS, filter_handle, filter_options
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.show import show_class, show_filter, show_link, show_qdisc
from ebpfvm.sched.tc.text import mac_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.tc.block import TcfProto

KINDS: Final[Mapping[str, type[TcfProto]]] = {kind.kind: kind for kind in (Basic, Bpf, Flower, Fw, Matchall, U32)}

ETH_P_ALL: Final = 0x0003
_QDISC_ARGS: Final = ("dev", "root", "parent", "handle", "ingress_block", "egress_block")
_INGRESS: Final = 0xFFFF0000  # the handle of clsact and ingress
_HOOKS: Final = {0xFFFFFFF2: "ingress", 0xFFFFFFF3: "egress", _INGRESS: "ingress", 0xFFFFFFF1: "ingress"}


def run_script(text: str, net: Namespace, source: str = "", folder: str = "",
               later: list[Command] | None = None) -> list[str]:
    """Do the commands of a script, in order.

    Args:
        text: `tc` and `ip link` commands, one a line; see the manual's chapter on tc.
        net: the namespace to set up.
        source: name of the script, for messages.
        folder: where relative paths of object files begin.
        later: takes the `show` commands instead of doing them: give it to `show_later` after a run.

    Returns:
        The lines that `show` commands print.

    Raises:
        ScriptError: a command cannot be understood or done: line, column, and why. Those before it have been done.
    """
    runner = _Runner(net, Builder(net, folder), source)
    lines: list[str] = []
    for command in parse_script(text, source):
        if later is not None and command.verb == "show":
            later.append(command)
        else:
            lines += runner.run(command)
    return lines


def show_later(commands: list[Command], net: Namespace, source: str = "") -> list[str]:
    """What the `show` commands that `run_script` put off print now; raises `ScriptError` as they would have."""
    runner = _Runner(net, Builder(net), source)
    return [line for command in commands for line in runner.run(command)]


def run_script_file(path: str | os.PathLike[str], net: Namespace, later: list[Command] | None = None) -> list[str]:
    """As `run_script`, of a file; object files are looked for beside it.

    Raises:
        UsageError: the file cannot be read.
        ScriptError: as `run_script`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{os.fspath(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return run_script(text, net, os.fspath(path), os.path.dirname(os.fspath(path)), later)


class _Runner:
    """Does commands."""

    def __init__(self, net: Namespace, builder: Builder, source: str) -> None:
        self.net = net
        self.builder = builder
        self.source = source

    def run(self, command: Command) -> list[str]:
        """Do one; the lines it prints."""
        todo = {"qdisc": self._qdisc, "class": self._class, "filter": self._filter, "link": self._link}[command.what]
        try:
            return todo(command)
        except ScriptError:
            raise
        except OSError as error:
            number = "EOPNOTSUPP" if error.errno == errno.EOPNOTSUPP else errno.errorcode.get(error.errno or 0, "")
            raise ScriptError(f"{error.strerror or error}{f' ({number})' if number else ''}", command.at,
                              self.source) from error
        except EbpfvmError as error:
            raise ScriptError(str(error), command.at, self.source) from error

    def _dev(self, command: Command) -> NetDev:
        if "dev" not in command.args:
            raise UsageError(f"tc {command.what} {command.verb}: 'dev NAME' is needed")
        return self.net.device(command.args["dev"])

    # ---- tc qdisc -----------------------------------------------------------------------------------------

    def _qdisc(self, command: Command) -> list[str]:
        if command.verb == "show":
            devices = [self._dev(command)] if "dev" in command.args else list(self.net.devices.values())
            self._no_more(command)
            return [line for dev in devices
                    for line in show_qdisc(self.net, dev, "s" in command.flags, "dev" not in command.args)]
        if command.kind:
            check_kind(command, (*QDISC_KINDS, *self.net.qdisc_kinds), _QDISC_ARGS, self.source)
        dev, args = self._dev(command), command.args
        if command.kind in ("clsact", "ingress") or args.get("parent") in (0xFFFFFFF1,):
            self._hook_qdisc(command, dev)
            return []
        if "root" not in args and "parent" not in args:
            raise UsageError(f"tc qdisc {command.verb}: 'root' or 'parent CLASS' is needed")
        if "root" in args and "parent" in args:
            raise UsageError(f"tc qdisc {command.verb}: 'root' and 'parent' exclude each other")
        parent = TC_H_ROOT if "root" in args else args["parent"]
        if command.verb == "del":
            self._delete_qdisc(command, dev, parent)
        else:
            self._set_qdisc(command, dev, parent)
        return []

    def _no_more(self, command: Command) -> None:
        if command.kind:
            raise ScriptError(f"unknown word {command.kind!r}: expected the end of the command or an argument",
                              command.kind_at, self.source)

    def _options(self, command: Command) -> dict[str, Any]:
        check_kind(command, (*QDISC_KINDS, *self.net.qdisc_kinds), _QDISC_ARGS, self.source)
        if command.kind in self.net.qdisc_kinds:
            return {}
        return dict(qdisc_grammar(command.kind).parse(command.options, command.kind_at, self.source))

    def _hook_qdisc(self, command: Command, dev: NetDev) -> None:
        if command.verb == "del":
            if not dev.hook_kind or (command.kind and command.kind != dev.hook_kind):
                raise OSError(errno.EINVAL, f"device {dev.name} has no qdisc {command.kind or 'ingress'}")
            dev.hooks.clear()
            dev.hook_kind = ""
            self._drop_unbound()
            return
        self._options(command)
        if dev.hook_kind and command.verb == "add":
            raise OSError(errno.EEXIST, "Exclusivity flag on, cannot modify")
        sides = ("ingress", "egress") if command.kind == "clsact" else ("ingress",)
        for side in sides:
            index = command.args.get(f"{side}_block", 0)
            dev.hooks[side] = self.net.blocks.setdefault(index, Block(index=index)) if index else Block()
        dev.hook_kind = command.kind

    def _set_qdisc(self, command: Command, dev: NetDev, parent: int) -> None:
        """qdisc add, change, replace (tc_modify_qdisc)."""
        options, verb = self._options(command), command.verb
        upper, cl = self._place(dev, parent)
        old: Qdisc | None = dev.qdisc if upper is None else cl.child
        if old is not None and not old.handle:
            old = None  # a default qdisc does not count
        handle = command.args.get("handle", 0)
        if old is not None and handle in (0, old.handle):
            if verb == "add":
                raise OSError(errno.EEXIST, "Exclusivity flag on, cannot modify")
            if command.kind == old.kind:
                self.builder.change_qdisc(old, options)
                return
            if verb == "change":
                raise OSError(errno.EINVAL, "Invalid qdisc name: must match existing qdisc")
        elif verb == "change":
            raise OSError(errno.ENOENT, "Qdisc not found. To create specify NLM_F_CREATE flag")
        elif old is not None and verb == "add":
            raise OSError(errno.EEXIST, "NLM_F_REPLACE needed to override")
        found = self.net.find_qdisc(dev, handle)
        if found is not None and found is not old:
            self._regraft(command, found, upper, cl)
        else:
            new = self.builder.qdisc(command.kind, dev, handle or self.net.free_handle(dev), options)
            self._graft(dev, upper, cl, new)

    def _place(self, dev: NetDev, parent: int) -> tuple[ClassfulQdisc | None, Any]:
        """The qdisc and class that a new qdisc hangs at; (None, None) for the root."""
        if parent == TC_H_ROOT:
            return None, None
        upper = self.net.find_qdisc(dev, parent & TC_H_MAJ_MASK)
        if upper is None:
            raise OSError(errno.ENOENT, f"Failed to find specified qdisc: {handle_text(parent & TC_H_MAJ_MASK)}")
        if not isinstance(upper, ClassfulQdisc):
            raise OSError(errno.EOPNOTSUPP, f"Parent qdisc is not classful: {upper.kind} {handle_text(upper.handle)}")
        cl = upper.find(parent)
        if cl is None:
            raise OSError(errno.ENOENT, f"Specified class not found: {handle_text(parent)}")
        return upper, cl

    def _regraft(self, command: Command, found: Qdisc, upper: ClassfulQdisc | None, cl: Any) -> None:
        """A handle that is taken: a kernel would hang the same qdisc at a second place, which is refused here."""
        if command.verb == "add":
            raise OSError(errno.EEXIST, "Exclusivity flag on, cannot override")
        if command.kind != found.kind:
            raise OSError(errno.EINVAL, "Invalid qdisc name: must match existing qdisc")
        above: Qdisc | None = upper
        while above is not None:
            if above is found:
                raise OSError(errno.ELOOP, "Qdisc parent/child loop detected")
            above = above.upper
        raise OSError(errno.EOPNOTSUPP, f"qdisc {handle_text(found.handle)} at two places is not supported by ebpfvm")

    def _graft(self, dev: NetDev, upper: ClassfulQdisc | None, cl: Any, new: Qdisc | None) -> None:
        if upper is None:
            dev.set_root(new)
            return
        old = upper.graft(cl, new)
        if old is not None:
            old.destroy()

    def _delete_qdisc(self, command: Command, dev: NetDev, parent: int) -> None:
        upper, cl = self._place(dev, parent)
        old: Qdisc | None = dev.qdisc if upper is None else cl.child
        if old is None or not old.handle:
            raise OSError(errno.ENOENT, "Cannot delete qdisc with handle of zero" if upper is None
                          else f"Cannot find a qdisc at class {handle_text(parent)}")
        if command.args.get("handle", old.handle) != old.handle:
            raise OSError(errno.EINVAL, "Invalid handle")
        if command.kind and command.kind != old.kind:
            raise OSError(errno.EINVAL, "Invalid qdisc name")
        self._graft(dev, upper, cl, None)
        self._drop_unbound()

    # ---- tc class -----------------------------------------------------------------------------------------

    def _class(self, command: Command) -> list[str]:
        dev, args = self._dev(command), command.args
        if command.verb == "show":
            self._no_more(command)
            return show_class(self.net, dev, "s" in command.flags)
        if "classid" not in args:
            raise UsageError(f"tc class {command.verb}: 'classid CLASS' is needed")
        classid, parent = args["classid"], args.get("parent", 0)
        major = (parent if parent and parent != TC_H_ROOT else classid) & TC_H_MAJ_MASK
        qdisc = self.net.find_qdisc(dev, major)
        if qdisc is None:
            raise OSError(errno.ENOENT, f"Failed to find specified qdisc: {handle_text(major)}")
        if not isinstance(qdisc, ClassfulQdisc):
            raise OSError(errno.EINVAL, f"qdisc {qdisc.kind} {handle_text(major)} has no classes")
        found = qdisc.find(classid)
        if command.verb == "del":
            if found is None:
                raise OSError(errno.ENOENT, f"No such class: {handle_text(classid)}")
            qdisc.delete_class(found)
            return []
        self._check_class_kind(command, qdisc)
        if found is not None and command.verb == "add":
            raise OSError(errno.EEXIST, f"File exists: class {handle_text(classid)}")
        if found is None and command.verb == "change":
            raise OSError(errno.ENOENT, f"No such class: {handle_text(classid)}")
        qdisc.change_class(classid, 0 if parent == TC_H_ROOT else parent, {}, found)
        return []

    def _check_class_kind(self, command: Command, qdisc: ClassfulQdisc) -> None:
        if not command.kind:
            return
        if command.kind != qdisc.kind:
            check_kind(command, (*CLASS_KINDS, qdisc.kind), ("dev", "parent", "classid"), self.source)
            raise OSError(errno.EINVAL, f"class kind {command.kind}: qdisc {handle_text(qdisc.handle)} is {qdisc.kind}")
        if command.options:
            word = command.options[0]
            raise ScriptError(f"unknown word {word.text!r}: expected the end of the command", word, self.source)

    # ---- tc filter ----------------------------------------------------------------------------------------

    def _filter(self, command: Command) -> list[str]:
        args = command.args
        if command.verb == "show":
            self._no_more(command)
            if not {"block", "root", "ingress", "egress", "parent"} & set(args) and "dev" in args \
                    and not isinstance(self._dev(command).qdisc, ClassfulQdisc):
                return []  # a root qdisc that takes no filters has none
            return show_filter(self.net, self._block(command), "s" in command.flags, args.get("chain"))
        if command.kind or command.verb != "del":
            check_kind(command, FILTER_KINDS, FILTER_ARGS, self.source)
        block, handle = self._block(command), filter_handle(command, self.source)
        if command.verb == "del":
            block.delete(chain=args.get("chain"), prio=args.get("prio", 0), protocol=args.get("protocol", 0),
                         handle=handle[0], kind=command.kind)
            self._drop_unbound()
            return []
        protocol = args.get("protocol", ETH_P_ALL)
        items = filter_options(command, self.source)
        try:
            options = self.builder.filter(command.kind, protocol, items)
            if command.kind == "fw":
                options["mask"] = handle[1]
            block.add(KINDS[command.kind], options, chain=args.get("chain", 0), prio=args.get("prio", 0),
                      protocol=protocol, handle=handle[0], replace=command.verb != "add",
                      create=command.verb != "change")
        finally:
            self._drop_unbound()
        return []

    def _block(self, command: Command) -> Block:
        """The block that a filter command is about (tcf_block_find)."""
        args = command.args
        if "block" in args:
            found = self.net.blocks.get(args["block"])
            if found is None:
                raise OSError(errno.EINVAL, f"Block of given index was not found: {args['block']}")
            return found
        dev = self._dev(command)
        places = [word for word in ("root", "ingress", "egress", "parent") if word in args]
        if len(places) > 1:
            raise UsageError(f"tc filter: {' and '.join(map(repr, places))} exclude each other")
        parent = args.get("parent", 0)
        side = places[0] if places and places[0] in ("ingress", "egress") else _HOOKS.get(parent)
        if side is not None:
            if side not in dev.hooks:
                raise OSError(errno.EINVAL, f"Parent Qdisc doesn't exists: device {dev.name} has no {side} filters, "
                                            "add qdisc clsact first")
            return dev.hooks[side]
        return self._qdisc_block(dev, parent)

    def _qdisc_block(self, dev: NetDev, parent: int) -> Block:
        major = parent & TC_H_MAJ_MASK
        qdisc = self.net.find_qdisc(dev, major) if major else dev.qdisc
        if qdisc is None:
            raise OSError(errno.EINVAL, f"Parent Qdisc doesn't exists: {handle_text(major)}")
        if not isinstance(qdisc, ClassfulQdisc):
            raise OSError(errno.EINVAL, f"Qdisc not classful: {qdisc.kind} {handle_text(qdisc.handle)}")
        cl = qdisc.find(parent) if parent & ~TC_H_MAJ_MASK else None
        if parent & ~TC_H_MAJ_MASK and cl is None:
            raise OSError(errno.EINVAL, f"Specified class doesn't exist: {handle_text(parent)}")
        block = qdisc.tcf_block(cl)
        if block is None:
            raise OSError(errno.EOPNOTSUPP, "Class doesn't support blocks" if cl is not None
                          else f"qdisc {qdisc.kind} takes no filters")
        return block

    def _drop_unbound(self) -> None:
        """Count again which filters use an action, and forget those that none uses."""
        for action in self.net.actions.values():
            action.bound = 0
        for block in self.net.all_blocks():
            for tp in block.protos():
                found = [node for _, nodes in tp.nodes() for node in nodes] if isinstance(tp, U32) else tp.filters
                for item in found:
                    for action in item.actions:
                        action.bound += 1
        for key, action in list(self.net.actions.items()):
            if not action.bound:
                del self.net.actions[key]

    # ---- ip link ------------------------------------------------------------------------------------------

    def _link(self, command: Command) -> list[str]:
        args = command.args
        if command.verb == "show":
            devices = [self._dev(command)] if "dev" in args else list(self.net.devices.values())
            return [line for dev in devices for line in show_link(dev)]
        if "dev" not in args:
            raise UsageError(f"ip link {command.verb}: the name of a device is needed")
        if "up" in args and "down" in args:
            raise UsageError("ip link: 'up' and 'down' exclude each other")
        if command.verb == "del":
            self.net.remove_device(self.net.device(args["dev"]))
            return []
        if command.verb == "add":
            if "type" not in args:
                raise UsageError("ip link add: 'type' is needed (dummy, ifb or veth)")
            self.net.add_device(args["dev"], args["type"], num_tx_queues=args.get("numtxqueues", 1))
        self._set_link(self.net.device(args["dev"]), args)
        return []

    def _set_link(self, dev: NetDev, args: Mapping[str, Any]) -> None:
        if "mtu" in args:
            dev.set_mtu(args["mtu"])
        if "txqueuelen" in args:
            dev.tx_queue_len = args["txqueuelen"]
            if not dev.qdisc.handle:
                dev.set_root(None)  # the default qdisc is as long as the device says
        if "address" in args:
            dev.mac = mac_text(args["address"].value, (1 << 48) - 1)
        if "up" in args or "down" in args:
            dev.set_up("up" in args)
