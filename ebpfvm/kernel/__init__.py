"""The emulated kernel at run time: memory, packets, contexts, ownership, clock, devices, loaded programs.

A pointer is a plain int (`memory`), a packet is an `SkBuff` (`skb`), a context is a region that reads and writes the
attributes of an object by a declared layout (`ctx`), a reference has one recorded holder (`refs`), and all of them
belong to one `Kernel` (`emulated`). Engines run a `LoadedProgram`; bodies of helpers receive a `CallEnv` and converted
arguments (`convert`).
"""

from __future__ import annotations

from ebpfvm.kernel.call_env import CallEnv
from ebpfvm.kernel.ctx import BytesCtx, Layout, SchBpfCtx, SkbCtx, XdpCtx
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.kernel.engine import Engine, Runnable
from ebpfvm.kernel.memory import Memory, Region
from ebpfvm.kernel.program import LoadedProgram
from ebpfvm.kernel.refs import PROGRAM, RefCounted, Refs
from ebpfvm.kernel.skb import PacketRegion, SkBuff, XdpBuff

__all__ = [
           "PROGRAM",
           "BytesCtx",
           "CallEnv",
           "Engine",
           "Kernel",
           "Layout",
           "LoadedProgram",
           "Memory",
           "PacketRegion",
           "RefCounted",
           "Refs",
           "Region",
           "Runnable",
           "SchBpfCtx",
           "SkBuff",
           "SkbCtx",
           "XdpBuff",
           "XdpCtx",
]
