"""What the commands have in common: which programs of an object, for which kernel."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from ebpfvm.loader.object import Object, Program

_TYPES: Final = {"tc": "sched_cls", "classifier": "sched_cls", "action": "sched_act", "act": "sched_act",
                 "socket": "socket_filter", "socket1": "socket_filter", "filter": "socket_filter"}


def add_kernel_options(parser: Any) -> None:
    """Declare the options that say more of the kernel than its version."""
    parser.add_argument("--btf", metavar="FILE",
                        help="the kernel's types: /sys/kernel/btf/vmlinux, or a vmlinux; default: those of an ordinary "
                             "kernel of the version")
    parser.add_argument("--kconfig", metavar="FILE|NAME=VALUE", action="append", default=[],
                        help="values of the kernel's configuration that programs ask for with __kconfig; may be "
                             "repeated")


def open_object(path: str, kconfig: list[str]) -> Object:
    """Load an object and tell its notes.

    Raises:
        LoadError: it cannot be read.
        UsageError: a configuration value makes no sense.
    """
    from ebpfvm.loader.kconfig import read_values
    from ebpfvm.loader.open import load
    return load(path, config=read_values(kconfig))


def open_programs(args: argparse.Namespace) -> tuple[Object, list[Program]]:
    """The object, and the programs, that `OBJECT[:PROGRAM]` names, with the type that is asked for.

    Raises:
        LoadError: the object or the named program cannot be read.
        UsageError: it holds no such program, or none at all.
    """
    word = args.object
    path, colon, name = word.rpartition(":")
    if not colon or os.path.exists(word):
        path, name = word, ""
    found = open_object(path, args.kconfig)
    for note in found.notes:
        output.say(f"note: {note}")
    if not found.programs and not found.broken:
        raise UsageError(f"{path}: the object holds no program")
    programs = [found.program(name)] if name else list(found.programs.values())
    if name:
        found = replace(found, broken={})
    return found, [typed(program, args.type) for program in programs]


def typed(program: Program, text: str | None) -> Program:
    """The program taken for the type that a word as in `tc` or `qdisc/enqueue` names."""
    type_, attach = split_type(text)
    return program.with_type(type_, attach or None) if type_ else program


def split_type(text: str | None) -> tuple[str, str]:
    """Type and attachment of a word as in `tc` or `qdisc/enqueue`; both empty for None."""
    type_, _, attach = (text or "").partition("/")
    return _TYPES.get(type_, type_), attach


def needs_type(program: Program) -> None:
    """Raise UsageError if nothing says of what type a program is."""
    if program.type == "":
        raise UsageError(f"{program.name}: its section {program.section!r} says no program type; give one with --type")
