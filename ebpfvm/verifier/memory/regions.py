"""Bounds and permissions of every kind of memory except the stack (kernel/bpf/verifier.c, net/core/filter.c).

Linux 6.18 adds a pointer's fixed offset to the instruction's before it checks bounds, 7.2 attributes it to the
register; only messages differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.fields import STRUCT_KINDS
from ebpfvm.contract.maptype import BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.domain.width import S64_MIN, U64_MAX
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg, type_name
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.memory.uses import Access
from ebpfvm.verifier.report import show
from ebpfvm.verifier.values.pointers import MAX_VAR_OFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.machine.special_fields import Special
    from ebpfvm.verifier.machine.walk import Walk

FIELD_NAMES = {**{kind: struct for struct, kind in STRUCT_KINDS.items()}, "kptr_ref": "kptr", "kptr_unref": "kptr",
               "kptr_percpu": "percpu_kptr", "uptr": "uptr"}
NEGATIVE = "R%d min value is negative, either use unsigned index or do a if (index >=0) check."
_FLOW_KEYS_SIZE = 56


def parts(w: Walk, reg: Reg, off: int) -> tuple[int, int, int, int]:
    """Return the instruction's offset, then smin, the unsigned minimum and umax of the register's part."""
    num = reg.num
    if w.env.rules.offset_in_var_off:
        low = num.smin + reg.off
        return off, low, low, num.umax + reg.off if num.umax + reg.off >= 0 else U64_MAX
    return off + reg.off, num.smin, num.smin, num.umax


def region(w: Walk, to: Access, limit: int, zero_ok: bool = False) -> None:
    """Check that every possible offset of the register stays within `limit` bytes (check_mem_region_access)."""
    reg, number = to.reg, to.number
    off, smin, low, umax = parts(w, reg, to.off)
    if smin < 0 and (smin == S64_MIN or smin + off < 0):
        raise Refuse(bounds(reg), EACCES, NEGATIVE % number)
    _inside(to, low + off, limit, zero_ok, "min")
    if umax >= MAX_VAR_OFF:
        raise Refuse(bounds(reg), EACCES,
                     f"R{number} unbounded memory access, make sure to bounds check any such access")
    _inside(to, umax + off, limit, zero_ok, "max")


def _inside(to: Access, at: int, limit: int, zero_ok: bool, which: str) -> None:
    reg, size = to.reg, to.size
    if at >= 0 and at + size <= limit and (size > 0 or (size == 0 and zero_ok)):
        return
    raise Refuse(bounds(reg), EACCES, outside(to._replace(off=at), limit),
                 f"R{to.number} {which} value is outside of the allowed memory range")


def bounds(reg: Reg) -> p.Property:
    """Return the property that an access outside of this memory violates."""
    base = reg.type & r.BASE
    if base == r.MAP_VALUE:
        return p.MAP_VALUE_BOUNDS
    if base == r.CTX:
        return p.CONTEXT_ACCESS
    return p.PACKET_BOUNDS if base in r.PKT_ANY else p.MEMORY_BOUNDS


def outside(to: Access, limit: int) -> str:
    """Return the line that describes the access."""
    reg, number, off, size = to
    base = reg.type & r.BASE
    if base == r.MAP_KEY:
        return f"invalid access to map key, key_size={limit} off={off} size={size}"
    if base == r.MAP_VALUE:
        return f"invalid access to map value, value_size={limit} off={off} size={size}"
    if base == r.CTX:
        return f"invalid access to context, ctx_size={limit} off={off} size={size}"
    if base in r.PKT_ANY:
        return f"invalid access to packet, off={off} size={size}, R{number}(id={reg.id},off={off},r={limit})"
    return f"invalid access to memory, mem_size={limit} off={off} size={size}"


def tp_buffer(w: Walk, to: Access) -> None:
    """Check an access to the buffer of a writable raw tracepoint, whose size is known when it is attached."""
    reg, number, off, size = to
    num = reg.num
    start = off + reg.off + (num.value if w.env.rules.offset_in_var_off and not num.mask else 0)
    if start < 0 and w.env.rules.offset_in_var_off:
        raise Refuse(p.MEMORY_BOUNDS, EACCES,
                     f"R{number} invalid negative tracepoint buffer offset: off={off}, "
                     f"var_off={reg.off + num.value}")
    if start < 0:
        raise Refuse(p.MEMORY_BOUNDS, EACCES, f"R{number} invalid tracepoint buffer access: off={start}, size={size}")
    if num.mask or (num.value and not w.env.rules.offset_in_var_off):
        raise Refuse(p.MEMORY_BOUNDS, EACCES,
                     f"R{number} invalid variable buffer offset: off={start}, "
                     f"var_off={show.tnum(num.value, num.mask)}")


# -- map values ---------------------------------------------------------------------------------------------------


def map_value(w: Walk, to: Access, zero_ok: bool = False, direct: bool = True) -> Special | None:
    """Check bounds and special fields of a map value; return the kptr that the access hits, or None."""
    reg, _number, off, size = to
    used = reg.what
    region(w, to, used.value_size, zero_ok)
    if not used.fields:
        return None
    fixed = off + reg.off
    low, high = reg.num.smin + fixed, reg.num.umax + fixed + size
    for item in used.fields:
        if low < item.off + item.size and item.off < high:
            _special(reg, item, fixed, size, direct)
            return item if item.is_kptr else None
    return None


def _special(reg: Reg, item: Special, fixed: int, size: int, direct: bool) -> None:
    name = FIELD_NAMES[item.kind]
    if not item.is_kptr:
        raise Refuse(p.SPECIAL_FIELD, EACCES, f"{name} cannot be accessed directly by load/store")
    if not direct:
        raise Refuse(p.KPTR_ACCESS, EACCES, f"{name} cannot be accessed indirectly by helper")
    if reg.num.mask:
        raise Refuse(p.KPTR_ACCESS, EACCES, f"{name} access cannot have variable offset")
    at = fixed + reg.num.value
    if item.off != at:
        raise Refuse(p.KPTR_ACCESS, EACCES, f"{name} access misaligned expected={item.off} off={at & U64_MAX}")
    if size != 8:
        raise Refuse(p.KPTR_ACCESS, EACCES, f"{name} access size must be BPF_DW")


def map_rights(w: Walk, to: Access, write: bool) -> None:
    """Check BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG (check_map_access_type)."""
    reg, _number, off, size = to
    flags = reg.what.flags
    at = reg.off + off + reg.num.smin if w.env.rules.offset_in_var_off else reg.off + off
    if write and flags & BPF_F_RDONLY_PROG:
        raise Refuse(p.MAP_ACCESS_RIGHTS, EACCES,
                     f"write into map forbidden, value_size={reg.what.value_size} off={at} size={size}")
    if not write and flags & BPF_F_WRONLY_PROG:
        raise Refuse(p.MAP_ACCESS_RIGHTS, EACCES,
                     f"read from map forbidden, value_size={reg.what.value_size} off={at} size={size}")


# -- packets ------------------------------------------------------------------------------------------------------


def packet(w: Walk, to: Access, zero_ok: bool = False) -> None:
    """Check that an access is within the range that comparisons with the end have proven (check_packet_access)."""
    reg, number, off, size = to
    if w.env.rules.offset_in_var_off:
        if reg.what < 0:
            raise Refuse(p.PACKET_BOUNDS, EINVAL, f"R{number} offset is outside of the packet")
        region(w, to, reg.what, zero_ok)
        return
    if reg.num.smin < 0:
        raise Refuse(p.PACKET_BOUNDS, EACCES, NEGATIVE % number)
    at = off + reg.off
    outside_text = f"R{number} offset is outside of the packet"
    if reg.what < 0:
        raise Refuse(p.PACKET_BOUNDS, EINVAL, outside_text)
    if at < 0 or at + size > reg.what or not (size > 0 or zero_ok):
        raise Refuse(p.PACKET_BOUNDS, EACCES, outside(to._replace(off=at), reg.what), outside_text)


# -- contexts -----------------------------------------------------------------------------------------------------


def unmodified(w: Walk, reg: Reg, number: int, fixed_ok: bool = False) -> None:
    """Check a pointer that may only be used as it was given (check_ptr_off_reg)."""
    if not reg.off and not reg.num.mask and not reg.num.value:
        return
    name = type_name(reg.type)
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: f"negative offset {name} ptr R{number} off={reg.off} disallowed" if reg.off < 0 else None,
        lambda: (f"dereference of modified {name} ptr R{number} off={reg.off} disallowed"
                 if reg.off and not fixed_ok else None),
        lambda: (f"variable {name} access var_off={show.tnum(reg.num.value, reg.num.mask)} disallowed"
                 if reg.num.mask or reg.num.value else None))
    for check in (checks[2], checks[0], checks[1]) if w.env.rules.offset_in_var_off else checks:
        message = check()
        if message is not None:
            raise Refuse(p.MODIFIED_POINTER, EACCES, message)


def context(w: Walk, to: Access, zero_ok: bool = False) -> int | None:
    """Return the offset of an access in the context; None if the context is plain memory and the access is inside."""
    reg, number, off, _size = to
    kind = w.env.prog_type
    if kind.args:
        raise unsupported(f"the {kind.args} in {kind.name} programs")
    if kind.ctx_offsets == "any":
        region(w, to, kind.ctx_size, zero_ok)
        return None
    unmodified(w, reg, number, fixed_ok=kind.ctx_offsets == "fixed")
    return off + reg.off


# -- sockets and flow keys ----------------------------------------------------------------------------------------

# Fields of bpf_sock that may be read in part: addresses anywhere, the others from their first byte on.
_ADDRESSES = frozenset({24, *range(28, 44, 4), 52, *range(56, 72, 4)})
_NARROW = frozenset({4, 8, 12, 44, 72, 76})


def socket(w: Walk, to: Access) -> None:
    """Check an access to fields of bpf_sock, bpf_tcp_sock or bpf_xdp_sock (uapi/linux/bpf.h; net/core/filter.c)."""
    reg, number, off, size = to
    if reg.num.smin < 0:
        raise Refuse(p.STRUCT_ACCESS, EACCES, NEGATIVE % number)
    at = off + reg.off
    base = reg.type & r.BASE
    if base == r.TCP_SOCK:
        good = 0 <= at < 112 and not at % size and size == (8 if at in (80, 88) else 4)
        w.found.unconverted |= at in (84, 92)
    elif base == r.XDP_SOCK:
        good = at == 0 and size == 4
    else:
        good = _sock(at, size, base == r.SOCK_COMMON)
    if reg.num.mask or not good:
        raise Refuse(p.STRUCT_ACCESS, EACCES, f"R{number} invalid {type_name(reg.type)} access off={at} size={size}")


def _sock(off: int, size: int, common: bool) -> bool:
    if not 0 <= off < 80 or off % size:
        return False
    if common and 8 <= off < 24:  # type, protocol, mark, priority
        return False
    if off in (48, 49):  # dst_port: two bytes, or four for old programs
        return size <= 2 or (size == 4 and off == 48)
    if 50 <= off < 52:
        return False
    if off & ~3 in _ADDRESSES or off in _NARROW:
        return size <= 4
    return size == 4


def flow_keys(w: Walk, to: Access) -> None:
    """Check an access to struct bpf_flow_keys."""
    reg, number, off, size = to
    if reg.num.mask:
        raise Refuse(p.MEMORY_BOUNDS, EACCES,
                     f"R{number} invalid variable offset to flow keys: off={off}, var_off="
                     f"{show.tnum(reg.num.value, reg.num.mask)}")
    at = off + reg.off + reg.num.smin
    if at < 0 or at + size > _FLOW_KEYS_SIZE:
        raise Refuse(p.MEMORY_BOUNDS, EACCES, f"invalid access to flow keys off={at} size={size}")
