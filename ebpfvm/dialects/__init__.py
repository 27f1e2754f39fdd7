"""The composition root: what each kernel offers, under which numbers, and which rules it follows.

Helpers, kfuncs and map types are declared where they are implemented (`ebpfvm.funcs`, `ebpfvm.maps`). This package only
has lists, ids and differences:

==================  =================================================================================
`rfc6`              the RFC v6 "eBPF based Qdisc" (October 2022): its documented ABI, with repairs
`linux`             mainline, 7.2 by default; (6, 18) as a delta
==================  =================================================================================

A file is imported, and what it declares is checked, when a program uses it. `check` looks at everything at once; the
tests call it, and importing this package does if there is a file that `where_declared` does not know. It takes longer
than most programs take to be judged, so not every start does it.
"""

from __future__ import annotations

import re

from ebpfvm import funcs, maps
from ebpfvm.contract import Dialect
from ebpfvm.contract.rules import VERSION_NAMES
from ebpfvm.dialects import where_declared
from ebpfvm.dialects.declared import all_noted
from ebpfvm.dialects.linux import linux
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import UsageError

__all__ = ["check", "dialect", "linux", "rfc6"]

NAMES = ("rfc6", "linux", *(f"linux-{version}" for version in reversed(VERSION_NAMES)))


def dialect(name: str | tuple[int, int] = "linux") -> Dialect:
    """Return the dialect of a name or kernel version.

    Args:
        name: "rfc6", "linux", "linux-6.18", "6.18", "7.2" or a version tuple.

    Raises:
        UsageError: there is no such dialect.
    """
    if isinstance(name, tuple):
        return linux(name)
    if name == "rfc6":
        return rfc6()
    match = re.fullmatch(r"linux|(?:linux-)?(\d+)\.(\d+)", name)
    if match is None:
        raise UsageError(f"no dialect {name!r}; there are: {', '.join(NAMES)}")
    return linux((int(match.group(1)), int(match.group(2)))) if match.group(1) else linux()


def check() -> None:
    """Check everything that any file declares, and the lists against each other.

    Raises:
        InternalError: something is missing, declared twice or contradicts something else.
    """
    from ebpfvm.dialects.whole import check_all
    check_all()


if not (all_noted(funcs, where_declared.KFUNCS) and all_noted(maps, where_declared.MAP_TYPES)):
    check()  # someone adds or removes a file, and wants to know what is missing
