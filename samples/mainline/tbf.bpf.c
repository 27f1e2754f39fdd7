// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * tbf: two token buckets in a row. On average `rate` bytes a second leave, at most `burst` bytes at once, and those at
 * no more than `peakrate`. Nothing has to refill a bucket: what has come in since the last time follows from the clock.
 *
 * Tokens are counted in ns, the time in which that many bytes pass at the rate of the bucket, so that a packet's price
 * is all that has to be divided.
 *
 * Teaches: looking at the first packet of a list, the watchdog, a limit in bytes.
 */
#include "queue.h"

const volatile __u64 rate = 250000;      /* bytes a second: 2 Mbit/s */
const volatile __u32 burst = 10000;      /* bytes; a longer packet can never leave, and is dropped */
const volatile __u64 peakrate = 0;       /* bytes a second; 0 for no second bucket */
const volatile __u32 mtu = 2000;         /* bytes, the size of the second bucket */
const volatile __u32 limit = 100 * 1514; /* bytes that may wait */

s64 tokens;      /* ns */
s64 peak_tokens; /* ns */
u64 counted_at;  /* when both were right */
bool started;

static __always_inline s64 price(u64 bytes, u64 per_second)
{
	return bytes * NSEC_PER_SEC / per_second;
}

/* What is in a bucket that nothing was taken from for `passed` ns. */
static __always_inline s64 refilled(s64 before, u64 passed, s64 size)
{
	s64 now = before + passed;

	return now > size ? size : now;
}

SEC("struct_ops/tbf_enqueue")
int tbf_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);

	if (len > burst || (peakrate && len > mtu) || (u64)sch->qstats.backlog + len > limit)
		return drop(sch, skb, to_free);
	return queue_push(sch, skb, to_free);
}

SEC("struct_ops/tbf_dequeue")
struct sk_buff *tbf_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u32 len = queue_first_len();
	u64 now = bpf_ktime_get_ns();
	s64 left, peak_left = 0, missing = 0;
	struct packet *packet;

	if (!len)
		return NULL;
	if (!started) {
		/* Both buckets are full at first. */
		tokens = price(burst, rate);
		peak_tokens = peakrate ? price(mtu, peakrate) : 0;
		counted_at = now;
		started = true;
	}
	left = refilled(tokens, now - counted_at, price(burst, rate)) - price(len, rate);
	if (peakrate)
		peak_left = refilled(peak_tokens, now - counted_at, price(mtu, peakrate)) - price(len, peakrate);
	if (left < 0)
		missing = -left;
	if (peak_left < 0 && -peak_left > missing)
		missing = -peak_left;
	if (missing) {
		sch->qstats.overlimits++;
		bpf_qdisc_watchdog_schedule(sch, now + missing, 0);
		return NULL;
	}
	packet = queue_pop();
	if (!packet)
		return NULL;
	tokens = left;
	peak_tokens = peak_left;
	counted_at = now;
	return queue_send(sch, packet);
}

SEC("struct_ops/tbf_init")
int tbf_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/tbf_reset")
void tbf_reset(__u64 *ctx)
{
	queue_reset((void *)ctx[0]);
	started = false;
}

SEC("struct_ops/tbf_destroy")
void tbf_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops tbf = {
	.enqueue = (void *)tbf_enqueue,
	.dequeue = (void *)tbf_dequeue,
	.init = (void *)tbf_init,
	.reset = (void *)tbf_reset,
	.destroy = (void *)tbf_destroy,
	.id = "bpf_tbf",
};

LICENSE("Dual MIT/GPL");
