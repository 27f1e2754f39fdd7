"""Small programs in small kernels, for the tests of engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ebpfvm.contract import Dialect, Helper
from ebpfvm.contract.rules import LINUX_7_2
from ebpfvm.engine import Interpreter
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.kernel import BytesCtx, Kernel, LoadedProgram
from ebpfvm.loader.object import Program

MOV64_K, MOV64_X, EXIT, CALL, JA, LDDW = 0xB7, 0xBF, 0x95, 0x85, 0x05, 0x18
I = Insn  # noqa: E741 (programs are lists of these)


def program(*insns: Insn, **attributes: Any) -> Program:
    return Program(name="prog", insns=insns, **attributes)


def lddw(dst: int, value: int, src: int = 0) -> tuple[Insn, Insn]:
    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    return I(LDDW, dst, src, 0, low - (low >> 31 << 32)), I(0, 0, 0, 0, high - (high >> 31 << 32))


def kernel(helpers: dict[int, Helper] | None = None, **dialect: Any) -> Kernel:
    return Kernel(Dialect("test", LINUX_7_2, helpers=helpers or {}, **dialect))


Engine = Callable[[], Any]


def run(prog: Program, *, ctx: bytes = bytes(64), engine: Any = None, k: Kernel | None = None,
        maps: Sequence[Any] = ()) -> tuple[int, bytes]:
    """r0 and the context's bytes after a run of `prog` on a context of plain bytes."""
    k = k or kernel()
    loaded = LoadedProgram(k, prog, maps)
    loaded.facts = ()
    context = BytesCtx(k, ctx)
    result = (engine or Interpreter()).load(loaded)(context)
    return result, bytes(context.data)


def code(*insns: Insn) -> bytes:
    return encode(insns)
