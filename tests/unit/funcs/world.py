"""A kernel with one program and a piece of memory, and calls of helpers and kfuncs through their contracts."""

from __future__ import annotations

from typing import Any

from ebpfvm.contract import Dialect, Kfunc
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.kernel import CallEnv, Kernel, LoadedProgram, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.kernel.convert import helper_call, kfunc_call
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map

M = (1 << 64) - 1


class World:
    """Attributes: kernel, env, mem (address of 256 zero bytes), memory."""

    def __init__(self, dialect: Dialect | None = None, type: str = "sched_cls", btf: Any = None) -> None:
        self.kernel = Kernel(dialect or linux())
        self.memory = self.kernel.memory
        insns = (Insn(0xB7, 0), Insn(0x95))
        self.prog = LoadedProgram(self.kernel, Program(name="test", insns=insns, type=type, btf=btf))
        self.env = CallEnv(self.prog)
        self.mem = self.memory.add("mem", bytearray(256), name="scratch").base
        self.callbacks: dict[int, Any] = {}

    def map(self, type: str | int, key: int = 4, value: int = 8, entries: int = 4, **more: Any) -> Any:
        return make_map(self.kernel, MapSpec(type, key, value, entries, name="m", **more))

    def skb(self, packet: bytes, **fields: Any) -> tuple[SkBuff, int]:
        """A packet and the address of its context."""
        fields.setdefault("protocol", int.from_bytes(packet[12:14], "little"))
        skb = SkBuff(self.kernel, packet, **fields)
        self.env.ctx = SkbCtx(self.kernel, skb)
        return skb, self.env.ctx.base

    def xdp(self, packet: bytes) -> tuple[XdpBuff, int]:
        xdp = XdpBuff(self.kernel, packet)
        self.env.ctx = XdpCtx(self.kernel, xdp)
        return xdp, self.env.ctx.base

    def call(self, name: str, *args: int) -> int:
        """r0 as a signed number."""
        dialect = self.kernel.dialect
        found: Any = dialect.kfuncs.get(name)
        if found is None:
            number = dialect.helper_id(name)
            assert number is not None, name
            found = dialect.helper(number, self.prog.type)
        make = kfunc_call if isinstance(found, Kfunc) else helper_call
        result = make(found)(self.env, *args, *[0] * (5 - len(args)))
        return result - (1 << 64) if result >> 63 else result

    def put(self, data: bytes, at: int = 0) -> int:
        """Bytes into the scratch memory; their address."""
        self.memory.write(self.mem + at, data)
        return self.mem + at

    def get(self, size: int, at: int = 0) -> bytes:
        return self.memory.read(self.mem + at, size)

    def callback(self, function: Any) -> int:
        """An address that env.call() takes for a function of the program."""
        runnable = _Callbacks(self)
        self.prog.runnable = runnable  # type: ignore[assignment]
        address = 8 * (len(self.callbacks) + 1)
        self.callbacks[address] = function
        return self.prog.func_base + address


class _Callbacks:
    def __init__(self, world: World) -> None:
        self.world = world

    def callback(self, offset: int, args: tuple[int, ...]) -> int:
        return int(self.world.callbacks[offset](*args)) & M
