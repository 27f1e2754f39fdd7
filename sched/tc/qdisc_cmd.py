"""`tc qdisc` and `tc class`, as a kernel executes them; each refusal has the kernel's errno and text.

Sources: tc_modify_qdisc, tc_get_qdisc and tc_ctl_tclass, net/sched/sch_api.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EEXIST, EINVAL, ENOENT
from ebpfvm.errors import UsageError
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.qdisc_kind import given_once
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.qdiscs.noqueue import NoQueue
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK, TC_H_ROOT, Qdisc, handle_text
from ebpfvm.sched.shown import printed
from ebpfvm.sched.size_table import SizeTable
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.command import INGRESS_HANDLE, TC_H_INGRESS, Commands, is_default, refuse
from ebpfvm.sched.tc.grammar import CLASS_KINDS, QDISC_KINDS, check_kind, class_grammar, qdisc_grammar
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.show_qdisc import ClassFilter, QdiscFilter, show_class, show_qdisc

if TYPE_CHECKING:
    from ebpfvm.sched.netdev import NetDev
    from ebpfvm.sched.tc.grammar import Command

_ARGS: Final = ("dev", "root", "parent", "handle", "ingress_block", "egress_block", "stab")
_HOOKS: Final = tuple(name for name in QDISC_KINDS if QDISCS[name].hooks)
_EXCLUSIVE: Final = "Exclusivity flag on, cannot modify"
_NO_REPLACE: Final = "NLM_F_REPLACE needed to override"
_OTHER_KIND: Final = "Invalid qdisc name: must match existing qdisc"


class QdiscCommands(Commands):
    """Execute `tc qdisc`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        if command.verb == "show":
            return self._show(command)
        if command.verb == "get":
            self.no_verb(command)
        if command.kind:
            self._check_variable(command)
            check_kind(command, (*QDISC_KINDS, *self.net.qdisc_kinds), _ARGS, self.source)
        dev, parent, handle = self.dev(command), self._parent(command), command.args.get("handle", 0)
        if command.kind in _HOOKS:
            handle = INGRESS_HANDLE
        if command.verb == "del":
            if command.options:
                self._options(command)
            self._delete(command, dev, parent, handle)
            self.forget_unused()
        else:
            self._modify(command, dev, parent, handle)
        return []

    def _check_variable(self, command: Command) -> None:
        """Raise `ScriptError` if the kind is the name of a registered variable, or of a kind that is gone."""
        if command.kind in QDISC_KINDS or command.kind in self.net.qdisc_kinds:
            return
        for item in self.net.struct_ops.listed():
            if command.kind == item.name:
                raise ScriptError(f"no kind of qdisc {item.name!r}: that is the variable; its kind is {item.kind.id!r}",
                                  command.kind_at, self.source)
            if command.kind == item.kind.id:
                raise ScriptError(f"Specified qdisc kind is unknown: {item.kind.id} was unregistered (ENOENT)",
                                  command.kind_at, self.source)

    def _show(self, command: Command) -> list[str]:
        args = command.args
        places = [word for word in ("root", "parent", "handle", "ingress", "clsact") if word in args]
        if len(places) > 1:
            raise UsageError(f"tc qdisc show: {' and '.join(map(repr, places))} cannot be used together")
        wanted = QdiscFilter("root" in args, "ingress" in args or "clsact" in args, args.get("parent", 0),
                             args.get("handle", 0), "invisible" in args)
        devices = [self.dev(command)] if "dev" in args else list(self.net.devices.values())
        found = [parts for dev in devices
                 for parts in show_qdisc(self.net, dev, command.flags, "dev" not in args, wanted)]
        return printed(found, command.flags)

    def _parent(self, command: Command) -> int:
        """Return the id of the class that the command names, 0 for none."""
        places: list[str] = [word for word in ("root", "parent") if word in command.args]
        places += [command.kind] if command.kind in _HOOKS else []
        if len(places) > 1:
            raise UsageError(f"tc qdisc {command.verb}: {' and '.join(map(repr, places))} cannot be used together")
        if command.kind in _HOOKS:
            return TC_H_INGRESS
        parent: int = command.args.get("parent", 0)
        return TC_H_ROOT if "root" in command.args else parent

    def _options(self, command: Command) -> dict[str, Any]:
        if command.kind in self.net.qdisc_kinds:
            if command.options:
                word = command.options[0]
                raise ScriptError(f"unknown word {word.text!r}: qdiscs of kind {command.kind} have no options", word,
                                  self.source)
            return {}
        items = qdisc_grammar(command.kind).parse(command.options, command.kind_at, self.source)
        return self.builder.qdisc_options(command.kind, items)

    # ---- add, change, replace, link -----------------------------------------------------------------------

    def _modify(self, command: Command, dev: NetDev, parent: int, handle: int) -> None:
        """Create or change a qdisc as tc_modify_qdisc does, with the flags that `tc` sets for the verb."""
        options = self._options(command) if command.kind else {}
        verb, stab = command.verb, _size_table(command)
        if not parent:
            if not handle:
                refuse(EINVAL, "Handle cannot be zero", "'root', 'parent CLASS' or 'handle H:' is needed")
            self._change(command, self._lookup(dev, handle), options)
            return
        if parent == TC_H_INGRESS:
            self._modify_hook(command, dev)
            return
        upper, cl = (None, None) if parent == TC_H_ROOT else self.upper(dev, parent, "Failed to find specified qdisc")
        old: Qdisc | None = dev.qdisc if cl is None else cl.child
        old = None if is_default(old) else old
        create = verb in ("add", "replace")
        if old is None or handle in (0, old.handle):
            if old is not None and handle:
                self._change(command, old, options)
                return
            if not handle and old is not None and not (verb == "replace" and command.kind not in ("", old.kind)):
                self._change(command, old, options)
                return
        elif verb not in ("replace", "link"):
            refuse(EEXIST, _NO_REPLACE)
        if handle and self._lookup(dev, handle) is not None:
            if verb == "add":
                refuse(EEXIST, "Exclusivity flag on, cannot override")
            refuse(EINVAL, "Cannot move an existing qdisc to a different parent")
        if not create:
            refuse(ENOENT, "Qdisc not found. To create specify NLM_F_CREATE flag")
        if not command.kind:
            refuse(ENOENT, "Specified qdisc kind is unknown", "no kind of qdisc is named; there are "
                                                                    f"{', '.join(QDISC_KINDS)}")
        if stab is not None and upper is not None:
            refuse(EINVAL, "STAB not supported on a non root", "write stab for the root qdisc, or give class or qdisc "
                                                               "the options overhead and linklayer, as those of htb")
        if command.kind == NoQueue.kind and upper is not None:
            refuse(EINVAL, "Cannot assign noqueue to a class")
        new = self.builder.qdisc(command.kind, dev, handle or self.net.free_handle(dev), options,
                                 parent, upper)
        new.stab = stab
        self._graft(dev, upper, cl, new, parent)

    def _lookup(self, dev: NetDev, handle: int) -> Qdisc | None:
        return self.net.find_qdisc(dev, handle)

    def _change(self, command: Command, old: Qdisc | None, options: dict[str, Any]) -> None:
        """Change the options of an existing qdisc."""
        if old is None:
            refuse(ENOENT, "Specified qdisc not found")
        if command.verb == "add":
            refuse(EEXIST, _EXCLUSIVE)
        if command.kind not in ("", old.kind):
            refuse(EINVAL, _OTHER_KIND, old.kind)
        if command.kind and (options or command.kind not in self.net.qdisc_kinds):
            self.builder.change_qdisc(old, options)
        old.stab = _size_table(command)

    def _graft(self, dev: NetDev, upper: ClassfulQdisc | None, cl: Any, new: Qdisc | None, parent: int) -> None:
        if upper is None:
            dev.set_root(new)
            return
        old = upper.graft(cl, new)
        if new is not None:
            new.parent = parent  # tbf and netem accept any minor number, and show the one that was given
        if old is not None:
            old.destroy()

    def _modify_hook(self, command: Command, dev: NetDev) -> None:
        if dev.hook_kind and command.verb == "add":
            refuse(EEXIST, _EXCLUSIVE)
        if dev.hook_kind and command.kind not in ("", dev.hook_kind):
            refuse(EINVAL, _OTHER_KIND, dev.hook_kind)
        if not dev.hook_kind and command.verb not in ("add", "replace"):
            refuse(ENOENT, "Qdisc not found. To create specify NLM_F_CREATE flag")
        if command.kind not in _HOOKS:
            raise UsageError("tc qdisc: parent ffff:fff1 is for the kinds clsact and ingress")
        dev.hook_stab = _size_table(command)
        if dev.hook_kind:
            return  # replace names an existing qdisc; its blocks cannot be changed
        for side in QDISCS[command.kind].hooks:
            index = command.args.get(f"{side}_block", 0)
            dev.hooks[side] = self.builder.block(index) if index else Block()
        dev.hook_kind = command.kind
        dev.hook_seen = True

    # ---- del ----------------------------------------------------------------------------------------------

    def _delete(self, command: Command, dev: NetDev, parent: int, handle: int) -> None:
        """Delete a qdisc as tc_get_qdisc does for RTM_DELQDISC."""
        if parent and parent != TC_H_ROOT and parent & TC_H_MAJ_MASK == INGRESS_HANDLE:
            self._delete_hook(command, dev, handle)
            return
        upper: ClassfulQdisc | None = None
        cl: Any = None
        if parent == TC_H_ROOT:
            old: Qdisc | None = dev.qdisc
        elif parent:
            upper, cl = self.upper(dev, parent, "Failed to find qdisc with specified classid")
            old = cl.child
        else:
            old = self._lookup(dev, handle)
            if old is None:
                refuse(ENOENT, "Failed to find qdisc with specified handle")
        if old is None:
            refuse(ENOENT, "Cannot find specified qdisc on specified device")
        if handle not in (0, old.handle):
            refuse(EINVAL, "Invalid handle")
        if command.kind not in ("", old.kind):
            refuse(EINVAL, _OTHER_KIND, old.kind)
        if not parent:
            refuse(EINVAL, "Classid cannot be zero")
        if not old.handle:
            refuse(ENOENT, "Cannot delete qdisc with handle of zero")
        self._graft(dev, upper, cl, None, parent)

    def _delete_hook(self, command: Command, dev: NetDev, handle: int) -> None:
        if not dev.hook_kind:
            if not dev.hook_seen:
                refuse(ENOENT, "Cannot find specified qdisc on specified device")
            refuse(EINVAL if handle else ENOENT,
                   "Invalid handle" if handle else "Cannot delete qdisc with handle of zero")
        if handle not in (0, INGRESS_HANDLE):
            refuse(EINVAL, "Invalid handle")
        if command.kind not in ("", dev.hook_kind):
            refuse(EINVAL, _OTHER_KIND, dev.hook_kind)
        dev.hooks.clear()
        dev.hook_kind = ""


def _size_table(command: Command) -> SizeTable | None:
    """Return the table of sizes that a command gives; without one, it takes away the table that a qdisc has."""
    if "stab" not in command.args:
        return None
    return SizeTable(given_once("stab", command.args["stab"]))


class ClassCommands(Commands):
    """Execute `tc class`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        if command.verb == "show":
            args = command.args
            if "dev" not in args:
                return printed([], command.flags)
            wanted = ClassFilter("root" in args, args.get("parent", 0), args.get("classid", 0))
            return printed(show_class(self.net, self.dev(command), command.flags, wanted), command.flags)
        dev, args = self.dev(command), command.args
        if command.verb in ("link", "get"):
            self.no_verb(command)
        if "classid" not in args:
            raise UsageError(f"tc class {command.verb}: 'classid CLASS' is missing")
        options = self._class_options(command)
        classid, parent = args["classid"], TC_H_ROOT if "root" in args else args.get("parent", 0)
        qdisc = self._qdisc(dev, parent, classid)
        found = qdisc.find(classid)
        self._modify(command, qdisc, found, options)
        return []

    def _qdisc(self, dev: NetDev, parent: int, classid: int) -> ClassfulQdisc:
        """Return the qdisc of the class: the major numbers of parent and id must agree (tc_ctl_tclass)."""
        major = classid & TC_H_MAJ_MASK
        if parent not in (0, TC_H_ROOT) and parent & TC_H_MAJ_MASK:
            if major and major != parent & TC_H_MAJ_MASK:
                refuse(EINVAL, f"class {handle_text(classid)} cannot be added to qdisc "
                                     f"{handle_text(parent & TC_H_MAJ_MASK)}")
            major = parent & TC_H_MAJ_MASK
        qdisc = self.net.find_qdisc(dev, major)
        if qdisc is None:
            refuse(ENOENT, "No such file or directory", f"no qdisc {handle_text(major)}")
        if not isinstance(qdisc, ClassfulQdisc):
            refuse(EINVAL, "Invalid argument", f"qdisc {qdisc.kind} {handle_text(major)} has no classes")
        return qdisc

    def _modify(self, command: Command, qdisc: ClassfulQdisc, found: Any, options: dict[str, Any]) -> None:
        classid, parent = command.args["classid"], command.args.get("parent", 0)
        name = f"class {handle_text(classid)}"
        if command.verb == "del":
            if found is None:
                refuse(ENOENT, "No such file or directory", name)
            qdisc.delete_class(found)
            return
        if found is not None and command.verb == "add":
            refuse(EEXIST, "File exists", name)
        if found is None and command.verb == "change":
            refuse(ENOENT, "No such file or directory", name)
        if command.kind and command.kind != qdisc.kind:
            refuse(EINVAL, "Invalid argument", f"the classes of qdisc {handle_text(qdisc.handle)} are of kind "
                                               f"{qdisc.kind}")
        qdisc.change_class(classid, 0 if parent == TC_H_ROOT else parent, options, found)

    def _class_options(self, command: Command) -> dict[str, Any]:
        """Return the options of a class as its kind's `change_class` takes them."""
        if not command.kind:
            return {}
        classless = [kind for kind in QDISC_KINDS if kind not in CLASS_KINDS]
        if command.kind in (*classless, *self.net.qdisc_kinds):
            raise UsageError(f'Qdisc "{command.kind}" is classless: its classes cannot be added, changed or deleted')
        check_kind(command, CLASS_KINDS, ("dev", "parent", "classid"), self.source)
        items = class_grammar(command.kind).parse(command.options, command.kind_at, self.source)
        return QDISCS[command.kind].class_arguments(items, "")
