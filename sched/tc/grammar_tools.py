"""The syntax of the commands beside `tc` and `ip`: `bpftool struct_ops` and `sysctl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.tc.lr import listing

if TYPE_CHECKING:
    from ebpfvm.sched.tc.lr import Rule

_FLAGS: Final = {"-j": "j", "--json": "j", "-p": "jp", "--pretty": "jp", "-d": "", "--debug": ""}
_SYSCTL_FLAGS: Final = {"-w": "", "--write": "", "-q": "q", "--quiet": "q", "-qw": "q", "-wq": "q", "-n": "n",
                        "--values": "n"}


def bpftool_rules() -> list[Rule]:
    """Return the rules of `bpftool [-j] [-p] struct_ops ...`."""
    def said(verb: str) -> Any:
        return lambda _, which=(): ("struct_ops", verb, list(which), "", [])

    rules: list[Rule] = [("command : 'bpftool' tool_flags 'struct_ops~' ops",
                          lambda _, flags, __, found: (frozenset("".join(flags)), *found)),
                         *listing("tool_flags", "tool_flag"),
                         *((f"tool_flag : '{flag}'", lambda _, flag=flag: _FLAGS[flag]) for flag in _FLAGS),
                         ("ops :", lambda: ("struct_ops", "show", [], "", [])),
                         ("ops : 'register~' FILE",
                          lambda _, file: ("struct_ops", "register", [("file", file)], "", [])),
                         ("ops : 'register~' FILE TEXT",
                          lambda _, file, folder: ("struct_ops", "register", [("file", file), ("links", folder)], "",
                                                   [])),
                         ("ops : 'unregister~' ops_map", said("unregister")),
                         ("ops_map : 'id' NUMBER", lambda _, number: [("id", number)]),
                         ("ops_map : 'name' TEXT", lambda _, name: [("name", name)])]
    for written, verb in (("show", "show"), ("list", "show"), ("dump", "dump")):
        rules += [(f"ops : '{written}~'", said(verb)), (f"ops : '{written}~' ops_map", said(verb))]
    return rules


def sysctl_rules() -> list[Rule]:
    """Return the rules of `sysctl [-w] [-q] [-n] KEY[=VALUE]`."""
    def said(_: str, flags: list[str], setting: tuple[str, str | None]) -> Any:
        key, value = setting
        items = [("key", key), *([("value", value)] if value is not None else [])]
        return frozenset("".join(flags)), "sysctl", "show" if value is None else "set", items, "", []

    return [("command : 'sysctl' sysctl_flags SETTING", said), *listing("sysctl_flags", "sysctl_flag"),
            *((f"sysctl_flag : '{flag}'", lambda _, flag=flag: _SYSCTL_FLAGS[flag]) for flag in _SYSCTL_FLAGS)]
