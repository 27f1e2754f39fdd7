"""Arithmetic on known numbers: what an ALU instruction makes of two patterns, at either width.

Source: RFC 9669 section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain.width import SIGN32, SIGN64, U32_MAX, U64_MAX

Fold = Callable[[int, int], int]

FOLD: Final[dict[tuple[str, int], Fold]] = {
    ("add", 64): lambda a, b: a + b & U64_MAX,
    ("sub", 64): lambda a, b: a - b & U64_MAX,
    ("mul", 64): lambda a, b: a * b & U64_MAX,
    ("and", 64): lambda a, b: a & b,
    ("or", 64): lambda a, b: a | b,
    ("xor", 64): lambda a, b: a ^ b,
    ("add", 32): lambda a, b: a + b & U32_MAX,
    ("sub", 32): lambda a, b: a - b & U32_MAX,
    ("mul", 32): lambda a, b: a * b & U32_MAX,
    ("and", 32): lambda a, b: a & b & U32_MAX,
    ("or", 32): lambda a, b: (a | b) & U32_MAX,
    ("xor", 32): lambda a, b: (a ^ b) & U32_MAX,
}
"""(mnemonic, width) -> function of two 64-bit patterns."""

SHIFT: Final[dict[tuple[str, int], Fold]] = {
    ("lsh", 64): lambda a, b: a << b & U64_MAX,
    ("rsh", 64): lambda a, b: a >> b,
    ("arsh", 64): lambda a, b: (a ^ SIGN64) - SIGN64 >> b & U64_MAX,
    ("lsh", 32): lambda a, b: a << b & U32_MAX,
    ("rsh", 32): lambda a, b: (a & U32_MAX) >> b,
    ("arsh", 32): lambda a, b: (a & U32_MAX ^ SIGN32) - SIGN32 >> b & U32_MAX,
}
"""The same for shifts, by less than the width."""
