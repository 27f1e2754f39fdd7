"""Reading memory that may not be there, as the kernel's nofault functions do (mm/maccess.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, ConstSizeOrZero, Integer, UninitMem
from ebpfvm.errors import Fault
from ebpfvm.funcs.errno import EFAULT

if TYPE_CHECKING:
    from ebpfvm.kernel import Env, Memory


def try_read(memory: Memory, address: int, size: int) -> bytes | None:
    """`size` bytes at any address, None where nothing can be read."""
    try:
        return memory.read(address, size)
    except Fault:
        return None


def c_string(memory: Memory, address: int, limit: int) -> tuple[bytes | None, bool]:
    """The string at `address` without its NUL, cut at `limit` bytes, and whether its NUL was found.

    (None, False) where nothing can be read; memory that ends before the NUL cannot be read either.
    """
    text = bytearray()
    while len(text) < limit:
        char = try_read(memory, address + len(text), 1)
        if char is None:
            return None, False
        if char == b"\0":
            return bytes(text), True
        text += char
    return bytes(text), False


@helper(gpl_only=True, cap="perfmon")
def bpf_probe_read_kernel(env: Env, dst: UninitMem, size: ConstSizeOrZero, unsafe_ptr: Anything) -> Integer:
    """Copy from any kernel address; -EFAULT with `dst` zeroed where there is nothing (kernel/trace/bpf_trace.c)."""
    data = try_read(env.memory, unsafe_ptr, size)
    env.memory.write(dst, bytes(size) if data is None else data)
    return -EFAULT if data is None else 0


@helper(gpl_only=True, cap="perfmon")
def bpf_probe_read_kernel_str(env: Env, dst: UninitMem, size: ConstSizeOrZero, unsafe_ptr: Anything) -> Integer:
    """Copy a string from any kernel address, cut to `size` with its NUL; its size with NUL, or -EFAULT."""
    if not size:
        return 0
    text, _ = c_string(env.memory, unsafe_ptr, size - 1)
    if text is None:
        env.memory.write(dst, bytes(size))
        return -EFAULT
    env.memory.write(dst, text + b"\0")
    return len(text) + 1
