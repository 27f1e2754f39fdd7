"""Which kfuncs a kernel has and who may call them."""

from __future__ import annotations

from typing import Final

from ebpfvm.contract import Kfunc
from ebpfvm.funcs import kptr

RFC6: Final[dict[str, Kfunc]] = {item.name: item for item in (kptr.bpf_skb_acquire, kptr.bpf_skb_kptr_get,
                                                               kptr.bpf_skb_release)}
LINUX: Final[dict[str, Kfunc]] = {}


def kfuncs_of(name: str) -> frozenset[str]:
    """Names of the kfuncs that a program type may call."""
    return frozenset()


def of_version(version: tuple[int, int]) -> dict[str, Kfunc]:
    """All kfuncs of a mainline version."""
    return LINUX
