"""Read memory that may not exist, as the kernel's nofault functions do (mm/maccess.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, ConstSizeOrZero, Integer, Length, UninitMem
from ebpfvm.errnos import EFAULT
from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, Memory


_PIECE: Final = 256


def try_read(memory: Memory, address: int, size: int) -> bytes | None:
    """Return `size` bytes at any address, None if nothing can be read there."""
    try:
        return memory.read(address, size)
    except Fault:
        return None


def c_string(memory: Memory, address: int, limit: int) -> tuple[bytes | None, bool]:
    """Return the string at `address` without its NUL, truncated to `limit` bytes, and whether its NUL was found.

    Return (None, False) if nothing can be read; memory that ends before the NUL cannot be read either.
    """
    text = bytearray()
    while len(text) < limit:
        piece = _piece(memory, address + len(text), min(_PIECE, limit - len(text)))
        if not piece:
            return None, False
        before, nul, _ = piece.partition(b"\0")
        text += before
        if nul:
            return bytes(text), True
    return bytes(text), False


def _piece(memory: Memory, address: int, size: int) -> bytes:
    """Return up to `size` bytes: fewer at the end of the memory, none if there is no memory."""
    while size:
        found = try_read(memory, address, size)
        if found is not None:
            return found
        size //= 2
    return b""


def clear(memory: Memory, address: int, size: int) -> None:
    """Set `size` bytes to zero.

    Raises:
        Fault: they are not all in one region, so that a program's claim of a huge size allocates nothing.
    """
    if not size:
        return
    region = memory.region(address)
    offset = address - region.base
    if size > region.size:
        region.refuse(offset, size, "write")
    region.write(offset, bytes(size))


@helper(gpl_only=True, cap="perfmon")
def bpf_probe_read_kernel(env: CallEnv, dst: UninitMem, size: ConstSizeOrZero, unsafe_ptr: Anything) -> Integer:
    """Copy from any kernel address; if nothing is there, zero `dst` and return -EFAULT (kernel/trace/bpf_trace.c)."""
    data = try_read(env.memory, unsafe_ptr, size)
    if data is None:
        clear(env.memory, dst, size)
        return -EFAULT
    env.memory.write(dst, data)
    return 0


@helper(gpl_only=True, cap="perfmon")
def bpf_probe_read_kernel_str(env: CallEnv, dst: UninitMem, size: ConstSizeOrZero, unsafe_ptr: Anything) -> Length:
    """Copy a string from any kernel address, truncated to `size` with its NUL; return its size with NUL, or -EFAULT."""
    if not size:
        return 0
    text, _ = c_string(env.memory, unsafe_ptr, size - 1)
    if text is None:
        clear(env.memory, dst, size)
        return -EFAULT
    env.memory.write(dst, text + b"\0")
    return len(text) + 1
