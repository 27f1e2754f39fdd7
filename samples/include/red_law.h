/* SPDX-License-Identifier: MIT */
/*
 * Random early detection (Floyd and Jacobson, 1993): the average length of a queue, and which arrivals it chooses.
 * Independent of the interface: mainline/red.bpf.c and rfc/red.bpf.c include it after the header of theirs.
 */
#ifndef RED_LAW_H
#define RED_LAW_H

const volatile __u32 min_packets = 5;      /* below this average none is chosen */
const volatile __u32 max_packets = 15;     /* from this average on all are */
const volatile __u32 one_in = 50;          /* just below max_packets, one of so many is chosen */
const volatile __u32 weight = 9;           /* an arrival moves the average by 2^-weight of the difference */
const volatile __u64 packet_ns = 1200000;  /* how long the link needs for a typical packet */

#define RED_ONE (1ULL << 16) /* scale of the average */

__u64 average;    /* packets, times RED_ONE */
__u64 idle_since; /* when the queue became empty; 0 while it is not */
__u64 idle_rest;  /* ns of idle time that the average has not fallen for yet: less than packet_ns */
__u32 since_last; /* the paper's count plus 1: arrivals between the thresholds since one was chosen, and it too */

enum red_verdict {
	RED_PASS,
	RED_CHOSEN, /* at random: a mark will do */
	RED_FORCED, /* the average is too long */
};

/* `average` after so many packets that could have been sent: (1 - 2^-weight)^count of it, by repeated squaring. */
static __always_inline __u64 red_decayed(__u64 before, __u64 count)
{
	__u64 factor = (1ULL << 32) - (1ULL << (32 - weight));
	__u32 bit;

	if (count >> 16)
		return 0;
	for (bit = 0; bit < 16; bit++) {
		if (count >> bit & 1)
			before = before * factor >> 32;
		factor = factor * factor >> 32;
	}
	return before;
}

/* A packet arrives at a queue of `length` packets. */
static __always_inline enum red_verdict red_arrival(__u32 length, __u64 now)
{
	__u64 low = min_packets * RED_ONE, high = max_packets * RED_ONE, chance, spent, idle;

	if (idle_since) {
		/* If all arrivals are dropped, the queue is idle again and again, each time for less than a packet. */
		idle = now - idle_since + idle_rest;
		average = red_decayed(average, idle / packet_ns);
		idle_rest = idle % packet_ns;
		idle_since = 0;
	} else {
		average += (__s64)(length * RED_ONE - average) >> weight;
	}
	if (average < low) {
		since_last = 0;
		return RED_PASS;
	}
	if (average >= high) {
		since_last = 1;
		return RED_FORCED;
	}
	/* p = (average - min) / (max - min) / one_in, times 2^32; an arrival is chosen with p / (1 - count * p). */
	chance = ((average - low) << 32) / (high - low) / one_in;
	spent = since_last++ * chance;
	if (spent < 1ULL << 32 && (bpf_get_prandom_u32() * ((1ULL << 32) - spent)) >> 32 >= chance)
		return RED_PASS;
	since_last = 1;
	return RED_CHOSEN;
}

static __always_inline void red_emptied(__u64 now)
{
	if (!idle_since)
		idle_since = now;
}

#endif
