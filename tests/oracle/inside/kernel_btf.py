"""Guest: ids of the running kernel's types."""

from __future__ import annotations

from functools import cache

import libbpf

STRUCT, FUNC = 4, 12


@cache
def _types() -> int:
    return libbpf.btf__load_vmlinux_btf()


@cache
def _find(name: str, kind: int) -> int:
    found = libbpf.btf__find_by_name_kind(_types(), name.encode(), kind)
    if found < 0:
        raise LookupError(f"the kernel has no {'function' if kind == FUNC else 'struct'} {name} in its BTF")
    return found


def function(name: str) -> int:
    return _find(name, FUNC)


def struct(name: str) -> int:
    return _find(name, STRUCT)
