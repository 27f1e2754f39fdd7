"""bpf_cast_to_kern_ctx and bpf_rdonly_cast: other views of a pointer (check_special_kfunc, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Struct
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.domain.width import SIGN32, U32_MAX
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, is_null, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.memory import regions

if TYPE_CHECKING:
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk

# By program type; the contexts of tracepoints and of syscall programs are no structs.
_CONTEXTS = {
    "xdp": "xdp_buff", "sock_ops": "bpf_sock_ops_kern", "sk_msg": "sk_msg", "cgroup_sock": "sock",
    "cgroup_sock_addr": "bpf_sock_addr_kern", "cgroup_sysctl": "bpf_sysctl_kern", "cgroup_sockopt": "bpf_sockopt_kern",
    "cgroup_device": "bpf_cgroup_dev_ctx", "sk_lookup": "bpf_sk_lookup_kern", "netfilter": "bpf_nf_ctx",
    "sk_reuseport": "sk_reuseport_kern", "flow_dissector": "bpf_flow_dissector", "kprobe": "pt_regs",
    "perf_event": "bpf_perf_event_data_kern",
}
_MOST_TYPES = 1 << 20  # no kernel has so many: a larger id is invalid


def to_kernel_context(w: Walk, made: KfuncCall, after: int) -> int:
    """Set R0 to the context as the kernel sees it."""
    reg = w.regs[1]
    if w.env.rules.kfuncs_trust_arguments and reg is not None and is_null(reg):
        raise Refuse(p.NULL_ARGUMENT, EACCES, "Possibly NULL pointer passed to trusted R1")
    if reg is None or reg.type != r.CTX:
        found = r.type_name(reg.type) if reg is not None else ""
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{w.env.rules.argument(1)} expected pointer to ctx, but got {found}")
    regions.unmodified(w, reg, 1)
    kind = w.env.prog_type
    name = _CONTEXTS.get(kind.name, "sk_buff" if kind.ctx == "__sk_buff" else None)
    if name is None:
        raise unsupported(f"the kernel's context of {kind.name} programs")
    w.clobber(w.frame)
    w.regs[0] = pointer(r.BTF_ID | r.TRUSTED, StructType(name))
    return after


def to_read_only(w: Walk, made: KfuncCall, after: int) -> int:
    """Set R0 to a read-only pointer to a kernel struct, or to bytes, at any given address."""
    reg = w.regs[2]
    if reg is None or reg.type != SCALAR:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, "R2 is not a scalar")
    if reg.num.mask:
        raise Refuse(p.CONSTANT_ARGUMENT, EINVAL, "R2 must be a known constant")
    w.precise(2)
    number = reg.num.value
    w.clobber(w.frame)
    if not number:
        w.regs[0] = pointer(r.MEM | r.RDONLY | r.UNTRUSTED, 0)
        return after
    if number >= _MOST_TYPES:
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL,
                     f"Unknown type ID {(number & U32_MAX ^ SIGN32) - SIGN32} passed to kfunc bpf_rdonly_cast")
    types = w.env.dialect.types
    if types is None or not w.env.kernel_ids:
        raise unsupported("a kernel type given by its BTF ID")
    found = types()[number]
    if not isinstance(found, Struct):
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void")
    w.regs[0] = pointer(r.BTF_ID | r.UNTRUSTED, StructType(found.name))
    return after
