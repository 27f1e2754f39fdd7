"""Numbers and scalars as the kernel's log prints them.

Source: `print_reg_state`, `print_scalar_ranges`, `verbose_unum`, `verbose_snum`, Linux 6.18 and 7.2
`kernel/bpf/log.c`.
"""

from __future__ import annotations

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.num import Num, to_s64
from ebpfvm.verifier.domain.width import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX

_SHORT = -0x8000  # smallest number printed in decimal


def unum(value: int) -> str:
    """Return an unsigned number as text: decimal up to 65535, otherwise hexadecimal.

    >>> unum(65535), unum(65536)
    ('65535', '0x10000')
    """
    return str(value) if value <= 0xffff else f"{value:#x}"


def snum(value: int) -> str:
    """Return a signed number as text: decimal in the range of 16 bits, otherwise the hexadecimal 64-bit pattern.

    >>> snum(-32768), snum(-32769)
    ('-32768', '0xffffffffffff7fff')
    """
    return str(value) if _SHORT <= value <= 0x7fff else f"{value & U64_MAX:#x}"


def bounds(num: Num) -> list[str]:
    """Return the fields for the bounds of a scalar or of a pointer's variable offset.

    Bounds at the end of their type are left out. A name takes along the later ones of its side (minimum or maximum)
    with the same value. Signed 32-bit bounds below -32768 count and print as the 32-bit pattern.

    >>> from ebpfvm.verifier.domain.intervals import ANY32, ANY64, sync
    >>> bounds(sync((0, 255), ANY64, ANY32))
    ['smin=smin32=0', 'smax=umax=smax32=umax32=255']
    """
    fields = [("smin", num.smin, S64_MIN), ("smax", num.smax, S64_MAX), ("umin", num.umin, 0),
              ("umax", num.umax, U64_MAX), ("smin32", num.s32_min, S32_MIN), ("smax32", num.s32_max, S32_MAX),
              ("umin32", num.u32_min, 0), ("umax32", num.u32_max, U32_MAX)]
    done = [value == end for _, value, end in fields]
    values = [value & U32_MAX if name[-2:] == "32" and not value >= _SHORT else value for name, value, _ in fields]
    texts = []
    for i, (name, _, _) in enumerate(fields):
        if done[i]:
            continue
        names = [name]
        for j in range(i + 2, len(fields), 2):
            if not done[j] and values[j] == values[i]:
                done[j] = True
                names.append(fields[j][0])
        texts.append("=".join(names) + "=" + (unum(values[i]) if name[0] == "u" else snum(values[i])))
    return texts


def ranges(num: Num) -> list[str]:
    """Return the fields for bounds and known bits; the latter are omitted if none is known."""
    return bounds(num) if num.mask == U64_MAX else [*bounds(num), "var_off=" + tnum.to_str(num.var_off)]


def format_scalar(num: Num, id: int = 0, delta: int | None = None, precise: bool = False) -> str:
    """Return a scalar register's value as text.

    Args:
        num: the number.
        id: the id of the group of linked scalars, 0 for none.
        delta: what was added to the group's base, None if nothing was.
        precise: is the scalar marked precise?

    >>> from ebpfvm.verifier.domain.num import UNKNOWN, const
    >>> format_scalar(const(-1)), format_scalar(const(7), precise=True), format_scalar(const(1 << 40))
    ('-1', 'P7', '0x10000000000')
    >>> format_scalar(UNKNOWN), format_scalar(UNKNOWN, id=3, delta=100), format_scalar(UNKNOWN, id=3, delta=-1)
    ('scalar()', 'scalar(id=3+100)', 'scalar(id=3-1)')
    """
    prefix = "P" if precise else ""
    if not num.mask:
        return prefix + snum(to_s64(num.value))
    fields = ranges(num)
    if id:
        fields.insert(0, f"id={id}" if delta is None else f"id={id}{delta:+d}")
    return f"{prefix}scalar({','.join(fields)})"
