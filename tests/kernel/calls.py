"""The same sequence of helper calls, run by a kernel and by us: results, memory and packet are compared."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass, replace

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map
from tests.kernel import sysbpf

AREA = 384  # bytes of stack that are compared: results, then buffers
RESULTS = 10


@dataclass(frozen=True)
class Out:
    """A buffer on the stack that the helper fills (or reads)."""

    size: int
    content: bytes = b""


@dataclass(frozen=True)
class Call:
    """One call. Arguments: None is the context, an int a number, bytes a buffer on the stack, `Out` one to look at."""

    helper: str
    args: tuple[int | bytes | Out | None, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What can be seen afterwards."""

    results: tuple[int, ...]
    buffers: bytes
    packet: bytes


def _load64(dst: int, value: int, src: int = 0) -> list[Insn]:
    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    return [Insn(0x18, dst, src, 0, _s32(low)), Insn(0, 0, 0, 0, _s32(high))]


def _s32(value: int) -> int:
    return (value ^ 0x80000000) - 0x80000000


def program(calls: list[Call], map_value: int) -> list[Insn]:
    """The program; `map_value` is the immediate that names the array the stack is copied into."""
    code = [Insn(0xBF, 6, 1)]
    code += [Insn(0x7A, 10, 0, -8 * slot, 0) for slot in range(1, AREA // 8 + 2)]
    used = 8 * RESULTS
    for number, call in enumerate(calls):
        loads: list[Insn] = []
        for index, arg in enumerate(call.args, 1):
            if arg is None:
                loads.append(Insn(0xBF, index, 6))
            elif isinstance(arg, int):
                loads += _load64(index, arg)
            else:
                content = arg if isinstance(arg, bytes) else arg.content
                size = -(-(len(arg) if isinstance(arg, bytes) else arg.size) // 8) * 8
                used += size
                for at in range(0, len(content), 8):
                    word = int.from_bytes(content[at:at + 8].ljust(8, b"\0"), "little")
                    code += [*_load64(0, word), Insn(0x7B, 10, 0, -used + at)]
                loads += [Insn(0xBF, index, 10), Insn(0x07, index, 0, 0, -used)]
        identity = linux().helper_id(call.helper)
        assert identity is not None
        code += [*loads, Insn(0x85, 0, 0, 0, identity), Insn(0x7B, 10, 0, -8 * (number + 1))]
    assert used <= AREA
    code += [*_load64(1, map_value, 1), Insn(0x62, 10, 0, -AREA - 8, 0), Insn(0xBF, 2, 10),
             Insn(0x07, 2, 0, 0, -AREA - 8), Insn(0xBF, 3, 10), Insn(0x07, 3, 0, 0, -AREA), Insn(0xB7, 4),
             Insn(0x85, 0, 0, 0, 2), Insn(0xB7, 0), Insn(0x95)]
    return code


def _outcome(area: bytes, calls: list[Call], packet: bytes) -> Outcome:
    words = struct.unpack(f"<{RESULTS}q", area[-8 * RESULTS:])
    return Outcome(tuple(reversed(words))[:len(calls)], area[:-8 * RESULTS], packet)


def by_kernel(type: int, calls: list[Call], packet: bytes) -> Outcome:
    """Run by bpf(2)."""
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIII", attr, 0, 2, 4, AREA, 1)
    map_fd = sysbpf.bpf(sysbpf.MAP_CREATE, attr)
    assert map_fd >= 0
    loaded = sysbpf.load(encode(program(calls, map_fd)), type)
    try:
        assert loaded.fd >= 0, loaded.log
        ran = sysbpf.run(loaded.fd, packet)
        assert ran.error >= 0, os.strerror(-ran.error)
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(AREA)
        attr = ctypes.create_string_buffer(160)
        struct.pack_into("<IIQQ", attr, 0, map_fd, 0, ctypes.addressof(key), ctypes.addressof(value))
        assert sysbpf.bpf(sysbpf.MAP_LOOKUP, attr) == 0
        return _outcome(value.raw, calls, ran.data)
    finally:
        os.close(map_fd)
        if loaded.fd >= 0:
            os.close(loaded.fd)


def by_us(type: int, calls: list[Call], packet: bytes) -> Outcome:
    """Run by the interpreter."""
    kernel = Kernel(linux((6, 18)))
    kernel.devices[Loopback.ifindex] = Loopback()
    spec = MapSpec("array", 4, AREA, 1)
    made = Program(name="calls", insns=tuple(program(calls, 0)), type=type, maps=(spec,), license="GPL")
    array = make_map(kernel, spec)
    run = Interpreter().load(LoadedProgram(kernel, made, [array]))
    if type == sysbpf.XDP:
        xdp = XdpBuff(kernel, packet)
        run(XdpCtx(kernel, xdp))
        after = bytes(xdp.packet.data[xdp.packet.meta:xdp.packet.end])
    else:
        protocol = int.from_bytes(packet[12:14], "little")
        skb = SkBuff(kernel, packet, protocol=protocol, dev=kernel.devices[Loopback.ifindex])
        run(SkbCtx(kernel, skb))
        after = skb.payload()
    return _outcome(array.sys_lookup(bytes(4)), calls, after)


class Loopback:
    """The device that a test run's packets are on."""

    mtu = 65536
    ifindex = 1


def masked(outcome: Outcome) -> Outcome:
    """With results as the 32 bits that a program's `int` shows."""
    return replace(outcome, results=tuple(result & 0xFFFFFFFF for result in outcome.results))
