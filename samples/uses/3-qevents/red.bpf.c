// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * red: random early detection whose decisions are the program's own, so there is nothing to attach a "qevent" to: the
 * same lines that decide to drop early or to mark also tell of it and act on it.
 *
 *     early drop  a copy goes to the monitoring device, as `qevent early_drop ... mirred` would send it
 *     mark        congestion experienced is set in the IP header, if the sender understands ECN
 *     both        a record for user space in a ring buffer, and counters by flow in a hash map
 *
 * Teaches: helpers that change a packet, copies to another device, a ring buffer.
 */
#include "../../rfc/pifo.h"

static long (*const bpf_clone_redirect)(struct __sk_buff *skb, __u32 ifindex, __u64 flags) = (void *)13;
static long (*const bpf_skb_ecn_set_ce)(struct __sk_buff *skb) = (void *)97;
static long (*const bpf_ringbuf_output)(void *ringbuf, void *data, __u64 size, __u64 flags) = (void *)130;

const volatile __u32 limit = 100;    /* packets */
const volatile __u32 min_th = 10;    /* of the average, packets: below it nothing happens */
const volatile __u32 max_th = 60;    /* above it everything does */
const volatile __u32 max_p = 10;     /* one of so many is hit just below max_th */
const volatile __u32 monitor = 3;    /* ifindex that gets a copy of early drops, 0 for none */

enum { EARLY_DROP = 1, MARK = 2, TAIL_DROP = 3 };

struct event {
	__u64 time;
	__u32 kind;
	__u32 flow;
	__u32 len;
	__u32 average; /* packets, in 256ths */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

struct counters {
	__u64 kind[4]; /* 0: passed */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* hash of the flow */
	__type(value, struct counters);
} flows SEC(".maps");

__u32 average; /* exponentially weighted, in 256ths of a packet */
__u64 early_drops, marks, tail_drops, copies;

static __noinline int tell(struct sch_bpf_ctx *ctx, __u32 kind)
{
	struct event event = {
		.time = bpf_ktime_get_ns(), .kind = kind, .flow = bpf_get_hash_recalc(ctx->skb),
		.len = ctx->skb->len, .average = average,
	};
	struct counters fresh = {}, *counters = bpf_map_lookup_elem(&flows, &event.flow);

	if (!counters) {
		bpf_map_update_elem(&flows, &event.flow, &fresh, BPF_NOEXIST);
		counters = bpf_map_lookup_elem(&flows, &event.flow);
	}
	if (counters)
		counters->kind[kind & 3]++;
	if (kind)
		bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

/* Does RED hit this packet? */
static __noinline int hit(__u32 queued)
{
	__u32 low = min_th << 8, high = max_th << 8;

	average = average - (average >> 4) + (queued << 4);
	if (average < low)
		return 0;
	if (average >= high || high <= low)
		return 1;
	return bpf_get_prandom_u32() % ((high - low) * max_p) < average - low;
}

SEC("sch_bpf/enqueue")
int red_enqueue(struct sch_bpf_ctx *ctx)
{
	if (pifo_len >= limit) {
		tail_drops++;
		tell(ctx, TAIL_DROP);
		return SCH_BPF_DROP;
	}
	if (hit(pifo_len)) {
		if (bpf_skb_ecn_set_ce(ctx->skb) > 0) {
			marks++;
			tell(ctx, MARK);
		} else {
			early_drops++;
			tell(ctx, EARLY_DROP);
			if (monitor && !bpf_clone_redirect(ctx->skb, monitor, 0))
				copies++;
			return SCH_BPF_DROP;
		}
	} else {
		tell(ctx, 0);
	}
	return pifo_push(ctx, 0) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int red_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
