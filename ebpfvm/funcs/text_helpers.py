"""Numbers, strings, formatted output and per-CPU pointers.

Sources: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import (
    Anything,
    ConstSize,
    ConstSizeOrZero,
    ConstStr,
    Integer,
    Mem,
    MemOrNull,
    Out64,
    PercpuBtf,
    PercpuMem,
    PercpuMemOrNull,
    Unchecked,
    WriteMemOrNull,
)
from ebpfvm.errnos import EINVAL, ERANGE
from ebpfvm.funcs.nofault import c_string
from ebpfvm.funcs.printf import MAX_VARARGS, render
from ebpfvm.ints import S64_MAX, U32_MAX, U64_MAX

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_BASE_MASK: Final = 0x1F
_MAX_NUMBER: Final = 63
_MAX_PRINTK: Final = 1024
_DIGITS: Final = {char: value for value, char in enumerate(b"0123456789abcdef")}
_DIGITS_UPPER: Final = {char: value for value, char in enumerate(b"ABCDEF", 10)}
_BLANKS: Final = b" \t\n\v\f\r\xa0"


def parse_number(text: bytes, flags: int) -> tuple[int, int, bool]:
    """Return (bytes used or a negative errno, absolute value, whether it is negative), as __bpf_strtoull does.

    The base is `flags`: 8, 10, 16, or 0 to follow the prefix.
    """
    base = flags & _BASE_MASK
    if base not in (0, 8, 10, 16) or flags & ~_BASE_MASK:
        return -EINVAL, 0, False
    used = len(text) - len(text.lstrip(_BLANKS))
    negative = text[used:used + 1] == b"-"
    used += negative
    if used >= len(text):
        return -EINVAL, 0, False
    rest = text[used:used + _MAX_NUMBER].split(b"\0")[0]
    base, prefix = _radix(rest, base)
    value, digits = 0, 0
    for char in rest[prefix:]:
        digit = _DIGITS.get(char, _DIGITS_UPPER.get(char, base))
        if digit >= base:
            break
        value, digits = value * base + digit, digits + 1
    if value > U64_MAX:
        return -ERANGE, 0, False
    return (used + prefix + digits if digits else -EINVAL), value, negative


def _radix(text: bytes, base: int) -> tuple[int, int]:
    """Return base and length of the prefix (_parse_integer_fixup_radix, lib/kstrtox.c)."""
    hexadecimal = text[:2].lower() == b"0x"
    if base == 0:
        if text[:1] == b"0":
            base = 16 if hexadecimal and text[2:3].lower() in b"0123456789abcdef" and len(text) > 2 else 8
        else:
            base = 10
    return base, 2 if base == 16 and hexadecimal else 0


@helper()
def bpf_strtol(env: CallEnv, buf: Mem, buf_len: ConstSize, flags: Anything, res: Out64) -> Integer:
    """Parse a signed number into `res` (0 on error); return the bytes used, -EINVAL if there is none, or -ERANGE."""
    used, value, negative = parse_number(buf, flags)
    if used >= 0 and value > S64_MAX + negative:
        used = -ERANGE
    env.memory.store(res, 8, 0 if used < 0 else -value & U64_MAX if negative else value)
    return used


@helper()
def bpf_strtoul(env: CallEnv, buf: Mem, buf_len: ConstSize, flags: Anything, res: Out64) -> Integer:
    """Parse an unsigned number as bpf_strtol does; return -EINVAL for a negative one."""
    used, value, negative = parse_number(buf, flags)
    if used >= 0 and negative:
        used = -EINVAL
    env.memory.store(res, 8, 0 if used < 0 else value)
    return used


@helper()
def bpf_strncmp(env: CallEnv, s1: Mem, s1_sz: ConstSize, s2: ConstStr) -> Integer:
    """Compare at most `s1_sz` bytes; return -1, 0 or 1."""
    other, _ = c_string(env.memory, s2, len(s1))
    a, b = s1.split(b"\0")[0], (other or b"")[:len(s1)]
    return (a > b) - (a < b)


@helper(gpl_only=True, cap="perfmon", role="format")
def bpf_snprintf(env: CallEnv, str: WriteMemOrNull, str_size: ConstSizeOrZero, fmt: ConstStr, data: MemOrNull,
                 data_len: ConstSizeOrZero) -> Integer:
    """Print to `str`, truncated to its size with NUL, and return the size of the whole text with NUL.

    `data` holds up to 12 u64 arguments. Return -EINVAL for bad formats or lengths.
    """
    if data_len % 8 or data_len > 8 * MAX_VARARGS or (data_len and not data):
        return -EINVAL
    template, _ = c_string(env.memory, fmt, 1 << 16)
    text = render(env.memory, template or b"", _words(data))
    if isinstance(text, int):
        return text
    if str and str_size:
        env.memory.write(str, text[:str_size - 1] + b"\0")
    return len(text) + 1


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data), 8)]


def _print(env: CallEnv, fmt: bytes, args: list[int]) -> int:
    """Append a line to the trace; return its length, or -EINVAL, also for a format without NUL."""
    template, nul, _ = fmt.partition(b"\0")
    if not nul:
        return -EINVAL
    text = render(env.memory, template, args)
    if isinstance(text, int):
        return text
    env.kernel.printk(text[:_MAX_PRINTK - 1].decode("latin-1").removesuffix("\n"))
    return len(text)


@helper(gpl_only=True, cap="perfmon")
def bpf_trace_printk(env: CallEnv, fmt: Mem, fmt_size: ConstSize, arg1: Unchecked, arg2: Unchecked,
                     arg3: Unchecked) -> Integer:
    """Print a line with up to three arguments to the kernel's trace; return its length, -EINVAL for a bad format."""
    return _print(env, fmt, [arg1, arg2, arg3])


@helper(gpl_only=True, cap="perfmon")
def bpf_trace_vprintk(env: CallEnv, fmt: Mem, fmt_size: ConstSize, data: MemOrNull,
                      data_len: ConstSizeOrZero) -> Integer:
    """Print a line with up to 12 arguments, u64 each in `data`, to the kernel's trace."""
    if data_len & 7 or data_len > 8 * MAX_VARARGS or (data_len and not data):
        return -EINVAL
    return _print(env, fmt, _words(data))


@helper(cap="bpf")
def bpf_per_cpu_ptr(env: CallEnv, ptr: PercpuBtf, cpu: Anything) -> PercpuMemOrNull:
    """Return the address of a per-CPU variable on one CPU; NULL for any CPU except the only one, 0."""
    return 0 if cpu & U32_MAX else ptr


@helper(cap="bpf")
def bpf_this_cpu_ptr(env: CallEnv, ptr: PercpuBtf) -> PercpuMem:
    """Return the address of a per-CPU variable on this CPU."""
    return ptr
