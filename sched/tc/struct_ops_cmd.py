"""`bpftool struct_ops` and `sysctl net.core.default_qdisc`, with the answers of bpftool 7.8 on Linux 7.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errnos import EINPROGRESS, ENOENT, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.sch_struct_ops import QDISC_OPS
from ebpfvm.sched.shown import json_text
from ebpfvm.sched.tc.command import Commands, refuse

if TYPE_CHECKING:
    from ebpfvm.sched.struct_ops_maps import StructOpsMap
    from ebpfvm.sched.tc.grammar import Command

_DEFAULT_QDISC: Final = "net.core.default_qdisc"


class StructOpsCommands(Commands):
    """Execute `bpftool struct_ops`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        if command.verb == "register":
            return self._said(command, self.builder.register(command.args["file"], command.args.get("links", "")))
        if command.verb == "dump":
            raise UsageError("bpftool struct_ops dump is not supported by ebpfvm: 'bpftool struct_ops show' lists what "
                             "is registered, and 'ebpfvm dis OBJECT' prints its programs")
        found = self._wanted(command)
        return self._show(command, found) if command.verb == "show" else self._unregister(command, found)

    def _wanted(self, command: Command) -> list[StructOpsMap]:
        """Return the maps that the command names, all without a name."""
        found, args = self.net.struct_ops.listed(), command.args
        if "id" in args:
            found = [item for item in found if item.id == args["id"]]
            if not found:
                refuse(ENOENT, f"can't get map by id ({args['id']}): No such file or directory", *self._known())
        if "name" in args:
            found = [item for item in found if item.name == args["name"]]
            if not found:
                raise UsageError(f"no struct_ops found for {args['name']}: {self._known()[0]}")
        return found

    def _known(self) -> list[str]:
        """Return what to name instead: the names of variables, which people mistake for the id of the kind."""
        known = [f"{item.name} (of kind {item.kind.id})" for item in self.net.struct_ops.listed()]
        return [f"there are {', '.join(known)}; the name is that of the variable" if known else "none is registered"]

    def _show(self, command: Command, found: list[StructOpsMap]) -> list[str]:
        if "j" not in command.flags:
            return [f"{item.id}: {item.name:<15} {QDISC_OPS:<32}".rstrip() for item in found]
        text = json_text([(("id", item.id), ("name", item.name), ("kernel_struct_ops", QDISC_OPS)) for item in found],
                         "p" in command.flags)
        # bpftool puts no blanks into a list, and its end on a line of its own
        return text.replace("[ ", "[").replace("} ]", "}\n]").split("\n")

    def _unregister(self, command: Command, found: list[StructOpsMap]) -> list[str]:
        """Remove each kind; the first that cannot be removed is the error, after the others."""
        lines, errors = [], []
        for item in list(found):
            what = f"{QDISC_OPS} {item.name} id {item.id}"
            if item.link:
                errors.append((EOPNOTSUPP, f"can't unload {what}: Operation not supported: the link holds it that was "
                                           f"pinned in {item.link}"))
            elif not item.registered:
                errors.append((EINPROGRESS, f"can't unload {what}: Operation now in progress: it is unregistered, and "
                                            "qdiscs still use it"))
            else:
                self.net.struct_ops.remove(item)
                lines.append(f"Unregistered {what}")
        if errors:
            refuse(*errors[0])
        return self._said(command, lines)

    def _said(self, command: Command, lines: list[str]) -> list[str]:
        return ["null"] if "j" in command.flags else lines


class SysctlCommands(Commands):
    """Execute `sysctl`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        key, value = command.args["key"], command.args.get("value")
        if key != _DEFAULT_QDISC:
            raise UsageError(f"sysctl {key} is not supported by ebpfvm, only {_DEFAULT_QDISC}")
        if value is not None:
            self._set(value)
        if "q" in command.flags:
            return []
        shown = self.net.default_kind
        return [shown if "n" in command.flags else f"{key} = {shown}"]

    def _set(self, kind: str) -> None:
        if kind == "noqueue":
            raise UsageError(f"{_DEFAULT_QDISC}=noqueue is not supported by ebpfvm: a new device has pfifo_fast; write "
                             "tc qdisc add dev NAME root noqueue for each that has none")
        if kind not in QDISCS and kind not in self.net.qdisc_kinds:
            known = sorted([*QDISCS, *self.net.qdisc_kinds])
            refuse(ENOENT, "write error: No such file or directory",
                   f"there is no kind of qdisc {kind!r}, but {', '.join(known)}")
        self.net.default_kind = kind
