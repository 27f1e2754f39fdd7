"""The words of tc(8) and of the manual pages of its kinds (iproute2 7.0).

Messages and the page docs/reference/tc-words.md tell by them what is a word of `tc` that ebpfvm lacks.
"""

from __future__ import annotations

from typing import Final

PROGRAM_OPTIONS: Final = (
    "statistics", "details", "raw", "pretty", "iec", "graph", "force", "oneline", "names", "Netns", "color", "json",
    "batch", "timestamp", "tshort", "brief", "conf", "Version")
OBJECTS: Final = ("qdisc", "class", "filter", "actions", "chain", "monitor", "exec")
OPTIONS: Final = ("est", "estimator")
"""What may stand before the kind of a qdisc or class."""
WORDS: Final[dict[str, dict[str, str]]] = {
    "program": {"tc": " ".join((*(f"-{word}" for word in PROGRAM_OPTIONS), *OBJECTS)),
                "stab": "stab mtu tsize mpu overhead linklayer", "estimator": "est estimator"},
    "qdiscs": {
        "bfifo": "limit",
        "pfifo": "limit",
        "pfifo_head_drop": "limit",
        "pfifo_fast": "",
        "bpf": "",
        "blackhole": "",
        "noqueue": "",
        "multiq": "",
        "taprio": "num_tc map queues base-time sched-entry clockid",
        "mqprio": "num_tc map queues hw mode shaper",
        "mq": "",
        "clsact": "",
        "ingress": "",
        "dualpi2": "",
        "cake": "bandwidth unlimited autorate-ingress rtt datacentre lan metro regional internet oceanic satellite "
                "interplanetary besteffort precedence diffserv8 diffserv4 diffserv3 flowblind srchost dsthost hosts "
                "flows dual-srchost dual-dsthost triple-isolate nat nonat wash nowash split-gso no-split-gso "
                "ack-filter ack-filter-aggressive no-ack-filter memlimit fwmark atm ptm noatm overhead conservative "
                "raw mpu ingress egress ethernet ether-vlan docsis pppoe-ptm bridged-ptm via-ethernet pppoa-vcmux "
                "pppoa-llc pppoe-vcmux pppoe-llcsnap bridged-vcmux bridged-llcsnap ipoa-vcmux ipoa-llcsnap",
        "cbs": "idleslope sendslope hicredit locredit offload",
        "choke": "limit min max avpkt burst bandwidth probability ecn",
        "codel": "limit target interval ecn noecn ce_threshold",
        "drr": "",
        "etf": "clockid delta deadline_mode offload skip_sock_check",
        "ets": "bands strict quanta priomap",
        "fq": "limit flow_limit quantum initial_quantum maxrate buckets orphan_mask pacing nopacing refill_delay "
              "low_rate_threshold ce_threshold timer_slack horizon horizon_cap horizon_drop bands priomap weights "
              "defrate offload_horizon",
        "fq_codel": "limit flows target interval quantum ecn noecn ce_threshold ce_threshold_selector memory_limit "
                    "drop_batch",
        "fq_pie": "limit flows target tupdate alpha beta quantum memory_limit ecn_prob ecn noecn bytemode "
                  "nobytemode dq_rate_estimator no_dq_rate_estimator",
        "gred": "setup vqs DPs default grio limit min max avpkt burst DP vq prio bandwidth probability ecn harddrop",
        "hfsc": "default",
        "hhf": "limit quantum hh_limit reset_timeout admit_bytes evict_timeout non_hh_weight",
        "htb": "default r2q direct_qlen offload",
        "netem": "limit delay latency distribution loss drop random state gemodel ecn corrupt duplicate reorder gap "
                 "rate slot packets bytes seed",
        "pie": "limit target tupdate alpha beta ecn noecn bytemode nobytemode dq_rate_estimator "
               "no_dq_rate_estimator",
        "plug": "limit block release release_indefinite",
        "prio": "bands priomap multiqueue",
        "qfq": "",
        "red": "limit min max avpkt burst bandwidth probability ecn harddrop nodrop adaptive adaptative qevent",
        "sfq": "limit perturb quantum flows depth headdrop divisor redflowlimit min max avpkt burst probability ecn "
               "harddrop",
        "skbprio": "limit",
        "tbf": "limit latency rate burst buffer maxburst peakrate mtu minburst mpu overhead linklayer"},
    "classes": {
        "drr": "quantum",
        "ets": "quantum",
        "hfsc": "rt ls sc ul m1 d m2 umax dmax rate",
        "htb": "rate ceil burst buffer maxburst cburst cbuffer cmaxburst prio quantum mtu mpu overhead linklayer",
        "qfq": "weight maxpkt"},
    "filters": {
        "basic": "match cmp u32 meta nbyte ipset ipt text canid classid flowid",
        "bpf": "obj object object-file section sec export verbose direct-action da skip_hw skip_sw bytecode "
               "bytecode-file",
        "cgroup": "",
        "flow": "hash map key keys divisor rshift and or xor addend perturb baseclass",
        "flower": "dst_mac src_mac vlan_id vlan_prio vlan_ethtype cvlan_id cvlan_prio cvlan_ethtype mpls_label "
                  "mpls_tc mpls_bos mpls_ttl ip_proto ip_tos ip_ttl dst_ip src_ip dst_port src_port tcp_flags type "
                  "code arp_tip arp_sip arp_op arp_sha arp_tha enc_key_id enc_dst_ip enc_src_ip enc_dst_port "
                  "geneve_opts ip_flags ct_state ct_zone ct_mark ct_label indev hw_tc classid skip_hw skip_sw "
                  "verbose l2tpv3_sid cfm spi",
        "fw": "classid flowid indev",
        "matchall": "classid skip_hw skip_sw",
        "route": "",
        "tcindex": "",
        "u32": "match ht link hashkey mask at divisor order sample offset shift plus eat indev classid flowid "
               "skip_hw skip_sw mark ip ip6 tcp udp icmp ether u8 u16 u32"},
    "actions": {
        "bpf": "object-file obj section sec bytecode",
        "connmark": "zone",
        "csum": "ip4h icmp igmp tcp udp udplite sctp and",
        "ct": "",
        "ctinfo": "dscp cpmark zone",
        "gate": "",
        "gact": "random determ netrand",
        "ife": "",
        "mirred": "ingress egress mirror redirect dev blockid",
        "mpls": "",
        "nat": "ingress egress",
        "pedit": "ex munge offset u8 u16 u32 set add invert clear preserve dec retain ip ip6 eth tcp udp icmp at",
        "police": "rate burst mtu minburst mpu peakrate overhead linklayer pkts_rate pkts_burst avrate "
                  "conform-exceed",
        "sample": "rate group trunc index",
        "simple": "sdata",
        "skbedit": "queue_mapping skbhash priority mark ptype inheritdsfield",
        "skbmod": "set dmac smac etype swap mac ecn",
        "tunnel_key": "",
        "vlan": "push pop modify pop_eth push_eth id protocol priority dst_mac src_mac",
        "xt": ""}}
"""Subject -> its words; a subject without any is looked up as a whole."""

WHY: Final = {
    "est": "rates are not estimated (estimator); `ebpfvm run` reports the rate of each flow",
    "estimator": "rates are not estimated (estimator); `ebpfvm run` reports the rate of each flow",
    "tc": "they change what is printed, or name what ebpfvm has none of: other namespaces, colours, files of names",
    "htb": "there is no hardware",
    "fq": "`defrate` is ignored by kernels, and there is no hardware",
    "mqprio": "there is no hardware with queues of its own",
    "taprio": "schedules of gates are not modelled",
    "tcindex": "Linux removed it in 6.3",
    "dualpi2": "`samples/rfc/dualpi2.o` is such a discipline",
    "cgroup": "there are no control groups",
    "route": "there are no routes",
    "flower": "packets carry no labels, tunnels or tracked connections",
    "tunnel_key": "packets carry no tunnels",
    "mpls": "packets carry no labels",
    "xt": "Linux removed it in 6.8",
    "ct": "connections are not tracked"}
"""Subject -> why some of its words are rejected, if not for lack of a model."""


def manual_words(title: str, subject: str = "") -> frozenset[str]:
    """Return the words of a subject, or of all subjects of a table and their names."""
    if subject:
        return frozenset(WORDS[title].get(subject, "").split())
    found = {word for words in WORDS[title].values() for word in words.split()}
    return frozenset(found | set(WORDS[title]))
