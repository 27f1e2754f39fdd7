// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * tbf: two token buckets in a row. On average `rate` bytes a second leave, at most `burst` bytes at once, and those at
 * no more than `peakrate`. Tokens are counted in ns, the time in which that many bytes pass at the rate of the bucket.
 *
 * Teaches: looking at the first packet of a queue and leaving it there, THROTTLE until there are enough tokens.
 * shaper.bpf.c has one bucket and decides on arrival; the twin for mainline is mainline/tbf.bpf.c.
 */
#include "fifos.h"

const volatile __u64 rate = 250000;      /* bytes a second: 2 Mbit/s */
const volatile __u32 burst = 10000;      /* bytes; a longer packet can never leave, and is dropped */
const volatile __u64 peakrate = 0;       /* bytes a second; 0 for no second bucket */
const volatile __u32 mtu = 2000;         /* bytes, the size of the second bucket */
const volatile __u32 limit = 100 * 1514; /* bytes that may wait */

struct fifo queue;
__s64 tokens;      /* ns */
__s64 peak_tokens; /* ns */
__u64 counted_at;  /* when both were right; 0 before the first packet */
__u64 throttled;

static __always_inline __s64 price(__u64 bytes, __u64 per_second)
{
	return bytes * NSEC_PER_SEC / per_second;
}

/* What is in a bucket that nothing was taken from for `passed` ns. */
static __always_inline __s64 refilled(__s64 before, __u64 passed, __s64 size)
{
	__s64 now = before + passed;

	return now > size ? size : now;
}

SEC("sch_bpf/enqueue")
int tbf_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 len = ctx->skb->len;

	if (len > burst || (peakrate && len > mtu) || queue.bytes + len > limit)
		return SCH_BPF_DROP;
	return fifo_push(ctx, &queue, 0, 0) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int tbf_dequeue(struct sch_bpf_ctx *ctx)
{
	struct fifo_slot *slot = fifo_slot(0, queue.first);
	__s64 left, peak_left = 0, missing = 0;
	__u64 now = bpf_ktime_get_ns();

	if (!slot)
		return SCH_BPF_DROP;
	if (!counted_at) {
		/* Both buckets are full at first. */
		tokens = price(burst, rate);
		peak_tokens = peakrate ? price(mtu, peakrate) : 0;
		counted_at = now;
	}
	left = refilled(tokens, now - counted_at, price(burst, rate)) - price(slot->len, rate);
	if (peakrate)
		peak_left = refilled(peak_tokens, now - counted_at, price(mtu, peakrate)) -
			    price(slot->len, peakrate);
	if (left < 0)
		missing = -left;
	if (peak_left < 0 && -peak_left > missing)
		missing = -peak_left;
	if (missing) {
		throttled++;
		ctx->delay = missing;
		return SCH_BPF_THROTTLE;
	}
	tokens = left;
	peak_tokens = peak_left;
	counted_at = now;
	return fifo_send(ctx, &queue, 0, slot);
}

LICENSE("Dual MIT/GPL");
