"""What section names say."""

from __future__ import annotations

import pytest

from ebpfvm.loader.sections import BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS, classify, section_names


@pytest.mark.parametrize(("name", "type_", "attach", "attach_type"), [
    ("sch_bpf/enqueue", "qdisc", "enqueue", ""),
    ("sch_bpf/dequeue", "qdisc", "dequeue", ""),
    ("qdisc/enqueue", "qdisc", "enqueue", ""),
    ("qdisc/dequeue", "qdisc", "dequeue", ""),
    ("socket", "socket_filter", "", ""),
    ("tc", "sched_cls", "", ""),
    ("tc/ingress", "sched_cls", "ingress", "tcx_ingress"),
    ("tcx/egress", "sched_cls", "egress", "tcx_egress"),
    ("classifier", "sched_cls", "", ""),
    ("action", "sched_act", "", ""),
    ("netkit/peer", "sched_cls", "netkit/peer", "netkit_peer"),
    ("xdp", "xdp", "", "xdp"),
    ("xdp/cpumap", "xdp", "cpumap", "xdp_cpumap"),
    ("cgroup_skb/ingress", "cgroup_skb", "ingress", "cgroup_inet_ingress"),
    ("cgroup/skb", "cgroup_skb", "cgroup/skb", ""),
    ("cgroup/connect4", "cgroup_sock_addr", "cgroup/connect4", "cgroup_inet4_connect"),
    ("cgroup/recvmsg_unix", "cgroup_sock_addr", "cgroup/recvmsg_unix", "cgroup_unix_recvmsg"),
    ("cgroup/sock", "cgroup_sock", "cgroup/sock", "cgroup_inet_sock_create"),
    ("cgroup/dev", "cgroup_device", "cgroup/dev", "cgroup_device"),
    ("sk_skb/stream_verdict", "sk_skb", "stream_verdict", "sk_skb_stream_verdict"),
    ("sk_skb", "sk_skb", "", ""),
    ("sk_msg", "sk_msg", "", "sk_msg_verdict"),
    ("sk_lookup", "sk_lookup", "", "sk_lookup"),
    ("sk_reuseport/migrate", "sk_reuseport", "migrate", "sk_reuseport_select_or_migrate"),
    ("sockops", "sock_ops", "", "cgroup_sock_ops"),
    ("lwt_seg6local", "lwt_seg6local", "", ""),
    ("flow_dissector", "flow_dissector", "", "flow_dissector"),
    ("kprobe/tcp_sendmsg", "kprobe", "kprobe/tcp_sendmsg", ""),
    ("kprobe", "kprobe", "", ""),
    ("kprobe.multi/tcp_*", "kprobe", "kprobe.multi/tcp_*", "trace_kprobe_multi"),
    ("tracepoint/net/netif_rx", "tracepoint", "tracepoint/net/netif_rx", ""),
    ("raw_tp/netif_rx", "raw_tracepoint", "raw_tp/netif_rx", ""),
    ("raw_tp.w/x", "raw_tracepoint_writable", "raw_tp.w/x", ""),
    ("fentry/f", "tracing", "fentry/f", "trace_fentry"),
    ("tp_btf/f", "tracing", "tp_btf/f", "trace_raw_tp"),
    ("lsm/file_open", "lsm", "lsm/file_open", "lsm_mac"),
    ("iter/task", "tracing", "iter/task", "trace_iter"),
    ("struct_ops/enqueue", "struct_ops", "enqueue", ""),
    ("struct_ops", "struct_ops", "", ""),
    ("netfilter", "netfilter", "", "netfilter"),
    ("perf_event", "perf_event", "", ""),
])
def test_known_names(name: str, type_: str, attach: str, attach_type: str) -> None:
    kind = classify(name)
    assert (kind.type, kind.attach, kind.attach_type) == (type_, attach, attach_type)
    assert (kind.autoload, kind.note) == (True, "")


@pytest.mark.parametrize("name", ["lsm.s/file_open", "fentry.s/f", "iter.s/task", "uprobe.s/x", "struct_ops.s/x",
                                  "syscall"])
def test_sleepable_names(name: str) -> None:
    kind = classify(name)
    assert kind.sleepable and kind.flags == BPF_F_SLEEPABLE and kind.type


def test_xdp_frags_is_a_flag() -> None:
    assert classify("xdp.frags").flags == BPF_F_XDP_HAS_FRAGS
    assert classify("xdp.frags/devmap")[:3] == ("xdp", "devmap", "xdp_devmap")


def test_a_question_mark_turns_automatic_loading_off() -> None:
    kind = classify("?tc")
    assert (kind.type, kind.autoload, kind.note) == ("sched_cls", False, "")


@pytest.mark.parametrize(("name", "type_"), [
    ("socket1", "socket_filter"), ("xdp_prog", "xdp"), ("xdp/anything", "xdp"), ("classifier/in", "sched_cls"),
    ("tc-egress", "sched_cls"), ("cgroup/connect4/x", "cgroup_sock_addr"), ("sk_skb/2", "sk_skb"),
])
def test_names_that_begin_with_a_known_one_are_taken_with_a_note(name: str, type_: str) -> None:
    kind = classify(name)
    assert kind.type == type_
    assert "before libbpf 1.0" in kind.note


@pytest.mark.parametrize("name", ["tail", "0/1", "prog", "maps", "from-container", "tcp_acl", "sockets", "fexits/x",
                                  ""])
def test_names_that_say_nothing(name: str) -> None:
    kind = classify(name)
    assert (kind.type, kind.attach) == ("", "")
    assert "says no program type" in kind.note


def test_every_name_of_the_table_is_understood() -> None:
    assert len(section_names()) > 100
    for name in section_names():
        stem = name.rstrip("+")
        assert classify(stem).note == ""
        if name.endswith("+"):
            assert classify(stem + "/x").type == classify(stem).type
