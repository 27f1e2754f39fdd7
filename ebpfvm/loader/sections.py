"""What a section's name says about the program in it.

The names are libbpf's (`section_defs` in tools/lib/bpf/libbpf.c, Linux 7.2), plus those of the packet scheduler RFC:
`sch_bpf/enqueue|dequeue` (the samples of its fifth version) and `qdisc/enqueue|dequeue` (of its seventh). libbpf
before 1.0 also accepted any name that begins with a known one, and tc's own loader any name at all. Both still occur in
objects, so they are read with a note.
"""

from __future__ import annotations

from ebpfvm.lazy_tuples import NamedTuple

BPF_F_SLEEPABLE = 1 << 4
BPF_F_XDP_HAS_FRAGS = 1 << 5

# One line per program type: "type: name[=attach type] ...". A name ending in "+" may stand alone or be followed by
# "/anything"; others stand for themselves. Attach types are the kernel's names without BPF_, in lower case.
_TABLE = """
qdisc: sch_bpf/enqueue sch_bpf/dequeue qdisc/enqueue qdisc/dequeue
task_sched: task_sched/enqueue task_sched/pick
socket_filter: socket
sk_reuseport: sk_reuseport/migrate=sk_reuseport_select_or_migrate sk_reuseport=sk_reuseport_select
kprobe: kprobe+ uprobe+ uprobe.s+ kretprobe+ uretprobe+ uretprobe.s+ kprobe.multi+=trace_kprobe_multi
kprobe: kretprobe.multi+=trace_kprobe_multi kprobe.session+=trace_kprobe_session uprobe.multi+=trace_uprobe_multi
kprobe: uretprobe.multi+=trace_uprobe_multi uprobe.session+=trace_uprobe_session uprobe.multi.s+=trace_uprobe_multi
kprobe: uretprobe.multi.s+=trace_uprobe_multi uprobe.session.s+=trace_uprobe_session ksyscall+ kretsyscall+ usdt+
kprobe: usdt.s+
sched_cls: tc/ingress=tcx_ingress tc/egress=tcx_egress tcx/ingress=tcx_ingress tcx/egress=tcx_egress tc classifier
sched_cls: netkit/primary=netkit_primary netkit/peer=netkit_peer
sched_act: action
tracepoint: tracepoint+ tp+
raw_tracepoint: raw_tracepoint+ raw_tp+
raw_tracepoint_writable: raw_tracepoint.w+ raw_tp.w+
tracing: tp_btf+=trace_raw_tp fentry+=trace_fentry fmod_ret+=modify_return fexit+=trace_fexit
tracing: fentry.s+=trace_fentry fmod_ret.s+=modify_return fexit.s+=trace_fexit iter+=trace_iter iter.s+=trace_iter
tracing: fsession+=trace_fsession fsession.s+=trace_fsession
ext: freplace+
lsm: lsm+=lsm_mac lsm.s+=lsm_mac lsm_cgroup+=lsm_cgroup
syscall: syscall
xdp: xdp.frags/devmap=xdp_devmap xdp/devmap=xdp_devmap xdp.frags/cpumap=xdp_cpumap xdp/cpumap=xdp_cpumap
xdp: xdp.frags=xdp xdp=xdp
perf_event: perf_event
lwt_in: lwt_in
lwt_out: lwt_out
lwt_xmit: lwt_xmit
lwt_seg6local: lwt_seg6local
sock_ops: sockops=cgroup_sock_ops
sk_skb: sk_skb/stream_parser=sk_skb_stream_parser sk_skb/stream_verdict=sk_skb_stream_verdict
sk_skb: sk_skb/verdict=sk_skb_verdict sk_skb
sk_msg: sk_msg=sk_msg_verdict
lirc_mode2: lirc_mode2=lirc_mode2
flow_dissector: flow_dissector=flow_dissector
cgroup_skb: cgroup_skb/ingress=cgroup_inet_ingress cgroup_skb/egress=cgroup_inet_egress cgroup/skb
cgroup_sock: cgroup/sock_create=cgroup_inet_sock_create cgroup/sock_release=cgroup_inet_sock_release
cgroup_sock: cgroup/sock=cgroup_inet_sock_create cgroup/post_bind4=cgroup_inet4_post_bind
cgroup_sock: cgroup/post_bind6=cgroup_inet6_post_bind
cgroup_sock_addr: cgroup/bind4=cgroup_inet4_bind cgroup/bind6=cgroup_inet6_bind
cgroup_sock_addr: cgroup/connect4=cgroup_inet4_connect cgroup/connect6=cgroup_inet6_connect
cgroup_sock_addr: cgroup/connect_unix=cgroup_unix_connect cgroup/sendmsg4=cgroup_udp4_sendmsg
cgroup_sock_addr: cgroup/sendmsg6=cgroup_udp6_sendmsg cgroup/sendmsg_unix=cgroup_unix_sendmsg
cgroup_sock_addr: cgroup/recvmsg4=cgroup_udp4_recvmsg cgroup/recvmsg6=cgroup_udp6_recvmsg
cgroup_sock_addr: cgroup/recvmsg_unix=cgroup_unix_recvmsg cgroup/getpeername4=cgroup_inet4_getpeername
cgroup_sock_addr: cgroup/getpeername6=cgroup_inet6_getpeername cgroup/getpeername_unix=cgroup_unix_getpeername
cgroup_sock_addr: cgroup/getsockname4=cgroup_inet4_getsockname cgroup/getsockname6=cgroup_inet6_getsockname
cgroup_sock_addr: cgroup/getsockname_unix=cgroup_unix_getsockname
cgroup_sysctl: cgroup/sysctl=cgroup_sysctl
cgroup_sockopt: cgroup/getsockopt=cgroup_getsockopt cgroup/setsockopt=cgroup_setsockopt
cgroup_device: cgroup/dev=cgroup_device
struct_ops: struct_ops+ struct_ops.s+
sk_lookup: sk_lookup=sk_lookup
netfilter: netfilter=netfilter
"""

# First parts that only name the type; only the rest of the name is recorded.
_SELF_EVIDENT = frozenset(("sch_bpf", "qdisc", "task_sched", "tc", "tcx", "xdp", "xdp.frags", "cgroup_skb", "sk_skb",
                           "sk_reuseport", "struct_ops", "struct_ops.s"))


class SectionKind(NamedTuple):
    """The meaning of a section name.

    Attributes:
        type: program type by the kernel's name in lower case; "" if the name implies none.
        attach: what the name adds to the type: "enqueue", "ingress", "cgroup/connect4", "fentry/do_unlinkat".
        attach_type: the kernel's expected attach type in lower case without BPF_, "" for none.
        sleepable: whether the name requests a sleepable program.
        flags: BPF_F_* program load flags that the name implies.
        autoload: False for names with a leading "?".
        note: an assumption that was made, or "".
    """

    type: str
    attach: str = ""
    attach_type: str = ""
    sleepable: bool = False
    flags: int = 0
    autoload: bool = True
    note: str = ""


def _rows() -> dict[str, tuple[str, str]]:
    rows = {}
    for line in _TABLE.strip().splitlines():
        type_, names = line.split(":")
        for item in names.split():
            name, _, attach_type = item.partition("=")
            rows[name] = (type_, attach_type)
    return rows


_ROWS = _rows()


def section_names() -> tuple[str, ...]:
    """Return all known names; those that may be followed by "/anything" end in "+"."""
    return tuple(_ROWS)


def section_types() -> frozenset[str]:
    """Return the program types that a section's name can say."""
    return frozenset(type_ for type_, _ in _ROWS.values())


def classify(section: str) -> SectionKind:
    """Return the meaning of a section name.

    >>> classify("sch_bpf/enqueue")[:2], classify("cgroup/connect4")[:3]
    (('qdisc', 'enqueue'), ('cgroup_sock_addr', 'cgroup/connect4', 'cgroup_inet4_connect'))
    """
    name = section.removeprefix("?")
    note = ""
    key = _exact(name)
    if key is None:
        key = _sloppy(name)
        note = f"section {section!r}: " + (
            f"taken for {_ROWS[key][0]}, as loaders before libbpf 1.0 took names that begin with {key.rstrip('+')!r}"
            if key else "the name says no program type; give one when you verify or run it")
    if key is None:
        return SectionKind("", autoload=name == section, note=note)
    type_, attach_type = _ROWS[key]
    head, _, rest = name.partition("/")
    attach = rest if head in _SELF_EVIDENT else name if rest else ""
    sleepable = head.endswith(".s") or type_ == "syscall"
    flags = (BPF_F_SLEEPABLE if sleepable else 0) | (BPF_F_XDP_HAS_FRAGS if head == "xdp.frags" else 0)
    return SectionKind(type_, attach, attach_type, sleepable, flags, name == section, note)


def _exact(name: str) -> str | None:
    if name in _ROWS:
        return name
    key = name.partition("/")[0] + "+"
    return key if key in _ROWS else None


def _sloppy(name: str) -> str | None:
    """Return the longest known name that `name` begins with, where the next character is not a letter."""
    best = ""
    for key in _ROWS:
        stem = key.rstrip("+")
        if len(stem) > len(best.rstrip("+")) and name.startswith(stem) and not name[len(stem):][:1].isalpha():
            best = key
    return best or None
