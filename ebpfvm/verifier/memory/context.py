"""What fields of the context hold, and what may be stored in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, pointer
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.special_fields import StructType

if TYPE_CHECKING:
    from ebpfvm.contract.progtype import CtxField
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.walk import Walk

_MOST_ARGUMENTS = 12  # MAX_BPF_FUNC_ARGS
_PACKET = {"pkt": r.PKT, "pkt_meta": r.PKT_META, "pkt_end": r.PKT_END}
_SOCK = {"sock_common_or_null": r.SOCK_COMMON | r.MAYBE_NULL, "sock_or_null": r.SOCKET | r.MAYBE_NULL,
         "sock": r.SOCKET}


def value(w: Walk, item: CtxField) -> Reg:
    """Return what a read of a context field yields."""
    kind = item.access
    if kind == "scalar":
        return UNKNOWN_SCALAR
    if kind in _PACKET:
        return pointer(_PACKET[kind], 0 if kind != "pkt_end" else None)
    if kind == "skb":
        # In dequeue, where it may be written, it is NULL at first, and later a packet that the program no longer owns.
        return UNKNOWN_SCALAR if item.write else pointer(r.BTF_ID | r.TRUSTED, StructType("sk_buff"))
    if kind in _SOCK:
        type = _SOCK[kind]
        return pointer(type, id=w.new_id() if type & r.MAYBE_NULL else 0)
    if kind == "flow_keys":
        return pointer(r.FLOW_KEYS)
    if kind == "tp_buffer":
        return pointer(r.TP_BUFFER)
    if kind == "btf":
        return _object(w, item)
    raise Refuse(p.UNSUPPORTED, EINVAL, f"context field {item.name} not supported by ebpfvm")


def _object(w: Walk, item: CtxField) -> Reg:
    """Return a pointer to an object of the kernel, which the program may own (`__ref`)."""
    if item.argument and w.log.on:
        w.log.note(_described(w, item))
    ref = w.owned[item.name] if item.owned else 0
    if item.owned and references.find(w.state, ref) is None:
        raise Refuse(p.CONTEXT_ACCESS, EACCES,
                     f"invalid bpf_context access off={item.off}. Reference may already be released")
    null = r.MAYBE_NULL if item.maybe_null else 0
    return pointer(r.BTF_ID | r.TRUSTED | null, StructType(item.struct), id=w.new_id() if null else 0, ref=ref)


def misread(w: Walk, off: int, size: int) -> tuple[str, ...]:
    """Return what the log says of a read that hits no argument of a struct_ops program (btf_ctx_access)."""
    place, kind = w.env.program.struct_ops, w.env.prog_type
    if place is None or off % 8 or not 0 <= off < _MOST_ARGUMENTS * 8:
        return ()
    count, at = len(kind.fields), off // 8
    if at < count:
        return (f"func '{place[1]}' size {size} must be 8",) if size != 8 else ()
    # Behind the arguments, a tracing program finds what the function has returned.
    missing = count + 1 if at == count and not kind.returns_void else count + 2
    return (f"func '{place[1]}' doesn't have {missing}-th argument",)


def _described(w: Walk, item: CtxField) -> str:
    """Return what the log says about an argument whose type was looked up in the prototype (btf_ctx_access)."""
    types = w.env.dialect.types
    number = types().find(item.struct, Kind.STRUCT) if types is not None else None
    return f"{item.argument} has btf_id {number or 0} type STRUCT '{item.struct}'"


def give_packet(w: Walk, value: Reg | None, off: int, size: int) -> None:
    """Store a packet in `ctx->skb` (RFC dialect): only NULL or an owned packet, which is transferred (decision D3)."""
    message = f"invalid bpf_context access off={off} size={size}"
    if value is None or value.type == r.SCALAR:
        if value is not None and not value.num.mask and not value.num.value:
            return
        raise Refuse(p.CONTEXT_ACCESS, EACCES, message, source=True)
    owned = value.type & r.BASE == r.BTF_ID and value.ref and not value.type & r.MAYBE_NULL
    if not owned or value.what.name != "sk_buff" or value.off or value.num.mask or value.num.value:
        raise Refuse(p.CONTEXT_ACCESS, EACCES, message, source=True)
    references.release(w, value.ref)
