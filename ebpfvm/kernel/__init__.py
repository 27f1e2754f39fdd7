"""The emulated kernel at run time: memory, packets, contexts, ownership, clock, devices, loaded programs.

A pointer is a plain int (`memory`), a packet is an `SkBuff` (`skb`), a context (`ctx`) is a region that reads and
writes the attributes of an object by a declared layout (`layouts`), a reference has one recorded holder (`refs`), and
all of it hangs on one `Kernel` (`emulated`), which has an attribute for each part that programs may ask:
`object_graph`, `task`, `sock`, and the services that packages above it provide (`services`). Engines run a
`LoadedProgram` (`program`); helper bodies get a `CallEnv` (`call_env`) and converted arguments (`convert`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ebpfvm.kernel.call_env import CallEnv
    from ebpfvm.kernel.ctx import BytesCtx, SchBpfCtx, SkbCtx, XdpCtx
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.layouts import Layout
    from ebpfvm.kernel.memory import Memory, Region
    from ebpfvm.kernel.program import Engine, LoadedProgram, Runnable
    from ebpfvm.kernel.refs import PROGRAM, RefCounted, Refs
    from ebpfvm.kernel.skb import PacketRegion, SkBuff, XdpBuff

__all__ = ["PROGRAM", "BytesCtx", "CallEnv", "Engine", "Kernel", "Layout", "LoadedProgram", "Memory", "PacketRegion",
           "RefCounted", "Refs", "Region", "Runnable", "SchBpfCtx", "SkBuff", "SkbCtx", "XdpBuff", "XdpCtx"]

# Maps and helpers use one or two of these files, and a program that is only verified runs in none of them.
_FILES: Final = {"CallEnv": "call_env", "BytesCtx": "ctx", "SchBpfCtx": "ctx", "SkbCtx": "ctx", "XdpCtx": "ctx",
                 "Kernel": "emulated", "Layout": "layouts", "Memory": "memory", "Region": "memory",
                 "Engine": "program", "LoadedProgram": "program", "Runnable": "program", "PROGRAM": "refs",
                 "RefCounted": "refs", "Refs": "refs", "PacketRegion": "skb", "SkBuff": "skb", "XdpBuff": "skb"}


def __getattr__(name: str) -> object:
    """Return a name that is imported on first use."""
    if name not in _FILES:
        raise AttributeError(f"module 'ebpfvm.kernel' has no attribute {name!r}")
    from importlib import import_module
    value = globals()[name] = getattr(import_module(f"ebpfvm.kernel.{_FILES[name]}"), name)
    return value
