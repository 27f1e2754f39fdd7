"""An instruction slot, and the conversion between bytes and slots (RFC 9669 section 3.1).

A program is a sequence of 8-byte *slots*; the kernel's log, jump offsets and func_info all count slots. A 64-bit
immediate load takes two slots, the second with opcode 0. An `Insn` is always one slot, never two, so that indices need
no translation.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpfvm.errors import LoadError
from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_SLOT = struct.Struct("<BBhi")


class Insn(NamedTuple):
    """One slot.

    Attributes:
        code: opcode byte.
        dst, src: register numbers, 0 to 15 as encoded (legal are 0 to 10).
        off: signed 16-bit offset.
        imm: signed 32-bit immediate.
    """

    code: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    @property
    def is_ld_imm64(self) -> bool:
        """Whether this is the first slot of a 64-bit immediate load."""
        return self.code == 0x18

    @property
    def is_atomic(self) -> bool:
        """True for the atomic family, whatever its operation."""
        return self.code & 0xE7 == codes.BPF_STX | codes.BPF_ATOMIC

    def encode(self) -> bytes:
        """Return the 8 bytes of this slot, little-endian."""
        return _SLOT.pack(self.code, self.dst | self.src << 4, self.off, self.imm)


def imm64(low: Insn, high: Insn) -> int:
    """Return the unsigned 64-bit immediate of the two slots of a 64-bit immediate load."""
    return (low.imm & U32_MAX) | (high.imm & U32_MAX) << 32


def decode(code: bytes) -> tuple[Insn, ...]:
    """Return the slots that `code` consists of; any bit pattern is decoded, as legality is up to the verifier.

    Raises:
        LoadError: the length is not a multiple of 8.
    """
    if len(code) % 8:
        raise LoadError(f"program of {len(code)} bytes is not a whole number of 8-byte instructions")
    return tuple(Insn(op, regs & 15, regs >> 4, off, imm) for op, regs, off, imm in _SLOT.iter_unpack(code))


def encode(insns: Iterable[Insn]) -> bytes:
    """Return the bytes of `insns`, little-endian; the inverse of `decode`."""
    return b"".join(insn.encode() for insn in insns)
