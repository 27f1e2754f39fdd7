// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pacer: first in, first out, at one rate. A packet of `len` bytes keeps the link for len / rate, and the next one
 * waits that long, so packets leave evenly spaced.
 *
 * Teaches: a qdisc that has packets and sends none, and the watchdog that asks again when the time has come. Its twin
 * for the RFC's interface is rfc/shaper.bpf.c, which lets bursts through.
 */
#include "packet.h"

const volatile __u64 rate = 250000;  /* bytes a second: 2 Mbit/s */
const volatile __u32 limit = 1000;   /* packets */

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(packet, link);

__u64 next;      /* when the next packet may leave, in ns */
__u64 throttled; /* how often a packet had to wait */

SEC("struct_ops/pacer_enqueue")
int pacer_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet;

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

/* The first packet, which the caller then owns, or NULL. */
static __always_inline struct sk_buff *queue_pop(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	return first ? packet_unwrap(container_of(first, struct packet, link)) : NULL;
}

SEC("struct_ops/pacer_dequeue")
struct sk_buff *pacer_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u64 now = bpf_ktime_get_ns();
	struct sk_buff *skb;
	u32 len;

	if (!sch->q.qlen)
		return NULL;
	if (now < next) {
		/* NULL with packets waiting: nobody calls again before the next packet arrives, unless we ask for it. */
		bpf_qdisc_watchdog_schedule(sch, next, 0);
		throttled++;
		return NULL;
	}
	skb = queue_pop();
	if (!skb)
		return NULL;
	len = qdisc_pkt_len(skb);
	/* Counted from now: a link that was idle owes nothing. */
	next = now + len * NSEC_PER_SEC / rate;
	count_out(sch, len);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

SEC("struct_ops/pacer_init")
int pacer_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

static long drop_first(__unused __u32 index, __unused void *ctx)
{
	struct sk_buff *skb = queue_pop();

	if (!skb)
		return 1;
	bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/pacer_reset")
void pacer_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	/* The kernel itself cancels the watchdog. */
	bpf_loop(sch->q.qlen, drop_first, NULL, 0);
	sch->q.qlen = 0;
	next = 0;
}

SEC("struct_ops/pacer_destroy")
void pacer_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops pacer = {
	.enqueue = (void *)pacer_enqueue,
	.dequeue = (void *)pacer_dequeue,
	.init = (void *)pacer_init,
	.reset = (void *)pacer_reset,
	.destroy = (void *)pacer_destroy,
	.id = "bpf_pacer",
};

LICENSE("Dual MIT/GPL");
