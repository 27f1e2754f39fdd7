"""Format text for programs, with the formats that the kernel allows (bstr_printf, lib/vsprintf.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.format_strings import conversions
from ebpfvm.errnos import EINVAL, ENOSPC
from ebpfvm.funcs.nofault import c_string, try_read
from ebpfvm.ints import signed

if TYPE_CHECKING:
    import re

    from ebpfvm.kernel import Memory

MAX_BIN_ARGS: Final = 512
MAX_VARARGS: Final = 12


def render(memory: Memory, fmt: bytes, args: list[int]) -> bytes | int:
    """Return the text that `fmt` (without its NUL) prints.

    Args:
        args: 64-bit values, as programs pass them; strings and IP addresses by address.

    Returns:
        The text, -EINVAL for a format that is not allowed or too few arguments, -ENOSPC if the arguments need more than
        the kernel's 512 bytes.
    """
    parts = conversions(fmt)
    if parts is None:
        return -EINVAL
    out, used, left = [], 0, list(args)
    for part in parts:
        if isinstance(part, str):
            out.append(part)
            continue
        if not left:
            return -EINVAL
        printed, size = _one(memory, part, left.pop(0))
        used += size
        if used > MAX_BIN_ARGS:
            return -ENOSPC
        out.append(_pad(part, printed))
    return "".join(out).encode("latin-1")


def _one(memory: Memory, match: re.Match[str], value: int) -> tuple[str, int]:
    """Return one argument as text, without padding, and the bytes that it takes in the kernel's buffer."""
    kind = match.group("kind")
    if match.group("number"):
        return _number(match, value)
    if kind == "c":
        return chr(value & 0xFF), 1
    if kind in ("s", "pks", "pus"):
        found, _ = c_string(memory, value, MAX_BIN_ARGS - 1)
        printed = (found or b"").decode("latin-1")
        return printed, len(printed) + 1
    if kind[1:2] in ("i", "I"):
        printed = _address(kind, try_read(memory, value, 4 if kind[2] == "4" else 16))
        return printed, len(printed) + 1
    return (f"{value:x}" if kind == "px" else f"0x{value:x}" if kind in ("ps", "pS", "pB") else f"{value:016x}"), 8


def _number(match: re.Match[str], value: int) -> tuple[str, int]:
    bits = 64 if match.group("long") else 32
    value &= (1 << bits) - 1
    number = match.group("number")
    if number in "xX":
        printed = format(value, number)
    elif number == "u":
        printed = str(value)
    else:
        value = signed(value, bits)
        sign = "+" if "+" in match.group("flags") else " " if " " in match.group("flags") else ""
        printed = f"{value}" if value < 0 else f"{sign}{value}"
    return printed, bits // 8


def _address(kind: str, data: bytes | None) -> str:
    data = data if data is not None else bytes(4 if kind[2] == "4" else 16)
    if kind == "pI4":
        return ".".join(str(part) for part in data)
    if kind == "pi4":
        return ".".join(f"{part:03}" for part in data)
    if kind == "pi6":
        return data.hex()
    import ipaddress
    return ipaddress.IPv6Address(data).exploded


def _pad(match: re.Match[str], printed: str) -> str:
    width = int(match.group("width") or 0)
    flags, kind = match.group("flags"), match.group("kind")
    if kind == "px":
        printed = printed.rjust(16, "0") if not width else printed
    if "-" in flags:
        return printed.ljust(width)
    if "0" in flags and match.group("number"):
        sign = printed[0] if printed[:1] in ("-", "+", " ") else ""
        return sign + printed[len(sign):].rjust(width - len(sign), "0")
    return printed.rjust(width)
