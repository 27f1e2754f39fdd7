/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "queue.h"
/* reads of kernel structs: dev, sock, casts, CO-RE helpers, probe reads, cb fields; writes of cb and tstamp */
u64 r[16]; char name[16];
struct sk_buff___x { u32 nothing; } __attribute__((preserve_access_index));
struct sk_buff___y { u32 mark; } __attribute__((preserve_access_index));
ENQ(e) {
	struct net_device *dev = skb->dev; struct qdisc_skb_cb *cb = qcb(skb); u32 x;
	r[0] = dev ? dev->mtu : 0; 
	r[2] = sch->dev_queue->dev->mtu; r[3] = sch->handle; r[4] = sch->parent; r[5] = sch->flags & 4;
	r[6] = skb->protocol; r[7] = skb->len - skb->data_len; r[8] = skb->pkt_type; r[9] = skb->queue_mapping; r[10] = cb->pkt_len;
	r[11] = bpf_core_field_exists(((struct sk_buff___x *)skb)->nothing) + 2 * bpf_core_field_exists(((struct sk_buff___y *)skb)->mark) + bpf_core_type_size(struct qdisc_skb_cb) * 10;
	bpf_probe_read_kernel_str(name, sizeof(name), sch->ops->id); r[12] = name[0] + name[2];
	x = BPF_CORE_READ(skb, dev, mtu); r[13] = x;
	*(u32 *)&cb->data[4] = skb->len; cb->data[19] = 7; skb->tstamp = 5 + skb->priority; r[14] = *(u32 *)&cb->data[4] + cb->data[19] + skb->tstamp;
	r[15] = BPF_CORE_READ_BITFIELD(skb, ip_summed) + BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type);
	sch->qstats.overlimits = r[0] + r[2] + r[3] + r[4] + r[5] + r[6] + r[7] + r[8] + r[9] + r[10] + r[11];
	sch->qstats.requeues = r[12] + r[13] + r[14] + r[15];
	return q_in(skb, sch, to_free);
}
DEQ(d) { struct sk_buff *s = q_out(sch); if (s) sch->qstats.qlen = qcb(s)->data[4]; return s; }
NOINIT(i, 10)
OPS(o, "v_reads", e, d, i, q_reset, q_destroy);
