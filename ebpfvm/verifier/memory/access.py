"""Loads and stores: the memory that they access, whether they may, and the result (check_mem_access, verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.ops import StructAccess
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg, known, type_name
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import ALL_SPILL
from ebpfvm.verifier.memory import btf_access, context, regions, stack
from ebpfvm.verifier.memory.alignment import aligned
from ebpfvm.verifier.memory.uses import Access
from ebpfvm.verifier.values.alu import READ_ONLY, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.special_fields import Special
    from ebpfvm.verifier.machine.walk import Step, Walk

# Kinds that one instruction may not mix with others, because its code is rewritten (reg_type_mismatch_ok).
_REWRITTEN = frozenset({r.CTX, r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK, r.XDP_SOCK, r.BTF_ID, r.ARENA})


def mixed(w: Walk, pc: int, type: int, trust_ok: bool = False) -> None:
    """Check that an instruction is used with one kind of rewritten pointer only (save_aux_ptr_type)."""
    before = w.found.pointer_types.get(pc)
    if before is None:
        w.found.pointer_types[pc] = type
    elif before != type and (before & r.BASE in _REWRITTEN or type & r.BASE in _REWRITTEN):
        if trust_ok and before & r.BASE == type & r.BASE == r.BTF_ID:
            if r.probed(type):
                w.found.pointer_types[pc] = type
            return
        raise Refuse(p.MIXED_POINTERS, EINVAL, "same insn cannot be used with different pointers")
    elif r.probed(type):
        w.found.pointer_types[pc] = type


# -- steps ----------------------------------------------------------------------------------------------------------


def build_load(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for LDX."""
    dst, src, off, after = insn.dst, insn.src, insn.off, pc + 1
    size = c.SIZE_BYTES[insn.code & 0x18]
    sign = insn.code & 0xE0 == c.BPF_MEMSX

    def step(w: Walk) -> int:
        regs = w.regs
        base = regs[src]
        if base is None:
            raise unreadable(src)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if src == 10 and size == 8 and not off & 7 and -512 <= off < 0:
            # The most common load of all: a whole slot of the current frame.
            slot = w.frame.stack.get(-off - 1 >> 3)
            if slot is not None and slot.types == ALL_SPILL and slot.reg.type != SCALAR:
                w.scratched.slot(-off - 1 >> 3)
                w.stack_read(w.frame, 1 << (-off - 1 >> 3))
                regs[dst] = slot.reg
                w.remember(stack.flags(w.frame.no, -off - 1 >> 3))
                mixed(w, pc, r.STACK)
                return after
        load(w, Access(base, src, off, size), dst, sign)
        mixed(w, pc, base.type, trust_ok=True)
        return after
    return step


def build_store(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for STX and ST."""
    dst, src, off, imm, after = insn.dst, insn.src, insn.off, insn.imm, pc + 1
    size = c.SIZE_BYTES[insn.code & 0x18]
    if insn.code & 7 == c.BPF_ST:
        constant = known(imm)

        def step_st(w: Walk) -> int:
            base = w.regs[dst]
            if base is None:
                raise unreadable(dst)
            if base.type == r.CTX and not w.env.rules.stores_constants_to_context:
                raise Refuse(p.CONTEXT_CONSTANT, EACCES, f"BPF_ST stores into R{dst} ctx is not allowed")
            store(w, Access(base, dst, off, size), constant, -1)
            mixed(w, pc, base.type)
            return after
        return step_st

    def step(w: Walk) -> int:
        regs = w.regs
        value = regs[src]
        if value is None:
            raise unreadable(src)
        base = regs[dst]
        if base is None:
            raise unreadable(dst)
        store(w, Access(base, dst, off, size), value, src)
        mixed(w, pc, base.type)
        return after
    return step


def load(w: Walk, to: Access, dst: int, sign: bool = False, strict: bool = False) -> None:
    """Load bytes into `dst` (-1: only check).

    Args:
        strict: require alignment in any memory.
    """
    reg, size = to.reg, to.size
    base = reg.type & r.BASE
    if base == r.STACK or w.env.strict or strict:
        aligned(w, to, strict)
    if reg.type == r.STACK:
        stack.read(w, to, dst)
        result = w.regs[dst] if dst >= 0 else None
    else:
        result = _loaders(base)(w, to)
    if dst < 0:
        return
    assert result is not None
    if size < 8 and result.type == SCALAR:
        if sign:
            # 6.18 keeps the id even if the number changes, which links unequal values, so it is dropped here.
            same = not result.num.umax >> size * 8 - 1
            num = w.arithmetic.sext(result.num, size * 8)
            result = Reg(SCALAR, num, result.off, result.id) if same else Reg(SCALAR, num)
        elif result.num.umax >> size * 8 or result.id:
            num = result.num if not result.num.umax >> size * 8 else w.arithmetic.cast(result.num, size * 8)
            result = Reg(SCALAR, num, result.off, result.id)
    w.regs[dst] = result


def _loaders(base: int) -> Callable[[Walk, Access], Reg]:
    return _LOADERS.get(base, _no_memory)


def _no_memory(w: Walk, to: Access) -> Reg:
    reg, number = to.reg, to.number
    raise Refuse(_unusable(reg), EACCES, f"R{number} invalid mem access '{type_name(reg.type)}'")


def _unusable(reg: Reg) -> p.Property:
    """Return the property that an access through this value, which leads to no memory, violates."""
    if reg.type & r.MAYBE_NULL:
        return p.NULL_DEREFERENCE
    return p.NOT_A_POINTER if reg.type == SCALAR else p.OPAQUE_POINTER


def _load_map_key(w: Walk, to: Access) -> Reg:
    regions.region(w, to, to.reg.what.key_size)
    return UNKNOWN_SCALAR


def _load_map_value(w: Walk, to: Access) -> Reg:
    reg, _number, off, size = to
    if reg.type != r.MAP_VALUE:
        return _no_memory(w, to)
    regions.map_rights(w, to, False)
    field = regions.map_value(w, to)
    if field is not None:
        if w.insn.code & 0xE0 != c.BPF_MEM or w.insn.code & 7 != c.BPF_LDX:
            raise Refuse(p.KPTR_ACCESS, EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode")
        return btf_access.loaded_kptr(w, field)
    used = reg.what
    if not reg.num.mask and used.frozen and used.type.value_access:
        return _constant(used.spec.data, reg.off + reg.num.smin + off, size, w.insn.code & 0xE0 == c.BPF_MEMSX)
    return UNKNOWN_SCALAR


def _constant(data: bytes, at: int, size: int, sign: bool) -> Reg:
    # Contents of a frozen read-only map are known (bpf_map_direct_read). Bytes after the data are zero.
    return known(int.from_bytes(data[at:at + size].ljust(size, b"\0"), "little", signed=sign))


def _load_mem(w: Walk, to: Access) -> Reg:
    if to.reg.type & r.MAYBE_NULL:
        return _no_memory(w, to)
    if not (to.reg.type & r.RDONLY and to.reg.type & r.UNTRUSTED):
        regions.region(w, to, to.reg.what)
    return UNKNOWN_SCALAR


def _load_ctx(w: Walk, to: Access) -> Reg:
    reg, size = to.reg, to.size
    if reg.type != r.CTX:
        return _no_memory(w, to)
    at = regions.context(w, to)
    return UNKNOWN_SCALAR if at is None else ctx_field(w, at, size)


def ctx_field(w: Walk, off: int, size: int) -> Reg:
    """Return what a read of the context yields (check_ctx_access)."""
    item = w.env.readable_ctx(off, size)
    extends = w.insn.code & 0xE7 == c.BPF_MEMSX | c.BPF_LDX
    if item is None or (extends and item.access in _PACKET_BOUNDS):  # half of an address, extended, is no pointer
        note = context.misread(w, off, size)
        raise Refuse(p.CONTEXT_ACCESS, EACCES, *note, f"invalid bpf_context access off={off} size={size}", source=True)
    return context.value(w, item)


_PACKET_BOUNDS = frozenset({"pkt", "pkt_meta", "pkt_end"})


def _load_packet(w: Walk, to: Access) -> Reg:
    if to.reg.type & ~r.BASE:
        return _no_memory(w, to)
    regions.packet(w, to)
    return UNKNOWN_SCALAR


def _load_flow_keys(w: Walk, to: Access) -> Reg:
    regions.flow_keys(w, to)
    return UNKNOWN_SCALAR


def _load_tp_buffer(w: Walk, to: Access) -> Reg:
    regions.tp_buffer(w, to)
    return UNKNOWN_SCALAR


def _load_sock(w: Walk, to: Access) -> Reg:
    if to.reg.type & ~r.BASE:
        return _no_memory(w, to)
    regions.socket(w, to)
    return UNKNOWN_SCALAR


def _load_btf(w: Walk, to: Access) -> Reg:
    if to.reg.type & r.MAYBE_NULL:
        return _no_memory(w, to)
    result = btf_access.load(w, to)
    _note_struct(w, to, write=False)
    return result


def _note_struct(w: Walk, to: Access, write: bool) -> None:
    """Record an access to a struct at the constant offset that it must have."""
    reg = to.reg
    w.found.struct_accesses.add(StructAccess(
        w.pc, reg.what.name, reg.what.btf is not None, to.off + reg.off + reg.num.smin, to.size, write,
        bool(reg.type & r.UNTRUSTED)))


def _load_map_ptr(w: Walk, to: Access) -> Reg:
    reg = to.reg
    if reg.type != r.MAP_PTR:
        return _no_memory(w, to)
    return btf_access.load_map_ptr(w, to)


_LOADERS = {r.MAP_KEY: _load_map_key, r.MAP_VALUE: _load_map_value, r.MEM: _load_mem, r.CTX: _load_ctx,
            r.PKT: _load_packet, r.PKT_META: _load_packet, r.FLOW_KEYS: _load_flow_keys, r.SOCKET: _load_sock,
            r.SOCK_COMMON: _load_sock, r.TCP_SOCK: _load_sock, r.XDP_SOCK: _load_sock, r.BTF_ID: _load_btf,
            r.MAP_PTR: _load_map_ptr, r.TP_BUFFER: _load_tp_buffer}


# -- stores ---------------------------------------------------------------------------------------------------------


def store(w: Walk, to: Access, value: Reg | None, source: int, strict: bool = False) -> None:
    """Store a value.

    Args:
        value: None for unknown bytes.
        source: register that is stored, -1 for none.
    """
    reg = to.reg
    base = reg.type & r.BASE
    if base == r.STACK or w.env.strict or strict:
        aligned(w, to, strict)
    if reg.type == r.STACK:
        stack.write(w, to, value, source)
        return
    handler = _STORERS.get(base)
    if handler is None:
        _no_memory(w, to)
    else:
        handler(w, to, value)


def _store_map_key(w: Walk, to: Access, value: Reg | None) -> None:
    raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"write to change key R{to.number} not allowed")


def _store_map_value(w: Walk, to: Access, value: Reg | None) -> None:
    if to.reg.type != r.MAP_VALUE:
        _no_memory(w, to)
    regions.map_rights(w, to, True)
    field = regions.map_value(w, to)
    if field is not None:
        _store_kptr(w, field, value)


def _store_kptr(w: Walk, field: Special, value: Reg | None) -> None:
    insn = w.insn
    if insn.code & 0xE0 != c.BPF_MEM:
        raise Refuse(p.KPTR_ACCESS, EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode")
    if field.kind in ("kptr_ref", "kptr_percpu"):
        raise Refuse(p.KPTR_ACCESS, EACCES, "store to referenced kptr disallowed")
    if field.kind == "uptr":
        raise Refuse(p.KPTR_ACCESS, EACCES, "store to uptr disallowed")
    if insn.code & 7 == c.BPF_ST:
        if insn.imm:
            raise Refuse(p.KPTR_ACCESS, EACCES, f"BPF_ST imm must be 0 when storing to kptr at off={field.off}")
        return
    assert value is not None
    if value.type == SCALAR and not value.num.mask and not value.num.value:
        return
    btf_access.kptr_match(w, field, value, insn.src)


def _store_mem(w: Walk, to: Access, value: Reg | None) -> None:
    reg, number = to.reg, to.number
    if reg.type & r.MAYBE_NULL:
        _no_memory(w, to)
    if reg.type & r.RDONLY:
        raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"R{number} cannot write into {type_name(reg.type)}")
    regions.region(w, to, reg.what)


def _store_ctx(w: Walk, to: Access, value: Reg | None) -> None:
    reg, _number, off, size = to
    if reg.type != r.CTX:
        _no_memory(w, to)
    at = regions.context(w, to)
    if at is None:
        return
    off, env = at, w.env
    item = env.ctx_field(off, size, True)
    if item is None:
        raise Refuse(p.CONTEXT_ACCESS, EACCES, f"invalid bpf_context access off={off} size={size}", source=True)
    if item.access == "skb":
        context.give_packet(w, value, off, size)


def _store_packet(w: Walk, to: Access, value: Reg | None) -> None:
    if to.reg.type & ~r.BASE:
        _no_memory(w, to)
    if not w.env.prog_type.packet_write:
        raise Refuse(p.PACKET_WRITE, EACCES, "cannot write into packet")
    regions.packet(w, to)


def _store_flow_keys(w: Walk, to: Access, value: Reg | None) -> None:
    regions.flow_keys(w, to)


def _store_tp_buffer(w: Walk, to: Access, value: Reg | None) -> None:
    regions.tp_buffer(w, to)


def _store_sock(w: Walk, to: Access, value: Reg | None) -> None:
    reg, number = to.reg, to.number
    if reg.type & ~r.BASE:
        _no_memory(w, to)
    raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"R{number} cannot write into {type_name(reg.type)}")


def _store_btf(w: Walk, to: Access, value: Reg | None) -> None:
    if to.reg.type & r.MAYBE_NULL:
        _no_memory(w, to)
    btf_access.store(w, to)
    _note_struct(w, to, write=True)


def _store_map_ptr(w: Walk, to: Access, value: Reg | None) -> None:
    if to.reg.type != r.MAP_PTR:
        _no_memory(w, to)
    name = btf_access.map_struct(to)
    raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"only read from {name} is supported")


_STORERS = {r.MAP_KEY: _store_map_key, r.MAP_VALUE: _store_map_value, r.MEM: _store_mem, r.CTX: _store_ctx,
            r.PKT: _store_packet, r.PKT_META: _store_packet, r.FLOW_KEYS: _store_flow_keys, r.SOCKET: _store_sock,
            r.SOCK_COMMON: _store_sock, r.TCP_SOCK: _store_sock, r.XDP_SOCK: _store_sock, r.BTF_ID: _store_btf,
            r.MAP_PTR: _store_map_ptr, r.TP_BUFFER: _store_tp_buffer}
