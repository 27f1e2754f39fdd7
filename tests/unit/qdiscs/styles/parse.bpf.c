/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* parses headers with dynptrs; class by port and protocol; counts in an LRU map */
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; };
private(A) struct bpf_spin_lock lock; private(A) struct bpf_list_head hi __contains(pk, l); private(A) struct bpf_list_head lo __contains(pk, l);
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 128); __type(key, u16); __type(value, u64); } ports SEC(".maps");
u64 short_packets, parsed, first_bytes;
static __noinline int classify(struct sk_buff *skb) { return 0; }
ENQ(e) {
	struct bpf_dynptr d; struct iphdr *ip, ipbuf; struct udphdr *udp, ubuf; struct pk *p; u64 one = 1, *n; u16 port = 0; int high = 0;
	u8 raw[4] = {};
	bpf_dynptr_from_skb((void *)skb, 0, &d);
	if (bpf_dynptr_size(&d) < 28) short_packets++;
	ip = bpf_dynptr_slice(&d, 0, &ipbuf, sizeof(ipbuf));
	if (ip && ip->version == 4) {
		parsed++;
		udp = bpf_dynptr_slice(&d, ip->ihl * 4, &ubuf, sizeof(ubuf));
		if (udp) port = bpf_ntohs(udp->dest);
		high = ip->tos >= 0x20;
	}
	if (!bpf_dynptr_read(raw, sizeof(raw), &d, 0, 0)) first_bytes += raw[0];
	n = bpf_map_lookup_elem(&ports, &port);
	if (n) __sync_fetch_and_add(n, 1); else bpf_map_update_elem(&ports, &port, &one, 0);
	if (port == 2003) goto out;
	p = new(struct pk);
	if (!p) goto out;
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&lock);
	if (high) push_back(&hi, &p->l); else push_back(&lo, &p->l);
	bpf_spin_unlock(&lock);
	return 0;
out:
	sch->qstats.drops++; sch->qstats.overlimits = port;
	bpf_qdisc_skb_drop(skb, to_free);
	return 1;
}
DEQ(d) {
	struct bpf_list_node *n; struct pk *p; struct sk_buff *skb;
	bpf_spin_lock(&lock);
	n = bpf_list_pop_front(&hi);
	if (!n) n = bpf_list_pop_front(&lo);
	bpf_spin_unlock(&lock);
	if (!n) return 0;
	p = container_of(n, struct pk, l);
	skb = bpf_kptr_xchg(&p->skb, NULL);
	drop(p);
	if (skb) { sch->q.qlen--; sch->qstats.backlog -= plen(skb); bpf_qdisc_bstats_update(sch, skb); }
	return skb;
}
NOINIT(i, 1000)
VOIDOP(r) { int i; bpf_for(i, 0, 200) { struct bpf_list_node *n; 
	bpf_spin_lock(&lock); n = bpf_list_pop_front(&hi); if (!n) n = bpf_list_pop_front(&lo); bpf_spin_unlock(&lock); if (!n) break; drop(container_of(n, struct pk, l)); } sch->q.qlen = 0; }
VOIDOP(x) { }
OPS(o, "v_parse", e, d, i, r, x);
