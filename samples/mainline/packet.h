/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the samples of this folder share: an object that stands for a waiting packet. Lists and trees link objects of
 * the program, not packets, so each packet that waits is owned by one of these.
 */
#ifndef PACKET_H
#define PACKET_H

#include "bpf_qdisc.h"

struct packet {
	struct bpf_list_node link;
	struct sk_buff __kptr *skb;
	u64 at; /* when it arrived */
	u32 len;
};

/*
 * Put a packet that enqueue owns into an object. If there is no memory, drop the packet and return NULL: it is no
 * longer the caller's in either case.
 */
static __always_inline struct packet *packet_wrap(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free)
{
	struct packet *packet = bpf_obj_new(struct packet);
	struct sk_buff *none;

	if (!packet) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NULL;
	}
	/* All fields have to be set: memory that has been in use before is not zeroed. */
	packet->at = bpf_ktime_get_ns();
	packet->len = qdisc_pkt_len(skb);
	none = bpf_kptr_xchg(&packet->skb, skb);
	/* Always NULL, since the object is new, but the verifier does not know. */
	if (none)
		bpf_qdisc_skb_drop(none, to_free);
	return packet;
}

/* Take the packet out of its object, which is dropped. The caller owns the packet. */
static __always_inline struct sk_buff *packet_unwrap(struct packet *packet)
{
	struct sk_buff *skb = bpf_kptr_xchg(&packet->skb, NULL);

	bpf_obj_drop(packet);
	return skb;
}

/*
 * The kernel counts nothing for a program: what enters and leaves has to be counted here, or `tc -s qdisc` shows
 * nothing and other parts of the kernel take the qdisc for empty.
 */
static __always_inline void count_in(struct Qdisc *sch, u32 len)
{
	sch->q.qlen++;
	sch->qstats.backlog += len;
}

static __always_inline void count_out(struct Qdisc *sch, u32 len)
{
	sch->q.qlen--;
	sch->qstats.backlog -= len;
}

/* Drop a packet that enqueue owns, and return what enqueue then has to return. */
static __always_inline int drop(struct Qdisc *sch, struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free)
{
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}

#endif
