"""The emulated kernel at run time: memory, packets, contexts, ownership, clock, devices, loaded programs.

A pointer is a plain int (`memory`), a packet is an `SkBuff` (`skb`), a context (`ctx`) is a region that reads and
writes the attributes of an object by a declared layout (`layouts`), a reference has one recorded holder (`refs`), and
all of it hangs on one `Kernel` (`emulated`), which has an attribute for each part that programs may ask:
`object_graph`, `task`, `sock`, and the services that packages above it provide (`services`). Engines run a
`LoadedProgram` (`program`); helper bodies get a `CallEnv` (`call_env`) and converted arguments (`convert`).
"""

from __future__ import annotations

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
