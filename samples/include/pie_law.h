/* SPDX-License-Identifier: MIT */
/*
 * PIE, the proportional integral controller (RFC 8033, sections 4.1 to 4.4): a probability that follows from the
 * waiting time and its trend. Independent of the interface: mainline/pie.bpf.c and rfc/pie.bpf.c include it after the
 * header of theirs.
 *
 * The RFC has a timer; here the next packet that comes or goes makes up for the periods that have passed.
 */
#ifndef PIE_LAW_H
#define PIE_LAW_H

const volatile __u64 target = 15000000;     /* ns of waiting to aim at: QDELAY_REF */
const volatile __u64 period = 15000000;     /* ns between two changes of the probability: T_UPDATE */
const volatile __u64 max_burst = 150000000; /* ns in which nothing is dropped after a quiet time */
const volatile __u32 mean_packet = 1024;    /* bytes; a queue of two packets is no reason to drop */

/* 1 in the scale of `probability`: 2^11 * 8 * 10^9, in which all steps below are whole numbers. */
#define PIE_ONE 16384000000000ULL
#define PIE_PER_NS 2048ULL                  /* 0.125 Hz (alpha) times PIE_ONE, for each ns */
#define PIE_TREND_PER_NS 20480ULL           /* 1.25 Hz (beta) */
#define PIE_MOST_PERIODS 1000               /* made up for at once */

__u64 probability;
__u64 delay;     /* ns that the latest packet had to wait; 0 if none is left */
__u64 old_delay; /* at the last change */
__u64 burst_left;
__u64 changed_at;

/* Small steps while the probability is small (section 4.2, auto-tuning). */
static __always_inline __s64 pie_scaled(__s64 step)
{
	if (probability < PIE_ONE / 1000000)
		return step / 2048;
	if (probability < PIE_ONE / 100000)
		return step / 512;
	if (probability < PIE_ONE / 10000)
		return step / 128;
	if (probability < PIE_ONE / 1000)
		return step / 32;
	if (probability < PIE_ONE / 100)
		return step / 8;
	if (probability < PIE_ONE / 10)
		return step / 2;
	return step;
}

static long pie_change(__unused __u32 index, __unused void *ctx)
{
	__s64 step = (__s64)(delay - target) * PIE_PER_NS + (__s64)(delay - old_delay) * PIE_TREND_PER_NS;
	__s64 after = probability + pie_scaled(step);

	if (after < 0)
		after = 0;
	if (!delay && !old_delay)
		after -= (__u64)after / 50;
	if (after > (__s64)PIE_ONE)
		after = PIE_ONE;
	probability = after;
	old_delay = delay;
	burst_left = burst_left > period ? burst_left - period : 0;
	if (!probability && delay < target / 2 && old_delay < target / 2)
		burst_left = max_burst;
	return 0;
}

/* Make up for the periods that have passed. */
static __always_inline void pie_catch_up(__u64 now)
{
	__u64 periods;

	if (!changed_at) {
		changed_at = now;
		burst_left = max_burst;
	}
	periods = (now - changed_at) / period;
	if (!periods)
		return;
	changed_at += periods * period;
	bpf_loop(periods < PIE_MOST_PERIODS ? periods : PIE_MOST_PERIODS, pie_change, NULL, 0);
}

/* Is the packet that arrives at a queue of `backlog` bytes to be dropped (section 4.1)? */
static __always_inline __u32 pie_chooses(__u32 backlog)
{
	if (burst_left)
		return 0;
	if (old_delay < target / 2 && probability < PIE_ONE / 5)
		return 0;
	if (backlog <= 2 * mean_packet)
		return 0;
	/* A random number below PIE_ONE, in 32 bits of which PIE_ONE >> 20 is the rest. */
	return (bpf_get_prandom_u32() * (PIE_ONE >> 20)) >> 12 < probability;
}

#endif
