"""Program types by their numbers (uapi/linux/bpf.h, include/linux/bpf_types.h, Linux 7.2).

Besides the context, a type determines whether programs access packets directly (may_access_direct_pkt_data), whether
they may use LD_ABS (may_access_skb), and what they may return (check_return_code; all in kernel/bpf/verifier.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import ProgType
from ebpfvm.contract.offer_table import OfferTable
from ebpfvm.contract.progtype import Writable
from ebpfvm.dialects import contexts as c
from ebpfvm.dialects import helpers, kfuncs
from ebpfvm.dialects.helpers import helpers_of, hook_helpers_of, variants_of
from ebpfvm.dialects.kfuncs import kfuncs_of
from ebpfvm.dialects.offers import LINUX_6_18, OFFERS, Offers
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_NET = frozenset({"net_admin"})
_PERF = frozenset({"perfmon"})
_UNPRIV = frozenset({"unpriv"})
_BOOL = (0, 1)


def _hooks(prefix: str, hooks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hooks by their names with and without the prefix, as in "connect4" and "cgroup/connect4"."""
    return {key: value for hook, value in hooks.items() for key in (hook, f"{prefix}/{hook}")}


def _type(name: str, ctx: str = "", size: int = 0, fields: tuple[Any, ...] = (), **more: Any) -> ProgType:
    for table, where in ((helpers.BY_TYPE, "helpers"), (kfuncs.BY_TYPE, "kfuncs")):
        if name not in table:
            raise InternalError(f"program type {name!r} has no row in BY_TYPE of ebpfvm/dialects/{where}.py, which "
                                f"says which {where} only some types may call; the row may be empty")
    return ProgType(name, ctx, size, fields, helpers=helpers_of(name, LINUX_6_18), variants=variants_of(name),
                    kfuncs=kfuncs_of(name, LINUX_6_18), **more)


def _skb(name: str, fields: tuple[Any, ...], *, read: bool = True, write: bool = False, **more: Any) -> ProgType:
    return _type(name, "__sk_buff", c.SK_BUFF_SIZE, fields, packet_read=read, helper_packet_read=read,
                 packet_write=write, **more)


_ADDR_RETURNS = _hooks("cgroup", {
    **dict.fromkeys(("bind4", "bind6"), (0, 3)),
    **dict.fromkeys((f"{hook}{version}" for hook in ("recvmsg", "getpeername", "getsockname") for version in "46"),
                    (1, 1)),
    **dict.fromkeys(("recvmsg_unix", "getpeername_unix", "getsockname_unix"), (1, 1)),
})
_SESSION_RETURNS = dict.fromkeys(("trace_kprobe_session", "trace_uprobe_session"), _BOOL)
_TRACING_RETURNS: dict[str, tuple[int, int] | None] = {
    "trace_raw_tp": None, "trace_iter": _BOOL,
    **dict.fromkeys(("trace_fentry", "trace_fexit", "trace_fsession"), (0, 0)),
}

_CONNTRACK = dict.fromkeys(("nf_conn", "nf_conn___init"), (Writable("mark"),))

_LIST: Final = (
    _type("unspec", judged=False),
    _skb("socket_filter", c.SOCKET_FILTER, read=False, ld_abs=True, caps=_UNPRIV),
    _type("kprobe", "pt_regs", 168, c.PT_REGS, attach_returns=_SESSION_RETURNS, sleep="may", traces=True, caps=_PERF),
    _skb("sched_cls", c.SCHED_CLS, write=True, ld_abs=True, writable=_CONNTRACK, caps=_NET),
    _skb("sched_act", c.SCHED_CLS, write=True, ld_abs=True, writable=_CONNTRACK, caps=_NET),
    _type("tracepoint", "", 8192, c.TRACEPOINT, traces=True, caps=_PERF),
    _type("xdp", "xdp_md", c.XDP_MD_SIZE, c.XDP, attach_fields=_hooks("xdp", {"devmap": c.XDP_DEVMAP}),
          packet_read=True, helper_packet_read=True, packet_write=True, writable=_CONNTRACK, caps=_NET),
    _type("perf_event", "bpf_perf_event_data", 184, c.PERF_EVENT, traces=True, caps=_PERF),
    _skb("cgroup_skb", c.CGROUP_SKB, returns=_BOOL, attach_returns=_hooks("cgroup_skb", {"egress": (0, 3)}),
         caps=_UNPRIV),
    _type("cgroup_sock", "bpf_sock", c.BPF_SOCK_SIZE, c.BPF_SOCK, returns=_BOOL,
          attach_fields=_hooks("cgroup", {"post_bind4": c.BPF_SOCK_POST_BIND4, "post_bind6": c.BPF_SOCK_POST_BIND6}),
          caps=_NET),
    _skb("lwt_in", c.LWT, caps=_NET),
    _skb("lwt_out", c.LWT, caps=_NET),
    _skb("lwt_xmit", c.LWT, write=True, caps=_NET),
    _type("sock_ops", "bpf_sock_ops", c.BPF_SOCK_OPS_SIZE, c.BPF_SOCK_OPS, packet_read=True, returns=_BOOL,
          caps=_NET),
    _skb("sk_skb", c.SK_SKB, write=True, caps=_NET),
    _type("cgroup_device", "bpf_cgroup_dev_ctx", 12, c.CGROUP_DEV, returns=_BOOL, caps=_NET),
    _type("sk_msg", "sk_msg_md", c.SK_MSG_MD_SIZE, c.SK_MSG_MD, packet_read=True, helper_packet_read=True,
          packet_write=True, caps=_NET),
    _type("raw_tracepoint", "bpf_raw_tracepoint_args", 96, c.RAW_TRACEPOINT, traces=True, caps=_PERF),
    _type("cgroup_sock_addr", "bpf_sock_addr", c.BPF_SOCK_ADDR_SIZE, c.BPF_SOCK_ADDR,
          attach_fields=_hooks("cgroup", c.sock_addr_hooks()), returns=_BOOL, attach_returns=_ADDR_RETURNS, caps=_NET),
    _skb("lwt_seg6local", c.LWT, caps=_NET),
    _type("lirc_mode2", "", 4, c.LIRC, judged=False, caps=_NET),
    _type("sk_reuseport", "sk_reuseport_md", c.SK_REUSEPORT_MD_SIZE, c.SK_REUSEPORT_MD, packet_read=True,
          helper_packet_read=True, caps=_NET),
    _skb("flow_dissector", c.FLOW_DISSECTOR, caps=_NET),
    _type("cgroup_sysctl", "bpf_sysctl", 8, c.SYSCTL, returns=_BOOL, caps=_NET),
    _type("raw_tracepoint_writable", "bpf_raw_tracepoint_args", 96, c.RAW_TRACEPOINT_WRITABLE, traces=True, caps=_PERF),
    _type("cgroup_sockopt", "bpf_sockopt", 40, c.SOCKOPT, packet_read=True, helper_packet_read=True,
          packet_write=True, attach_fields=_hooks("cgroup", {"setsockopt": c.SOCKOPT_SET, "getsockopt": c.SOCKOPT_GET}),
          returns=_BOOL, caps=_NET),
    _type("tracing", "", 0, args="arguments of the traced function", attach_returns=_TRACING_RETURNS, sleep="may",
          caps=_PERF),
    _type("struct_ops", "", 0, judged=False, fills=True, sleep="may", caps=_NET | _PERF),
    _type("ext", "", 0, judged=False, caps=_NET | _PERF),
    _type("lsm", "", 0, judged=False, sleep="may", caps=_PERF),
    _type("sk_lookup", "bpf_sk_lookup", c.SK_LOOKUP_SIZE, c.SK_LOOKUP, returns=_BOOL, caps=_NET),
    _type("syscall", "", 65535, c.SYSCALL, sleep="must"),
    _type("netfilter", "bpf_nf_ctx", 16, c.NF_CTX, returns=_BOOL, caps=_NET),
)

PROG_TYPES: Final = dict(enumerate(_LIST))
NAMES: Final = {number: item.name for number, item in PROG_TYPES.items()}
_BY_NAME: Final = {item.name: item for item in _LIST}


def check(types: Collection[ProgType], sections: Collection[str]) -> None:
    """Check that program types are complete, and that no table names a type or a helper that does not exist.

    Args:
        sections: program types that section names can denote.

    Raises:
        InternalError: something is missing or misspelled.
    """
    names = {item.name for item in types}
    for item in types:
        if item.judged and not (item.fields or item.args):
            raise InternalError(f"program type {item.name!r} has no context: give it fields, which are declared in "
                                "ebpfvm/dialects/contexts.py, or `args` or `judged=False`")
        if item.fields and item.fields[-1].end > item.ctx_size:
            raise InternalError(f"program type {item.name!r}: {item.fields[-1].name!r} ends at {item.fields[-1].end}, "
                                f"after the {item.ctx_size} bytes of its context")
        if item.name not in {*sections, "unspec"}:
            raise InternalError(f"program type {item.name!r} has no section name in ebpfvm/loader/sections.py (_TABLE)")
        for helper in sorted(item.helpers.union(*item.attach_helpers.values()) - set(helpers.BY_NAME.all())):
            raise InternalError(f"program type {item.name!r} may call the helper {helper!r}, which does not exist")
    for where, table in _tables().items():
        for name in sorted(set(table) - names):
            raise InternalError(f"{where} names the program type {name!r}, which ebpfvm/dialects/progtypes.py lacks")


def _tables() -> dict[str, Collection[str]]:
    """Return the tables that are keyed by program type, by their names."""
    tables: dict[str, Collection[str]] = {
        "BY_TYPE of ebpfvm/dialects/helpers.py": helpers.BY_TYPE,
        "BY_HOOK of ebpfvm/dialects/helpers.py": helpers.BY_HOOK,
        "BY_TYPE of ebpfvm/dialects/kfuncs.py": kfuncs.BY_TYPE}
    for (major, minor), offers in OFFERS.items():
        for field in ("more_helpers", "more_hook_helpers", "kfuncs_as", "ctx_offsets", "writes_context"):
            tables[f"`{field}` of Linux {major}.{minor} in ebpfvm/dialects/offers.py"] = getattr(offers, field)
    return tables


def offered(offers: Offers) -> OfferTable[int, ProgType]:
    """Return the program types of a mainline version."""
    names = {number: name for number, name in NAMES.items() if name not in offers.lacks_types}
    return OfferTable(names, lambda name: _as_offered(_BY_NAME[name], offers))


def _as_offered(item: ProgType, offers: Offers) -> ProgType:
    writes, lacks = item.name in offers.writes_context, offers.lacks_fields.get(item.name, frozenset())
    fields = tuple(replace(field, write=True) for field in item.fields) if writes else item.fields
    return replace(item, helpers=helpers_of(item.name, offers), attach_helpers=hook_helpers_of(item.name, offers),
                   kfuncs=kfuncs_of(item.name, offers), ctx_offsets=offers.ctx_offsets.get(item.name, ""),
                   fields=tuple(field for field in fields if field.name not in lacks) if lacks else fields)


def with_base(name: str, base: frozenset[str]) -> ProgType:
    """Return the program type of a name with another kernel's base set of helpers."""
    item = _BY_NAME[name]
    return replace(item, helpers=frozenset(base | (helpers_of(name, LINUX_6_18, base) & item.helpers)))
