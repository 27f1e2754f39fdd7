// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * codel: controlled delay (RFC 8289). When packets have waited longer than `target` for a whole `interval`, it drops
 * one, and then more and more often, until the wait is below `target` again.
 *
 * Teaches: a time stamp on each packet, dropping in dequeue (where bpf_qdisc_skb_drop() is not allowed and
 * bpf_kfree_skb() is), state between packets, a square root without floating point.
 */
#include "packet.h"

const volatile __u64 target = 5 * 1000 * NSEC_PER_USEC;      /* ns of waiting that are accepted */
const volatile __u64 interval = 100 * 1000 * NSEC_PER_USEC;  /* ns: about the longest round-trip time */
const volatile __u32 limit = 1000;                           /* packets */
const volatile __u32 mtu = 1514;                             /* a backlog of one packet is no reason to drop */

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(packet, link);

/* The packet that is about to leave: a callback cannot return one. */
private(B) struct sk_buff __kptr *found;

/* The variables of RFC 8289, section 5. */
__u64 first_above; /* when the wait will have been above `target` for an interval; 0 if it is not above */
__u64 drop_next;   /* when to drop the next packet */
__u32 count;       /* packets dropped since it began to drop */
__u32 last_count;  /* `count` when it began */
bool dropping;

SEC("struct_ops/codel_enqueue")
int codel_enqueue(__u64 *ctx)
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

static __always_inline struct packet *queue_pop(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	return first ? container_of(first, struct packet, link) : NULL;
}

/* Newton's method: 30 rounds are enough for every 48-bit number, and a fixed number of them needs no test. */
static __always_inline u64 square_root(u64 n)
{
	u64 x = n;
	u32 i;

	for (i = 0; i < 30; i++)
		x = (x + n / x) / 2;
	return x;
}

/* When to drop next: the more packets have been dropped, the sooner. */
static __always_inline u64 control_law(u64 t)
{
	/* interval / sqrt(count), with the root scaled by 2^8. */
	return t + (interval << 8) / square_root(((u64)count << 16) | 1);
}

/* What a dequeue hands on from step to step. */
struct step {
	struct Qdisc *sch;
	u64 now;
	bool ok_to_drop;
};

/* Take the next packet into `found`, and find out whether it has waited too long. */
static __always_inline bool take(struct step *step)
{
	struct packet *packet = queue_pop();
	struct sk_buff *skb;
	u64 waited;

	step->ok_to_drop = false;
	if (!packet) {
		first_above = 0;
		return false;
	}
	waited = step->now - packet->at;
	count_out(step->sch, packet->len);
	if (waited < target || step->sch->qstats.backlog <= mtu)
		first_above = 0;
	else if (!first_above)
		first_above = step->now + interval;
	else
		step->ok_to_drop = step->now >= first_above;
	skb = packet_unwrap(packet);
	/* What is put into a kptr must not be NULL, unless it is the constant. */
	if (skb)
		skb = bpf_kptr_xchg(&found, skb);
	if (skb)
		bpf_kfree_skb(skb);
	return true;
}

static __always_inline void drop_found(struct Qdisc *sch)
{
	struct sk_buff *skb = bpf_kptr_xchg(&found, NULL);

	if (!skb)
		return;
	sch->qstats.drops++;
	bpf_kfree_skb(skb);
}

/* Drop what is due in the dropping state. Return 1 when the packet in `found` may leave, or none is left. */
static long drop_due(__unused __u32 index, struct step *step)
{
	if (!dropping || step->now < drop_next)
		return 1;
	drop_found(step->sch);
	count++;
	take(step);
	if (step->ok_to_drop)
		drop_next = control_law(drop_next);
	else
		dropping = false;
	return 0;
}

/* The first drop after a time without. */
static __always_inline void begin_to_drop(struct step *step)
{
	u32 since = count - last_count;

	drop_found(step->sch);
	take(step);
	dropping = true;
	/* If it has been dropping until a moment ago, start with the frequency that worked then. */
	count = since > 1 && step->now - drop_next < 16 * interval ? since : 1;
	drop_next = control_law(step->now);
	last_count = count;
}

SEC("struct_ops/codel_dequeue")
struct sk_buff *codel_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct step step = { .sch = sch, .now = bpf_ktime_get_ns() };
	struct sk_buff *skb;

	if (!take(&step)) {
		dropping = false;
		return NULL;
	}
	if (!dropping) {
		if (step.ok_to_drop)
			begin_to_drop(&step);
	} else if (!step.ok_to_drop) {
		dropping = false;
	} else {
		bpf_loop(sch->q.qlen + 1, drop_due, &step, 0);
	}
	skb = bpf_kptr_xchg(&found, NULL);
	if (!skb)
		return NULL;
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

SEC("struct_ops/codel_init")
int codel_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

static long drop_first(__unused __u32 index, __unused void *ctx)
{
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return 1;
	skb = packet_unwrap(packet);
	if (skb)
		bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/codel_reset")
void codel_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(sch->q.qlen, drop_first, NULL, 0);
	sch->q.qlen = 0;
	first_above = 0;
	drop_next = 0;
	count = 0;
	last_count = 0;
	dropping = false;
}

SEC("struct_ops/codel_destroy")
void codel_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops codel = {
	.enqueue = (void *)codel_enqueue,
	.dequeue = (void *)codel_dequeue,
	.init = (void *)codel_init,
	.reset = (void *)codel_reset,
	.destroy = (void *)codel_destroy,
	.id = "bpf_codel",
};

LICENSE("Dual MIT/GPL");
