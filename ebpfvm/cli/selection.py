"""Options and code that several commands share: which programs of an object, and for which kernel."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import output
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from ebpfvm.contract import Dialect
    from ebpfvm.isa.disasm import CallName
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import Object, Program
    from ebpfvm.scenario import CommandOption
    from ebpfvm.scenario_files import ScenarioFile

_TYPES: Final = {"tc": "sched_cls", "classifier": "sched_cls", "action": "sched_act", "act": "sched_act",
                 "socket": "socket_filter", "socket1": "socket_filter", "filter": "socket_filter"}


def add_kernel_options(parser: Any) -> None:
    """Declare the options that describe the kernel beyond its version."""
    parser.add_argument("--btf", metavar="FILE",
                        help="BTF of the kernel: /sys/kernel/btf/vmlinux or a vmlinux image (default: the types of a "
                             "common build of that version)")
    parser.add_argument("--kconfig", metavar="FILE|NAME=VALUE", action="append", default=[],
                        help="kernel configuration that programs read with __kconfig: a file such as /boot/config-*, "
                             "or one value, as in CONFIG_HZ=250; may be repeated")


def add_scenario_options(groups: Mapping[str, Any], options: Iterable[tuple[str, CommandOption]]) -> None:
    """Declare options of a simulation (`ebpfvm.scenario.Scenario.commands`), each in its group.

    What is not given becomes None (see `given_options`), because a scenario file may say something else than the
    default.
    """
    for name, option in options:
        groups[option.group].add_argument(f"--{name.replace('_', '-')}", default=None, help=option.help, **option.more)


def given_options(args: argparse.Namespace, options: Iterable[tuple[str, CommandOption]]) -> dict[str, Any]:
    """Return those options of a simulation that the command line has."""
    return {name: getattr(args, name) for name, _ in options if getattr(args, name) is not None}


def read_scenario_for(args: argparse.Namespace, path: str, given: Mapping[str, Any]) -> ScenarioFile:
    """Return what a scenario file and the command line say together.

    Args:
        path: path of the file.
        given: the options that the command line has.

    Raises:
        UsageError: the file cannot be read, or a setting or a limit is malformed.
    """
    from ebpfvm.limits import Limits
    from ebpfvm.scenario_files import read_scenario
    limits = {word.partition("=")[0]: getattr(Limits.parse([word]), word.partition("=")[0]) for word in args.limit}
    return read_scenario(path).set(*args.variables).with_options(given, limits)


def open_object(path: str, kconfig: list[str]) -> Object:
    """Return the object in the file `path`.

    Raises:
        LoadError: the object cannot be read.
        UsageError: a configuration value is malformed.
    """
    from ebpfvm.loader.kconfig import read_values
    from ebpfvm.loader.open import load
    return load(path, config=read_values(kconfig))


def split_name(word: str) -> tuple[str, str]:
    """Return path and name of `OBJECT[:PROGRAM]`; the name is "" without one, as in a path that has a colon."""
    path, colon, name = word.rpartition(":")
    return (path, name) if colon and not os.path.exists(word) else (word, "")


def open_programs(args: argparse.Namespace) -> tuple[Object, list[Program]]:
    """Return the object and the programs that `OBJECT[:PROGRAM]` names, with the requested type.

    Raises:
        LoadError: the object or the named program cannot be read.
        UsageError: the object holds no such program, or none at all.
    """
    path, name = split_name(args.object)
    found = open_object(path, args.kconfig)
    for note in found.notes:
        output.say(f"note: {note}")
    if not found.programs and not found.broken:
        raise UsageError(f"{path}: the object holds no program")
    programs = [found.program(name)] if name else list(found.programs.values())
    if name:
        found = replace(found, broken={})
    return found, [typed(program, args.type) for program in programs]


def one_program(args: argparse.Namespace, otherwise: str = "") -> tuple[Object, Program]:
    """Return the object and the one program that `OBJECT[:PROGRAM]` names.

    Args:
        otherwise: what else the user can do if the object holds several, for the message.

    Raises:
        LoadError: as for `open_programs`.
        UsageError: the object holds several programs and none is named; or as for `open_programs`.
    """
    found, programs = open_programs(args)
    if len(programs) > 1:
        raise UsageError(f"{args.object}: the object holds several programs; name one: {args.object}:"
                         + f" or {args.object}:".join(program.name for program in programs) + otherwise)
    if not programs:
        raise next(iter(found.broken.values()))
    return found, programs[0]


def call_names(program: Program, dialect: Dialect) -> CallName:
    """Return a function from a call of a helper or kernel function to its name, None for those that are not known."""
    def name(insn: Insn) -> str | None:
        if insn.src == 2:
            return program.kfuncs.get(insn.imm)
        helper = dialect.helpers.get(insn.imm)
        return helper.name if helper is not None else None
    return name


def read_input(path: str) -> bytes:
    """Return the bytes of a file, or of standard input for -.

    Raises:
        LoadError: the file cannot be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:  # without pathlib, for a quick start
            return file.read()
    except OSError as error:
        raise LoadError(f"cannot be read: {error.strerror or error}", path=path) from error


def typed(program: Program, text: str | None) -> Program:
    """Return the program with the type that a word such as `tc` or `qdisc/enqueue` names, unchanged for None."""
    type_, attach = split_type(text)
    return program.with_type(type_, attach or None) if type_ else program


def split_type(text: str | None) -> tuple[str, str]:
    """Return type and attachment of a word such as `tc` or `qdisc/enqueue`; both are empty for None."""
    type_, _, attach = (text or "").partition("/")
    return _TYPES.get(type_, type_), attach


def needs_type(program: Program) -> None:
    """Raise UsageError if the type of a program is unknown."""
    if program.type == "":
        raise UsageError(f"{program.name}: section {program.section!r} implies no program type; name one with --type")
