"""The kernel's printf for programs: which formats are allowed (bpf_bprintf_prepare, kernel/bpf/helpers.c) and what
they print (bstr_printf, lib/vsprintf.c), Linux 7.2.

Allowed: %d %i %u %x %X with l or ll, %c, %s, %pks, %pus (strings), %p %px %pK %ps %pS %pB (addresses),
%pi4 %pI4 %pi6 %pI6 (addresses of IP addresses), flags `0`, `+`, `-`, blank, and a width. Anything else is -EINVAL.
Text between formats may hold any bytes above 127 (since 6.17) but no control characters.
"""

from __future__ import annotations

import ipaddress
import re
import string
from typing import TYPE_CHECKING, Final

from ebpfvm.funcs.errno import EINVAL, ENOSPC
from ebpfvm.funcs.memory import c_string, try_read

if TYPE_CHECKING:
    from ebpfvm.kernel import Memory

MAX_BIN_ARGS: Final = 512
MAX_VARARGS: Final = 12
_SPEC: Final = re.compile(r"%(?P<flags>[0+\- ]*)(?P<width>[1-9][0-9]*)?"
                          r"(?P<kind>p[ku]s|p[iI][46]|p[KxsSB]?|s|c|(?P<long>l{0,2})(?P<number>[diuxX]))", re.ASCII)
_ENDS: Final = string.whitespace + string.punctuation


def render(memory: Memory, fmt: bytes, args: list[int]) -> bytes | int:
    """What `fmt` (without its NUL) prints.

    Args:
        args: 64-bit values, as programs pass them; strings and IP addresses by address.

    Returns:
        The text, -EINVAL for a format that is not allowed or too few arguments, -ENOSPC when the arguments need more
        than the kernel's 512 bytes.
    """
    if any(char < 128 and chr(char) not in string.printable for char in fmt):
        return -EINVAL
    text = fmt.decode("latin-1")
    out, at, used, left = [], 0, 0, list(args)
    while (percent := text.find("%", at)) >= 0:
        out.append(text[at:percent])
        if text[percent + 1:percent + 2] == "%":
            out.append("%")
            at = percent + 2
            continue
        match = _SPEC.match(text, percent)
        if match is None or not left or not _ends_well(match, text):
            return -EINVAL
        printed, size = _one(memory, match, left.pop(0))
        used += size
        if used > MAX_BIN_ARGS:
            return -ENOSPC
        out.append(_pad(match, printed))
        at = match.end()
    return "".join([*out, text[at:]]).encode("latin-1")


def _ends_well(match: re.Match[str], text: str) -> bool:
    """A string or plain %p must be followed by the end, a blank or punctuation."""
    kind, after = match.group("kind"), text[match.end():match.end() + 1]
    return kind not in ("s", "p", "pks", "pus") or not after or after in _ENDS


def _one(memory: Memory, match: re.Match[str], value: int) -> tuple[str, int]:
    """One argument printed, without padding, and the bytes it takes in the kernel's buffer."""
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
        value = (value ^ 1 << bits - 1) - (1 << bits - 1)
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
