// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * dualpi2: a dual queue with coupled congestion signals (RFC 9332, appendix A). Packets of senders that react finely
 * (L4S, recognized by ECN bit 1) have a short queue, which goes first; those of classic senders have one that a PI
 * controller keeps at `target`. The classic probability p' ^ 2 and the L4S one 2 * p' belong together so that both kinds
 * of senders get equal rates.
 *
 * Teaches: two queues in one map, reading a header with bpf_skb_load_bytes(), probabilities without random numbers.
 *
 * The RFC's pseudocode decides as a packet leaves. A program is never lent a packet in dequeue, and cannot mark one that
 * it owns, so this one decides as a packet arrives, from the wait of the first packet of the queue.
 */
#include "ecn.h"
#include "fifos.h"

const volatile __u32 limit = 10000000;   /* bytes in both queues */
const volatile __u32 target = 15000;     /* us of waiting in the classic queue */
const volatile __u32 period = 16000000;  /* ns between changes of the probability (Tupdate) */
const volatile __u64 time_shift = 50000; /* us that a classic packet may wait longer than one of L4S */
const volatile __u32 min_wait = 800;     /* us: below this wait L4S packets are marked only by coupling */
const volatile __u32 wait_range = 400;   /* us: so much longer, all of them are */
const volatile __u32 coupling = 2;       /* k */

/* 1 in the scale of probabilities, in which all steps of the controller are whole numbers. */
#define ONE 25000000ULL
#define ALPHA 4 /* 0.16 Hz, times ONE, for each us */
#define BETA 80 /* 3.2 Hz */

enum { L4S, CLASSIC };

struct fifo l4s, classic;
__u64 base;        /* p' */
__u64 old_wait;    /* us, at the last change */
__u64 changed_at;
__u64 l4s_share, classic_share; /* fractions of a signal that are still due */
__u64 l4s_marks, classic_marks, classic_drops, overflows;

/* How long the first packet of a queue has waited, in us; 0 if there is none. */
static __always_inline __u64 wait_of(struct fifo *fifo, __u32 index, __u64 now)
{
	struct fifo_slot *slot = fifo_slot(index, fifo->first);

	return slot ? (now - slot->at) / 1000 : 0;
}

static __always_inline void add_to_base(__s64 step)
{
	__s64 after = base + step;

	base = after < 0 ? 0 : after > (__s64)ONE ? ONE : after;
}

/* Make up for the periods of the controller that have passed. */
static __always_inline void catch_up(__u64 now)
{
	__u64 wait, periods;
	__s64 step;

	if (!changed_at)
		changed_at = now;
	periods = (now - changed_at) / period;
	if (!periods)
		return;
	changed_at += periods * period;
	wait = wait_of(&classic, CLASSIC, now);
	step = (__s64)(wait - target) * ALPHA;
	add_to_base(step + (__s64)(wait - old_wait) * BETA);
	old_wait = wait;
	/* After the first period the wait has no trend, and ONE steps go from one end to the other. */
	add_to_base((__s64)(periods > ONE ? ONE : periods - 1) * step);
}

/* Is it this packet's turn, if one in 1 / `chance` gets a signal? Evenly spaced instead of at random (A.1, recur). */
static __always_inline int due(__u64 *share, __u64 chance)
{
	*share += chance;
	if (*share <= ONE)
		return 0;
	*share -= ONE;
	return 1;
}

/* The chance that the wait alone gives an L4S packet: a ramp. */
static __always_inline __u64 ramp(__u64 wait)
{
	if (wait <= min_wait)
		return 0;
	return wait >= min_wait + wait_range ? ONE : (wait - min_wait) * ONE / wait_range;
}

static __always_inline int enqueue_l4s(struct sch_bpf_ctx *ctx, __u64 now)
{
	__u64 coupled = base * coupling, native = ramp(wait_of(&l4s, L4S, now));

	if (coupled > ONE)
		coupled = ONE;
	if (due(&l4s_share, native > coupled ? native : coupled)) {
		bpf_skb_ecn_set_ce(ctx->skb);
		l4s_marks++;
	}
	return fifo_push(ctx, &l4s, L4S, now);
}

static __always_inline int enqueue_classic(struct sch_bpf_ctx *ctx, __u64 now)
{
	if (due(&classic_share, base * base / ONE)) {
		if (!bpf_skb_ecn_set_ce(ctx->skb)) {
			classic_drops++;
			return -1;
		}
		classic_marks++;
	}
	return fifo_push(ctx, &classic, CLASSIC, now);
}

SEC("sch_bpf/enqueue")
int dualpi2_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	int error;

	catch_up(now);
	if (l4s.bytes + classic.bytes + ctx->skb->len > limit) {
		overflows++;
		return SCH_BPF_DROP;
	}
	error = ecn_of(ctx->skb) & 1 ? enqueue_l4s(ctx, now) : enqueue_classic(ctx, now);
	return error ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int dualpi2_dequeue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct fifo_slot *fast, *slow, *slot;
	struct fifo *fifo = &classic;
	__u32 index = CLASSIC;

	catch_up(now);
	fast = fifo_slot(L4S, l4s.first);
	slow = fifo_slot(CLASSIC, classic.first);
	/* The one that has waited longer, if those of L4S had waited for time_shift already. */
	if (fast && (!slow || fast->at <= slow->at + time_shift * 1000)) {
		fifo = &l4s;
		index = L4S;
	}
	slot = fifo_slot(index, fifo->first);
	return slot ? fifo_send(ctx, fifo, index, slot) : SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
