"""What a register or a spilled slot may hold.

A `Reg` is an immutable tuple: any number of registers, slots and saved states share one, and equal ones compare equal
at C speed. `None` in a register list is the kernel's NOT_INIT.

The type is a number: a base in the low byte and flags above it (include/linux/bpf.h, enum bpf_reg_type). Pointers have
a fixed offset `off` and a variable part `num`. Linux 6.18 keeps both; Linux 7.2 has no separate fixed part, so that
under its rules at most one of the two is nonzero (see `ebpfvm.verifier.values.pointers`).
"""

from __future__ import annotations

from typing import Any, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const

SCALAR: Final = 1
CTX: Final = 2
MAP_PTR: Final = 3
MAP_VALUE: Final = 4
MAP_KEY: Final = 5
STACK: Final = 6
PKT_META: Final = 7
PKT: Final = 8
PKT_END: Final = 9
FLOW_KEYS: Final = 10
SOCKET: Final = 11
SOCK_COMMON: Final = 12
TCP_SOCK: Final = 13
TP_BUFFER: Final = 14
XDP_SOCK: Final = 15
BTF_ID: Final = 16
MEM: Final = 17
ARENA: Final = 18
BUF: Final = 19
FUNC: Final = 20
DYNPTR: Final = 21
INSN: Final = 22

BASE: Final = 0xFF
MAYBE_NULL: Final = 0x100
RDONLY: Final = 0x200
RINGBUF: Final = 0x400
USER: Final = 0x800
PERCPU: Final = 0x1000
RCU: Final = 0x2000
UNTRUSTED: Final = 0x4000
TRUSTED: Final = 0x8000
ALLOC: Final = 0x10000
NON_OWN_REF: Final = 0x20000
PKT_SLICE: Final = 0x40000  # memory of a dynptr over a packet (DYNPTR_TYPE_SKB and _XDP)

TRUSTED_FLAGS: Final = TRUSTED | ALLOC | NON_OWN_REF  # BPF_REG_TRUSTED_MODIFIERS

_BASES: Final = {
    SCALAR: "scalar", CTX: "ctx", MAP_PTR: "map_ptr", MAP_VALUE: "map_value", MAP_KEY: "map_key", STACK: "fp",
    PKT_META: "pkt_meta", PKT: "pkt", PKT_END: "pkt_end", FLOW_KEYS: "flow_keys", SOCKET: "sock",
    SOCK_COMMON: "sock_common", TCP_SOCK: "tcp_sock", TP_BUFFER: "tp_buffer", XDP_SOCK: "xdp_sock", BTF_ID: "ptr_",
    MEM: "mem", ARENA: "arena", BUF: "buf", FUNC: "func", DYNPTR: "dynptr_ptr", INSN: "insn",
}
_PREFIXES: Final = ((RDONLY, "rdonly_"), (RINGBUF, "ringbuf_"), (USER, "user_"), (PERCPU, "percpu_"), (RCU, "rcu_"),
                    (UNTRUSTED, "untrusted_"), (TRUSTED, "trusted_"))

PKT_TYPES: Final = frozenset({PKT, PKT_META})
PKT_ANY: Final = frozenset({PKT, PKT_META, PKT_END})

# Special values of a packet pointer's range: its position relative to the packet's end, not a proven length.
AT_PKT_END: Final = -1
BEYOND_PKT_END: Final = -2

ADD_CONST64: Final = 1 << 31
ADD_CONST32: Final = 1 << 30
ADD_CONST: Final = ADD_CONST64 | ADD_CONST32


class Reg(NamedTuple):
    """A value.

    Attributes:
        type: base and flags.
        num: the number of a scalar, the variable offset of a pointer.
        off: the fixed offset of a pointer; of a scalar linked with `ADD_CONST`, the difference to its siblings.
        id: equal ids mean the same unknown value: linked scalars, copies of one or_null pointer, packet pointers that
            moved by the same variable.
        ref: id of the reference that keeps this pointer alive, 0 for none.
        what: by type: map (MAP_PTR, MAP_VALUE, MAP_KEY), frame number (STACK), proven range (PKT, PKT_META), size
            (MEM, BUF), struct (BTF_ID), subprogram (FUNC), dynptr (DYNPTR).
        aux: by type: map uid (MAP_PTR, MAP_VALUE), dynptr id (slices), reference of the packet (PKT, PKT_META,
            PKT_END; 0 for the context's).
    """

    type: int
    num: Num
    off: int = 0
    id: int = 0
    ref: int = 0
    what: Any = None
    aux: Any = 0


LOST: Final = Reg(0, UNKNOWN)
"""What a slot with bytes of a spilled register holds when the register is gone (NOT_INIT, 6.1)."""

_ZERO: Final = const(0)
UNKNOWN_SCALAR: Final = Reg(SCALAR, UNKNOWN)
_KEPT: Final = 1 << 13
_known: dict[int, Reg] = {}  # only saves work


def known(value: int) -> Reg:
    """Return the scalar that is exactly `value` (modulo 2**64)."""
    reg = _known.get(value)
    if reg is None:
        if len(_known) >= _KEPT:
            _known.clear()
        reg = _known[value] = Reg(SCALAR, const(value))
    return reg


def scalar(num: Num) -> Reg:
    """Return a scalar without an id."""
    return Reg(SCALAR, num)


def pointer(type: int, what: Any = None, *, off: int = 0, id: int = 0, ref: int = 0, aux: Any = 0) -> Reg:
    """Return a pointer without a variable part."""
    return Reg(type, _ZERO, off, id, ref, what, aux)


def type_name(type: int) -> str:
    """Return the kernel's reg_type_str(): prefixes, base, `_or_null`.

    >>> type_name(MAP_VALUE | MAYBE_NULL), type_name(BTF_ID | TRUSTED), type_name(MEM | RDONLY)
    ('map_value_or_null', 'trusted_ptr_', 'rdonly_mem')
    """
    base = type & BASE
    postfix = ""
    if type & MAYBE_NULL:
        postfix = "or_null_" if base == BTF_ID else "_or_null"
    return "".join(text for flag, text in _PREFIXES if type & flag) + _BASES.get(base, "?") + postfix


def not_null(reg: Reg, objects: bool = True) -> bool:
    """Return whether a pointer is certainly not NULL (reg_not_null).

    Args:
        objects: whether any existing object counts (`Rules.objects_are_not_null`).
    """
    type = reg.type
    if type & MAYBE_NULL:
        return False
    base = type & BASE
    if not objects:
        return base in (SOCKET, TCP_SOCK, MAP_VALUE, MAP_KEY, SOCK_COMMON)
    if base == BTF_ID:
        return is_trusted(reg)
    if base == MEM:
        return not type & UNTRUSTED
    return base in (SOCKET, TCP_SOCK, MAP_VALUE, MAP_KEY, SOCK_COMMON, MAP_PTR)


def is_trusted(reg: Reg) -> bool:
    """Return whether a kfunc may rely on a pointer, which must be referenced or TRUSTED (is_trusted_reg)."""
    if reg.ref:
        return True
    flags = reg.type & ~BASE
    if reg.type & BASE in (SOCKET, TCP_SOCK, SOCK_COMMON, MAP_PTR) and not flags & ~TRUSTED_FLAGS:
        return True
    return bool(flags & TRUSTED_FLAGS) and not flags & ~TRUSTED_FLAGS


def probed(type: int) -> bool:
    """Return whether the kernel guards loads through such a pointer, which then yield 0 (convert_ctx_accesses)."""
    if type & BASE == MEM:
        return bool(type & UNTRUSTED)
    return type & BASE == BTF_ID and (bool(type & UNTRUSTED) or not type & (TRUSTED_FLAGS | RCU))


def with_type(reg: Reg, type: int) -> Reg:
    """Return the same value with another type."""
    return Reg(type, reg.num, reg.off, reg.id, reg.ref, reg.what, reg.aux)


def with_id(reg: Reg, id: int) -> Reg:
    """Return the same value with another id."""
    return Reg(reg.type, reg.num, reg.off, id, reg.ref, reg.what, reg.aux)


def with_num(reg: Reg, num: Num) -> Reg:
    """Return the same register (including its id) with a more precise number."""
    return Reg(reg.type, num, reg.off, reg.id, reg.ref, reg.what, reg.aux)


def is_null(reg: Reg) -> bool:
    """Return whether a register is a known zero."""
    return reg.type == SCALAR and not reg.num.mask and not reg.num.value
