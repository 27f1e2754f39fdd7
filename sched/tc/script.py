"""Execute the commands of a `tc` script: `run_script`.

What the kernel refuses is refused with its errno and, if there is one, its message. Every error names the line and
column where the command begins.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ebpfvm import errnos
from ebpfvm.errors import EbpfvmError, UsageError
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.action_cmd import ActionCommands
from ebpfvm.sched.tc.build import TcBuilder
from ebpfvm.sched.tc.filter_cmd import FilterCommands
from ebpfvm.sched.tc.grammar import Command, parse_script
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.qdisc_cmd import ClassCommands, QdiscCommands
from ebpfvm.sched.tc.show_qdisc import show_link
from ebpfvm.sched.tc.struct_ops_cmd import StructOpsCommands, SysctlCommands
from ebpfvm.sched.tc.tc_text import mac_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.sched.netdev import Namespace, NetDev


def run_script(text: str, net: Namespace, source: str = "", folder: str = "",
               later: list[Command] | None = None, define: Mapping[str, str] | None = None) -> list[str]:
    """Execute the commands of a script, in order.

    Args:
        text: `tc`, `ip link`, `bpftool struct_ops` and `sysctl` commands, one per line; see docs/reference/tc.md.
        net: the namespace to configure.
        source: name of the script, for messages.
        folder: folder that relative paths of object files start from.
        later: list to which `show` commands are added instead of being executed; pass it to `show_later` after a run.

    Returns:
        The lines that `show` commands print.

    Raises:
        ScriptError: a command is malformed or fails; the message has line, column and reason. The commands before it
            have been executed.
    """
    runner = _Runner(net, TcBuilder(net, folder), source)
    lines: list[str] = []
    for command in parse_script(text, source, folder, define):
        if later is not None and command.verb == "show":
            later.append(command)
        else:
            lines += runner.run(command)
    return lines


def show_later(commands: list[Command], net: Namespace, source: str = "") -> list[str]:
    """Return the output of the `show` commands that `run_script` deferred; raise `ScriptError` as it does."""
    runner = _Runner(net, TcBuilder(net), source)
    return [line for command in commands for line in runner.run(command)]


def run_script_file(path: str | os.PathLike[str], net: Namespace, later: list[Command] | None = None) -> list[str]:
    """Execute a script file as `run_script` does; paths of object files are relative to its folder.

    Raises:
        UsageError: the file cannot be read.
        ScriptError: as for `run_script`.
    """
    return read_script(path).run(net, later)


class ScriptFile(NamedTuple):
    """A script file that was read.

    Attributes:
        text: its text.
        path: its name, for messages; paths of object files are relative to its folder.
        define: values of variables, as for `run_script`.
    """

    text: str
    path: str
    define: Mapping[str, str] | None = None

    def run(self, net: Namespace, later: list[Command] | None = None) -> list[str]:
        """Execute it as `run_script` does, with the same errors."""
        return run_script(self.text, net, self.path, os.path.dirname(self.path), later, self.define)

    def registers(self) -> bool:
        """Return whether it registers struct_ops; raise `ScriptError` if it seems to, and is malformed before that."""
        return "struct_ops" in self.text and any(
            command.what == "struct_ops"
            for command in parse_script(self.text, self.path, os.path.dirname(self.path), self.define))


def read_script(path: str | os.PathLike[str], define: Mapping[str, str] | None = None) -> ScriptFile:
    """Return a script file, which may be a pipe and so can be read only once.

    Args:
        path: its path.
        define: values of variables, as for `run_script`.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return ScriptFile(file.read(), os.fspath(path), define)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{os.fspath(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _Runner:
    """Execute commands."""

    def __init__(self, net: Namespace, builder: TcBuilder, source: str) -> None:
        self.net = net
        self.source = source
        self._todo = {"qdisc": QdiscCommands(net, builder, source).run, "link": self._link,
                      "class": ClassCommands(net, builder, source).run,
                      "filter": FilterCommands(net, builder, source).run,
                      "actions": ActionCommands(net, builder, source).run,
                      "struct_ops": StructOpsCommands(net, builder, source).run,
                      "sysctl": SysctlCommands(net, builder, source).run}

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        source = command.source or self.source
        try:
            return self._todo[command.what](command)
        except ScriptError as error:
            error.source = source
            raise
        except OSError as error:
            if command.may_fail:
                return []
            number = errnos.name(error.errno) if error.errno else ""
            raise ScriptError(f"{error.strerror or error}{f' ({number})' if number else ''}", command.at,
                              source) from error
        except EbpfvmError as error:
            raise ScriptError(str(error), command.at, source) from error

    # ---- ip link ------------------------------------------------------------------------------------------

    def _link(self, command: Command) -> list[str]:
        args = command.args
        if command.verb == "show":
            devices = [self.net.device(args["dev"])] if "dev" in args else list(self.net.devices.values())
            return [line for dev in devices for line in show_link(dev)]
        if "dev" not in args:
            raise UsageError(f"ip link {command.verb}: the name of the device is missing")
        if "up" in args and "down" in args:
            raise UsageError("ip link: 'up' and 'down' cannot be used together")
        if command.verb == "del":
            self.net.remove_device(self.net.device(args["dev"]))
            return []
        if command.verb == "add":
            if "type" not in args:
                raise UsageError("ip link add: 'type' is missing; expected dummy, ifb or veth")
            self.net.add_device(args["dev"], args["type"], num_tx_queues=args.get("numtxqueues", 1))
        self._set_link(self.net.device(args["dev"]), args)
        return []

    def _set_link(self, dev: NetDev, args: Mapping[str, Any]) -> None:
        if "mtu" in args:
            dev.set_mtu(args["mtu"])
        if "txqueuelen" in args:
            dev.tx_queue_len = args["txqueuelen"]
            if not dev.qdisc.handle:
                dev.set_root(None)  # the default qdisc takes its length from the device
        if "address" in args:
            dev.mac = mac_text(args["address"].value, (1 << 48) - 1)
        if "up" in args or "down" in args:
            dev.set_up("up" in args)
