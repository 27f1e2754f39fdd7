"""Verify programs: which dialect judges a program, and the verdict on it.

This is the part of `ebpfvm.api` that needs no simulator.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ebpfvm import checked
from ebpfvm.btf.types import Btf
from ebpfvm.errors import UsageError
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loader.object import Object, Program
from ebpfvm.loader.open import load
from ebpfvm.loading import Prepared

if TYPE_CHECKING:
    from ebpfvm.contract import Dialect
    from ebpfvm.verifier import Verdict

RFC_TYPES: Final = ("qdisc", "task_sched")  # program types that no Linux has


def dialect_of(program: Program, kernel: str | None = None, btf: Btf | checked.Path | None = None) -> Dialect:
    """Return the dialect that gives a program its meaning.

    Args:
        kernel: "rfc6", or a version of Linux such as "7.2" or "6.18". A program whose section declares a qdisc of the
            RFC, or that uses the RFC's map types, gets the RFC's dialect with the rules of that version.
        btf: the kernel's types, or the path of a file that holds them, such as /sys/kernel/btf/vmlinux (default: the
            types of a common build of that version). A program that was prepared for a kernel keeps its dialect if
            neither `kernel` nor `btf` is given.

    Raises:
        LoadError: the file cannot be read.
        UsageError: there is no such dialect.
    """
    if isinstance(program, Prepared) and program.dialect is not None and kernel is None and btf is None:
        return program.dialect
    if btf is not None:
        from ebpfvm.loader.vmlinux import read_kernel_btf
        types = btf if isinstance(btf, Btf) else read_kernel_btf(checked.path("btf", btf))
        return dialect_of(program, kernel).with_types(types)
    from ebpfvm import dialects  # imported here, because it imports all helpers, kfuncs and map types
    if kernel is not None:
        checked.word("kernel", kernel)
    if kernel == "rfc6":
        return dialects.rfc6()
    mainline = dialects.dialect(kernel or "linux")
    of_rfc = program.type in RFC_TYPES or any(spec.type in ("rbtree", "rbtree_of_maps") for spec in program.maps)
    return dialects.rfc6(mainline.version) if of_rfc else mainline


def kernel_of(found: Object, kernel: str | None = None) -> str | None:
    """Return the kernel that applies to all programs of an object if none is requested.

    It is the RFC's kernel if one of the programs is a qdisc of the RFC, because the numbers of the RFC's map types
    denote other types in Linux.
    """
    if kernel is None and any(program.type in RFC_TYPES for program in found.programs.values()):
        return "rfc6"
    return kernel


def verify(program: Program | Object | str | os.PathLike[str], *, kernel: str | None = None,
           btf: Btf | checked.Path | None = None, log_level: int = 1, limits: Limits = DEFAULTS) -> Verdict:
    """Verify a program as the kernel's verifier does.

    Args:
        program: a program, or an object (or its path) that holds one program.
        kernel, btf: kernel version and types whose rules apply; see `dialect_of`.
        log_level: level of the log: 0 for none, 1 for the default of bpf(2), 2 for all states.
        limits: limits on the number of states, the length of the log and the time.

    Raises:
        LimitError: verification needs more than `limits` allow.
        LoadError: the object cannot be read.
        UsageError: there is no such kernel, or the object holds several programs.
    """
    checked.whole("log_level", log_level, 0, 7)
    if not isinstance(program, Program | Object | str | os.PathLike):
        raise checked.wrong("program", "a program, an object, or the path of one", program)
    found = program if isinstance(program, Program) else only_program(as_object(program))
    return judge(found, dialect_of(found, kernel, btf), checked.instance("limits", limits, Limits, "Limits(...)"),
                  log_level)


def judge(program: Program, dialect: Dialect, limits: Limits, log_level: int = 1) -> Verdict:
    """Verify a program by the rules of a dialect."""
    from ebpfvm.verifier import verify as ask
    return ask(program, dialect, log_level=log_level, limits=limits)


def as_object(source: Object | str | os.PathLike[str]) -> Object:
    """Return an object, or the one that a path names."""
    return source if isinstance(source, Object) else load(checked.path("source", source))


def only_program(found: Object) -> Program:
    """Return the only program of an object.

    Raises:
        LoadError: the only program could not be read.
        UsageError: the object holds several programs, or none.
    """
    if not found.programs and len(found.broken) == 1:
        return found.program(next(iter(found.broken)))
    if len(found.programs) != 1:
        raise UsageError(f"{found.path or 'the object'} holds {len(found.programs)} programs "
                         f"({', '.join(found.programs)}); pass one of them: object.programs[NAME]")
    return next(iter(found.programs.values()))
