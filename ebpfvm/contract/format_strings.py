"""Format strings that the kernel's printf for programs accepts (bpf_bprintf_prepare, kernel/bpf/helpers.c, Linux 7.2).

Allowed are %d %i %u %x %X with l or ll, %c, %s, %pks, %pus (strings), %p %px %pK %ps %pS %pB (addresses), %pi4 %pI4
%pi6 %pI6 (IP addresses), the flags `0`, `+`, `-` and blank, and a width. Text between conversions may hold any bytes
above 127 (since 6.17) but no control characters.
"""

from __future__ import annotations

import re
from typing import Final

from ebpfvm.lazy_patterns import pattern

_SPEC: Final = pattern(r"%(?P<flags>[0+\- ]*)(?P<width>[1-9][0-9]*)?"
                       r"(?P<kind>p[ku]s|p[iI][46]|p[KxsSB]?|s|c|(?P<long>l{0,2})(?P<number>[diuxX]))", re.ASCII)
_BLANKS: Final = " \t\n\r\v\f"
_ENDS: Final = _BLANKS + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def conversions(fmt: bytes) -> list[re.Match[str] | str] | None:
    """Return a format (without its NUL) split into texts and conversions; None if the kernel refuses it.

    A conversion has the groups flags, width, kind, long and number.
    """
    if any((char < 32 or char == 127) and chr(char) not in _BLANKS for char in fmt):
        return None
    text, at = fmt.decode("latin-1"), 0
    found: list[re.Match[str] | str] = []
    while (percent := text.find("%", at)) >= 0:
        found.append(text[at:percent])
        if text[percent + 1:percent + 2] == "%":
            found.append("%")
            at = percent + 2
            continue
        match = _SPEC.match(text, percent)
        if match is None or not _ends_well(match, text):
            return None
        found.append(match)
        at = match.end()
    return [*found, text[at:]]


def _ends_well(match: re.Match[str], text: str) -> bool:
    """Return whether a string or plain %p is followed by the end, a blank or punctuation, as required."""
    kind, after = match.group("kind"), text[match.end():match.end() + 1]
    return kind not in ("s", "p", "pks", "pus") or not after or after in _ENDS


def wanted(fmt: bytes) -> int | None:
    """Return the number of arguments that a format takes; None if the kernel refuses it."""
    parts = conversions(fmt)
    return None if parts is None else sum(not isinstance(part, str) for part in parts)
