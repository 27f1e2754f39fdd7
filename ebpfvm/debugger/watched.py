"""What a recording contains besides registers: memory and kernel objects, as values under keys.

A `Key` is a kind and what tells things of that kind apart:

=========  ===============================  ========================================================================
kind       then                             value
=========  ===============================  ========================================================================
stack      number of the frame              its 512 bytes
packet     number of the packet             its bytes
ctx        name of the field                number
map        name of the map, key in hex      value as user space reads it
owner      the object, as "packet #3"       who holds its references, as "map pifo"
printk     number of the line               what bpf_trace_printk wrote
known      number of the frame, name        what the verifier knew, on a path of the verifier
=========  ===============================  ========================================================================
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import Fault
from ebpfvm.kernel.ctx import SchBpfCtx
from ebpfvm.kernel.ops_ctx import OpsCtx
from ebpfvm.kernel.skb import SkBuff, XdpBuff
from ebpfvm.map_views import MapView
from ebpfvm.sched.account import Packet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.engine.interp_run import InterpreterRun
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import AnyRegion, Region
    from ebpfvm.kernel.program import Context
    from ebpfvm.maps import BpfMap

Key = tuple[str | int, ...]
Value = bytes | int | str
State = dict[Key, Value]

ELEMENTS: Final = 256
"""Number of elements of each map that a recording contains."""


def packet_of(ctx: Context | None) -> SkBuff | XdpBuff | None:
    """Return the packet that a program runs on, None if there is none."""
    if ctx is None:
        return None
    if isinstance(ctx, SchBpfCtx):
        return ctx.packet
    found = ([getattr(ctx.owner, name, None) for name in ctx.objects] if isinstance(ctx, OpsCtx)
             else [ctx.region.owner])
    return next((item for item in found if isinstance(item, SkBuff | XdpBuff)), None)


def number_of(packet: SkBuff | XdpBuff | None) -> int:
    """Return the number of a packet in its simulation, or of its object; 0 for none and for the only packet of XDP."""
    if isinstance(packet, Packet):
        return packet.id
    return packet.serial if isinstance(packet, SkBuff) else 0


def name_of(region: AnyRegion) -> str:
    """Return what a region is: the packet, if it is one, otherwise kind and name."""
    owner = region.owner
    return f"packet {number_of(owner)}" if isinstance(owner, Packet) and region.kind == "sk_buff" else str(region)


def everything(run: InterpreterRun) -> State:
    """Return all that a recording contains of the kernel in which `run` runs."""
    kernel = run.prog.kernel
    found: State = {}
    for number in range(kernel.stack.depth):
        found["stack", number] = bytes(kernel.stack.frames[number].data)
    found.update(_packet(run.env.ctx))
    found.update(_fields(run))
    for bpf_map in kernel.maps.values():
        found.update(elements(bpf_map))
    found.update(_owners(kernel))
    found.update((("printk", number), line) for number, line in enumerate(kernel.trace))
    return found


def part(run: InterpreterRun, region: Region) -> tuple[str, State]:
    """Return the kind of what a store to `region` can change, and all of that kind (nothing for what is not recorded).

    For a stack frame, the kind is followed by its number.
    """
    kernel, kind = run.prog.kernel, region.kind
    if kind == "stack":
        number = kernel.stack.frames.index(region)
        return "stack", {("stack", number): bytes(region.data)}
    if kind == "packet":
        return "packet", dict(_packet(run.env.ctx))
    if kind == "ctx":
        return "ctx", dict(_fields(run))
    if kind == "map_value":
        return "map", {key: value for bpf_map in kernel.maps.values() for key, value in elements(bpf_map)}
    return "", {}


def elements(bpf_map: BpfMap) -> Iterator[tuple[Key, Value]]:
    """Yield the first elements of a map; nothing for maps that user space cannot read.

    The values are what user space reads, but a kptr has the address of what it owns.
    """
    view = MapView(bpf_map)
    kptrs: dict[int, list[tuple[int, int]]] = {}
    for address, region, offset in bpf_map.owned():
        kptrs.setdefault(id(region), []).append((offset, address))
    try:
        for key in islice(view, ELEMENTS):
            value = bytearray(view[key])
            for offset, address in kptrs.get(id(bpf_map.find(key)), ()) if kptrs else ():
                value[offset:offset + 8] = address.to_bytes(8, "little")
            yield ("map", bpf_map.name, key.hex(" ")), bytes(value)
    except (KeyError, Fault):
        return


def _packet(ctx: Context | None) -> Iterator[tuple[Key, Value]]:
    found = packet_of(ctx)
    if found is not None:
        buffer = found.packet
        yield ("packet", number_of(found)), bytes(buffer.data[buffer.start:buffer.end])


def _fields(run: InterpreterRun) -> Iterator[tuple[Key, Value]]:
    """Yield the numbers in the context that the program could read."""
    prog, ctx = run.prog, run.env.ctx
    if prog.type is None or ctx is None:
        return
    region = ctx.region
    for item in prog.type.fields:
        unit = item.element or item.size
        if item.access != "scalar" or unit not in (1, 2, 4, 8):
            continue
        for at in range(0, item.size, unit):
            name = item.name if unit == item.size else f"{item.name}[{at // unit}]"
            try:
                yield ("ctx", name), region.load(item.off + at, unit)
            except Fault:
                continue


def _owners(kernel: Kernel) -> Iterator[tuple[Key, Value]]:
    for obj in kernel.refs.live():
        yield ("owner", str(obj)), ", ".join(kernel.refs.names(obj))
