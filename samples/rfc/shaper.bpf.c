// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * shaper: a token bucket. On average no more than `rate` bytes a second leave, at most `burst` bytes at once.
 *
 * Each packet gets its time of departure as it arrives (the model of "earliest departure time"), and that is its
 * rank. Dequeue looks at the first packet only: when its time has not come, THROTTLE says when to ask again.
 *
 * Teaches: THROTTLE and ctx->delay, time as a rank, state kept between packets.
 */
#include "pifo.h"

const volatile __u64 rate = 250000;  /* bytes a second: 2 Mbit/s */
const volatile __u64 burst = 10000;  /* bytes */
const volatile __u32 limit = 1000;   /* packets */

__u64 dropped;
__u64 throttled;

/*
 * When the bucket will be full again, in ns. A bucket is full at any later time, so that one number is the whole
 * state, and no timer has to refill anything.
 */
__u64 full_at;

static __u64 bytes_to_ns(__u64 bytes)
{
	return bytes * NSEC_PER_SEC / rate;
}

SEC("sch_bpf/enqueue")
int shaper_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 after = (full_at > now ? full_at : now) + bytes_to_ns(ctx->skb->len);
	__u64 saved = bytes_to_ns(burst);
	__u64 departure = after > saved ? after - saved : 0;

	if (pifo_len >= limit || pifo_push(ctx, departure)) {
		dropped++;
		return SCH_BPF_DROP;
	}
	full_at = after; /* only a packet that got in uses tokens up */
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int shaper_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};
	__u64 departure, now;

	if (!pifo_first(&first))
		return SCH_BPF_DROP;
	departure = bpf_be64_to_cpu(first.rank);
	now = bpf_ktime_get_ns();
	if (departure > now) {
		throttled++;
		ctx->delay = departure - now;
		return SCH_BPF_THROTTLE;
	}
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
