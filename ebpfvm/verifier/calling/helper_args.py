"""Arguments of helpers: type, offset, memory (check_func_arg and what it calls, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.contract.maptype import BPF_F_INNER_MAP
from ebpfvm.errnos import EACCES, EFAULT, EINVAL
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.calling import dynptrs, locks
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, Reg, is_null, type_name
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.state import SPILL, ZERO
from ebpfvm.verifier.memory import btf_access, regions, stack
from ebpfvm.verifier.memory.alignment import aligned
from ebpfvm.verifier.memory.uses import Access, Use
from ebpfvm.verifier.values.alu import unreadable

if TYPE_CHECKING:
    from ebpfvm.contract.args import ArgSpec
    from ebpfvm.contract.rules import Rules
    from ebpfvm.verifier.calling.call_meta import Call
    from ebpfvm.verifier.machine.walk import Walk

_MEM = (r.STACK, r.PKT, r.PKT_META, r.MAP_KEY, r.MAP_VALUE, r.MEM, r.MEM | r.RINGBUF, r.BUF, r.BTF_ID | r.TRUSTED)
_FIELDS = (Arg.PTR_TO_SPIN_LOCK, Arg.PTR_TO_TIMER, Arg.KPTR_XCHG_DEST)
_BTF = (r.BTF_ID, r.BTF_ID | r.TRUSTED, r.BTF_ID | r.RCU)
_SCALAR = (SCALAR,)
# Argument kind -> register types that fit, in the order of the message.
COMPATIBLE: dict[Arg, tuple[int, ...]] = {
    Arg.PTR_TO_MAP_KEY: _MEM, Arg.PTR_TO_MAP_VALUE: _MEM, Arg.PTR_TO_MEM: _MEM,
    Arg.CONST_SIZE: _SCALAR, Arg.CONST_SIZE_OR_ZERO: _SCALAR, Arg.CONST_ALLOC_SIZE_OR_ZERO: _SCALAR,
    Arg.SCALAR: _SCALAR, Arg.CONST_MAP_PTR: (r.MAP_PTR,), Arg.PTR_TO_CTX: (r.CTX,),
    Arg.PTR_TO_SOCK_COMMON: (r.SOCK_COMMON, r.SOCKET, r.TCP_SOCK, r.XDP_SOCK),
    Arg.PTR_TO_BTF_ID_SOCK_COMMON: (r.SOCK_COMMON, r.SOCKET, r.TCP_SOCK, r.XDP_SOCK, r.BTF_ID,
                                    r.BTF_ID | r.TRUSTED),
    Arg.PTR_TO_SOCKET: (r.SOCKET,), Arg.PTR_TO_BTF_ID: _BTF,
    Arg.PTR_TO_SPIN_LOCK: (r.MAP_VALUE, r.BTF_ID | r.ALLOC), Arg.PTR_TO_RINGBUF_MEM: (r.MEM | r.RINGBUF,),
    Arg.PTR_TO_PERCPU_BTF_ID: (r.BTF_ID | r.PERCPU, r.BTF_ID | r.PERCPU | r.RCU, r.BTF_ID | r.PERCPU | r.TRUSTED),
    Arg.PTR_TO_FUNC: (r.FUNC,), Arg.PTR_TO_STACK: (r.STACK,), Arg.PTR_TO_CONST_STR: (r.MAP_VALUE,),
    Arg.PTR_TO_TIMER: (r.MAP_VALUE,),
    Arg.KPTR_XCHG_DEST: (r.MAP_VALUE, r.BTF_ID | r.ALLOC, r.BTF_ID | r.ALLOC | r.NON_OWN_REF,
                         r.BTF_ID | r.ALLOC | r.NON_OWN_REF | r.RCU),
    Arg.PTR_TO_DYNPTR: (r.STACK, r.DYNPTR), Arg.PTR_TO_ARENA: (r.ARENA, SCALAR),
}
ANY_OFFSET = frozenset({r.STACK, r.PKT, r.PKT_META, r.MAP_KEY, r.MAP_VALUE, r.MEM, r.MEM | r.RDONLY,
                         r.MEM | r.RINGBUF, r.BUF, r.BUF | r.RDONLY, r.ARENA, SCALAR})
_SINCE_TRUST = r.TRUSTED | r.RCU | r.ALLOC  # flags that came with trusted pointers
# Pointers to kernel objects that may only be passed unmodified; others may point at any member.
_NEVER_MOVED = r.MAYBE_NULL | r.UNTRUSTED | r.PERCPU | r.USER


def fitting(rules: Rules, spec: ArgSpec) -> tuple[int, ...]:
    """Return the types of registers that fit an argument, in the order of the message."""
    fits = COMPATIBLE[spec.kind]
    if fits is _MEM and not rules.any_memory_is_key and spec.kind is not Arg.PTR_TO_MEM:
        return _MEM[:5]
    return fits if rules.trusts_pointers else tuple(item for item in fits if not item & _SINCE_TRUST)


class HelperArgument(NamedTuple):
    """One argument: its register's number, its contract, that of the argument before it, and the register's value."""

    at: int
    spec: ArgSpec
    before: ArgSpec | None
    reg: Reg


def check(w: Walk, call: Call, at: int, spec: ArgSpec, before: ArgSpec | None) -> None:
    """Check argument R`at` of a helper.

    Args:
        before: contract of the preceding argument (the memory that a size belongs to).
    """
    if spec.kind is Arg.DONTCARE:
        return
    reg = w.regs[at]
    if reg is None:
        raise unreadable(at)
    if spec.kind is Arg.ANYTHING:
        return
    if reg.type in r.PKT_TYPES and not (w.env.prog_type.helper_packet_read and call.helper.pkt_access):
        raise Refuse(p.PACKET_ARGUMENT, EACCES, "helper access to the packet is not allowed")
    if spec.kind is Arg.PTR_TO_MAP_VALUE:
        spec = _as_map_has_it(call, spec)
    if not (is_null(reg) and spec.maybe_null):
        reg = _typed(w, call, at, spec, reg)
        _offset(w, reg, at, spec)
    elif w.env.rules.null_is_precise:
        w.precise(at)
    if spec.release:
        _released(w, call, at, spec, reg)
    if reg.ref and spec.kind is not Arg.KPTR_XCHG_DEST:
        if call.ref and w.env.rules.one_reference:
            text = f"more than one arg with ref_obj_id R{at} {reg.ref} {call.ref}"
            if w.env.rules.internal_errors:
                raise Refuse(p.AMBIGUOUS_REFERENCE, EFAULT, f"verifier internal error: {text}")
            raise Refuse(p.AMBIGUOUS_REFERENCE, EACCES, text)
        call.ref = reg.ref
    handler = _HANDLERS.get(spec.kind)
    if handler is None:
        return
    try:
        handler(w, call, HelperArgument(at, spec, before, reg))
    except Refuse as refused:
        if w.env.rules.field_errnos or spec.kind not in _FIELDS:
            raise
        raise Refuse(refused.property, EACCES, *refused.lines) from refused


def _as_map_has_it(call: Call, spec: ArgSpec) -> ArgSpec:
    """Return the contract of a value argument as the map's type changes it (resolve_map_arg_type)."""
    if call.map is None or not spec.write:
        return spec
    if call.map.type.gives == "socket":
        raise Refuse(p.HELPER_MAP_TYPE, EINVAL, "invalid arg_type for sockmap/sockhash")
    # peek reads the value to look up in a Bloom filter; in other maps it writes the value that it found.
    asked = call.map.type.peek_asks and call.helper.map_op == "peek"
    return replace(spec, uninit=False, write=False) if asked else spec


def _qdisc_context(w: Walk, call: Call) -> tuple[int, ...]:
    """Return what a qdisc program may pass as a context: the packet `ctx->skb` (decision D1).

    A tail call passes the program's own context; a call that asks filters may pass either while there is a packet.
    """
    packet = r.BTF_ID | r.TRUSTED
    if call.helper.role == "tail_call":
        return (r.CTX,)
    if call.helper.role == "tc_classify" and w.env.program.attach != "dequeue":
        return (packet, r.CTX)
    return (packet,)


def _typed(w: Walk, call: Call, at: int, spec: ArgSpec, reg: Reg) -> Reg:
    """Check the type of a register (check_reg_type)."""
    type = reg.type
    if spec.rdonly:
        type &= ~r.RDONLY
    if spec.maybe_null:
        type &= ~r.MAYBE_NULL
    if spec.kind is Arg.PTR_TO_MEM:
        type &= ~r.PKT_SLICE
    xchg = call.helper.role == "kptr_xchg"
    if xchg and at == 2 and type & r.ALLOC:
        type &= ~(r.ALLOC | r.PERCPU)
    fits = fitting(w.env.rules, spec)
    if spec.kind is Arg.PTR_TO_CTX and w.env.prog_type.ctx == "sch_bpf_ctx":
        fits = _qdisc_context(w, call)
        if type == r.BTF_ID | r.TRUSTED and type in fits and reg.what.name == "sk_buff":
            return reg
    if spec.kind is Arg.PTR_TO_MAP_VALUE and call.map is not None and call.map.type.gives == "socket":
        fits = fitting(w.env.rules, replace(spec, kind=Arg.PTR_TO_BTF_ID_SOCK_COMMON))
    if spec.kind is Arg.KPTR_XCHG_DEST and not w.env.rules.kptr_xchg_into_borrowed:
        fits = fits[:2]
    if fits is _MEM and w.env.rules.context_is_memory:
        fits = (*_MEM, r.CTX)
    if type not in fits:
        names = ", ".join(type_name(item) for item in fits)
        raise Refuse(p.ARGUMENT_TYPE, EACCES, f"R{at} type={type_name(reg.type)} expected={names}")
    if reg.type & r.BASE != r.BTF_ID:
        return reg
    if fits[:5] == _MEM[:5]:
        if not spec.rdonly:
            raise Refuse(p.READ_ONLY_MEMORY, EACCES,
                         f"{call.helper.name}() may write into memory pointed by R{at} "
                         f"type={type_name(reg.type)}")
        return reg
    _struct_fits(w, call, at, spec, reg)
    return reg


def _struct_fits(w: Walk, call: Call, at: int, spec: ArgSpec, reg: Reg) -> None:
    if spec.kind in (Arg.KPTR_XCHG_DEST, Arg.PTR_TO_SPIN_LOCK):
        return
    if reg.type & r.MAYBE_NULL and (not spec.maybe_null or spec.release):
        word = "R" if w.env.rules.register_names_in_messages else "arg"
        raise Refuse(p.NULL_ARGUMENT, EACCES, f"Possibly NULL pointer passed to helper {word}{at}")
    if call.helper.role == "kptr_xchg":
        assert call.kptr is not None
        btf_access.kptr_match(w, call.kptr, reg, at)
        return
    if spec.btf and (reg.what.btf is not None or reg.what.name != spec.btf):
        raise Refuse(p.ARGUMENT_TYPE, EACCES, f"R{at} is of type {reg.what.name} but {spec.btf} is expected")


def _offset(w: Walk, reg: Reg, at: int, spec: ArgSpec) -> None:
    """Check the offset of a pointer argument (check_func_arg_reg_off)."""
    if spec.release:
        if spec.kind is Arg.PTR_TO_DYNPTR and reg.type == r.STACK:
            return
        if reg.off or (w.env.rules.offset_in_var_off and (reg.num.mask or reg.num.value)):
            raise Refuse(p.MODIFIED_POINTER, EINVAL,
                         f"R{at} must have zero offset when passed to release func or trusted arg to kfunc")
        regions.unmodified(w, reg, at)
        return
    offset(w, reg, at)


def offset(w: Walk, reg: Reg, at: int) -> None:
    """Check pointers that may only be passed as they were given (check_func_arg_reg_off)."""
    if reg.type not in ANY_OFFSET and not (reg.type == r.CTX and w.env.prog_type.ctx_offsets == "any"):
        kernel_object = reg.type & r.BASE == r.BTF_ID and not reg.type & _NEVER_MOVED
        regions.unmodified(w, reg, at, fixed_ok=kernel_object)


def _released(w: Walk, call: Call, at: int, spec: ArgSpec, reg: Reg) -> None:
    if spec.kind is not Arg.PTR_TO_DYNPTR and not reg.ref and not is_null(reg):
        if w.env.rules.one_release_check:
            raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                         f"release helper {call.helper.name} expects referenced PTR_TO_BTF_ID passed to R{at}")
        raise Refuse(p.RELEASE_UNOWNED, EINVAL, f"R{at} must be referenced when passed to release function")
    call.release = at


# -- memory ---------------------------------------------------------------------------------------------------------


def memory(w: Walk, to: Access, use: Use, call: Call | None = None) -> None:
    """Check a helper's access to memory (check_helper_mem_access); record in `call` what it fills."""
    reg, at, _off, size = to
    write, zero_ok = use.write, use.zero_ok
    base = reg.type & r.BASE
    if base in r.PKT_TYPES:
        regions.packet(w, to, zero_ok)
    elif base == r.MAP_KEY:
        if write:
            raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"R{at} cannot write into {type_name(reg.type)}")
        regions.region(w, to, reg.what.key_size)
    elif base == r.MAP_VALUE:
        regions.map_rights(w, to, write)
        regions.map_value(w, to, zero_ok, direct=False)
    elif base == r.MEM:
        if write and reg.type & r.RDONLY:
            raise Refuse(p.READ_ONLY_MEMORY, EACCES, f"R{at} cannot write into {type_name(reg.type)}")
        regions.region(w, to, reg.what, zero_ok)
    elif base == r.STACK:
        if stack.for_helper(w, to, use) and call is not None:
            call.fill = (at, size)
    elif base == r.BTF_ID:
        btf_access.load(w, to)
    elif reg.type == r.CTX and w.env.prog_type.ctx_offsets == "any":
        regions.context(w, to, zero_ok)
    elif not (zero_ok and not size and is_null(reg)):
        raise Refuse(p.ARGUMENT_TYPE, EACCES, f"R{at} type={type_name(reg.type)} expected=fp")


def sized(w: Walk, reg: Reg, at: int, use: Use, call: Call | None = None) -> None:
    """Check a size argument R`at` and the memory in the register before it (check_mem_size_reg)."""
    num = reg.num
    if call is not None:
        call.max_size = num.umax
    if num.smin < 0:
        raise Refuse(p.SIZE_ARGUMENT, EACCES, f"R{at} min value is negative, either use unsigned or 'var &= const'",
                     reg=at)
    if not num.umin and not w.env.rules.names_zero_size:
        buffer = w.regs[at - 1]
        assert buffer is not None
        memory(w, Access(buffer, at - 1, 0, 0), use, call)
    elif not num.umin and not use.zero_ok:
        raise Refuse(p.ZERO_SIZE, EACCES, f"R{at} invalid zero-sized read: u64=[{num.umin},{num.umax}]", reg=at)
    if num.umax >= 1 << 29:
        raise Refuse(p.SIZE_ARGUMENT, EACCES,
                     f"R{at} unbounded memory access, use 'var &= const' or 'if (var < const)'", reg=at)
    buffer = w.regs[at - 1]
    assert buffer is not None
    memory(w, Access(buffer, at - 1, 0, num.umax), use if not num.mask else use._replace(uninit=False), call)
    w.precise(at)


def _map(w: Walk, call: Call, arg: HelperArgument) -> None:
    reg = arg.reg
    if call.map is not None and (call.map is not reg.what or call.map_uid != reg.aux):
        raise Refuse(p.FIELD_OF_MAP, EINVAL,
                     f"timer pointer in R1 map_uid={call.map_uid} doesn't match map pointer in R2 "
                     f"map_uid={reg.aux}")
    call.map, call.map_uid = reg.what, reg.aux


def _key(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    if call.map is None:
        raise unsupported("a map key without a map")
    memory(w, Access(reg, at, 0, call.map.key_size), Use())
    fixed = not call.map.flags & BPF_F_INNER_MAP  # an inner map may be replaced by one with fewer elements
    if call.map.type.has_all_keys and w.env.rules.elides_null_checks and fixed:
        call.const_key = _constant_key(w, reg, call.map.key_size)


def _constant_key(w: Walk, reg: Reg, size: int) -> int:
    """Return the key if it is a known number on the stack (get_constant_map_key), otherwise -1."""
    if reg.type != r.STACK or reg.num.mask:
        return -1
    at = -(reg.off + reg.num.smin) - 1
    frame = w.state.frames[reg.what]
    slot = frame.stack.get(at >> 3)
    if slot is None:
        return -1
    first = at & 7
    zeros = 0
    while first - zeros >= 0 and slot.types[first - zeros] == ZERO:
        zeros += 1
    if zeros >= size:
        return 0
    if slot.types[7] != SPILL or slot.reg.type != SCALAR:
        return -1
    spills = 0
    while first - spills >= 0 and slot.types[first - spills] == SPILL:
        spills += 1
    if spills != size or slot.reg.num.mask:
        return -1
    w.kept.mark_precise(frame.no, 0, 1 << (at >> 3))
    return int(slot.reg.num.value)


def _value(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, spec, _before, reg = arg
    if spec.maybe_null and is_null(reg):
        return
    if call.map is None:
        raise unsupported("a map value without a map")
    if call.map.type.gives == "socket" and reg.type & r.BASE in (
            r.SOCK_COMMON, r.SOCKET, r.TCP_SOCK, r.XDP_SOCK, r.BTF_ID):
        return
    memory(w, Access(reg, at, 0, call.map.value_size), Use(write=spec.write, uninit=spec.uninit), call)


def _memory(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, spec, _before, reg = arg
    if spec.size and not (spec.maybe_null and is_null(reg)):
        to = Access(reg, at, 0, spec.size)
        memory(w, to, Use(write=spec.write, uninit=spec.uninit), call)
        if spec.aligned:
            aligned(w, to, strict=True)


def _size(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, spec, before, reg = arg
    assert before is not None
    sized(w, reg, at, Use(before.write, spec.kind is Arg.CONST_SIZE_OR_ZERO, before.uninit), call)


def _alloc_size(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    if reg.num.mask:
        raise Refuse(p.CONSTANT_ARGUMENT, EACCES, f"R{at} is not a known constant'")
    call.mem_size = reg.num.value
    w.precise(at)


def _function(w: Walk, call: Call, arg: HelperArgument) -> None:
    reg = arg.reg
    call.subprog = reg.what


def _const_string(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    used = reg.what
    if not used.frozen:
        raise Refuse(p.CONSTANT_STRING, EACCES, f"R{at} does not point to a readonly map'")
    if reg.num.mask:
        raise Refuse(p.CONSTANT_STRING, EACCES, f"R{at} is not a constant address'")
    start = reg.off + reg.num.smin
    regions.map_value(w, Access(reg, at, 0, used.value_size - start))
    if b"\0" not in used.spec.data[start:]:
        raise Refuse(p.CONSTANT_STRING, EINVAL, "string is not zero-terminated")


def _spin_lock(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    locks.spin(w, reg, at, call.helper.role == "lock", "bpf_spin")


def _timer(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    locks.map_field(reg, at, "timer", "bpf_timer")
    if call.map is not None:
        raise unsupported("a timer argument after a map argument")
    call.map, call.map_uid = reg.what, reg.aux


def _kptr_dest(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, reg = arg.at, arg.reg
    locks.kptr_dest(w, call, reg, at)


def _dynptr(w: Walk, call: Call, arg: HelperArgument) -> None:
    at, spec, _before, reg = arg
    dynptrs.argument(w, call, at, spec, reg)


_HANDLERS = {
    Arg.CONST_MAP_PTR: _map, Arg.PTR_TO_MAP_KEY: _key, Arg.PTR_TO_MAP_VALUE: _value, Arg.PTR_TO_MEM: _memory,
    Arg.CONST_SIZE: _size, Arg.CONST_SIZE_OR_ZERO: _size, Arg.CONST_ALLOC_SIZE_OR_ZERO: _alloc_size,
    Arg.PTR_TO_FUNC: _function, Arg.PTR_TO_CONST_STR: _const_string, Arg.PTR_TO_SPIN_LOCK: _spin_lock,
    Arg.PTR_TO_TIMER: _timer, Arg.KPTR_XCHG_DEST: _kptr_dest, Arg.PTR_TO_DYNPTR: _dynptr,
}
