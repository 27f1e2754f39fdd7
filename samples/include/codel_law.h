/* SPDX-License-Identifier: MIT */
/*
 * The control law of CoDel (RFC 8289, section 5) over the variables of one queue, of which a discipline may have many.
 * Independent of the interface: include it after the header of yours.
 */
#ifndef CODEL_LAW_H
#define CODEL_LAW_H

const volatile __u64 target = 5000000;     /* ns of waiting that are accepted */
const volatile __u64 interval = 100000000; /* ns: about the longest round-trip time */
const volatile __u32 mtu = 1514;           /* a backlog of one packet is no reason to drop */

struct codel {
	__u64 first_above; /* when the wait will have been above `target` for an interval; 0 if it is not above */
	__u64 drop_next;   /* when to drop the next packet */
	__u32 count;       /* packets dropped since it began to drop */
	__u32 last_count;  /* `count` when it began */
	__u32 dropping;
};

/*
 * Newton's method: 30 rounds are enough for every 48-bit number, and a fixed number of them needs no test. Not static,
 * so that the verifier looks at it once, for all numbers, and not at every call.
 */
__noinline __u64 square_root(__u64 n)
{
	__u64 x = n;
	__u32 i;

	for (i = 0; i < 30; i++)
		x = (x + n / x) / 2;
	return x;
}

/* When to drop after `t`: interval / sqrt(count) later, with the root scaled by 2^8. */
static __always_inline __u64 codel_law(const struct codel *codel, __u64 t)
{
	return t + (interval << 8) / square_root(((__u64)codel->count << 16) | 1);
}

/* A packet has waited for `waited` ns, and `backlog` bytes are behind it. May it be dropped? */
static __always_inline _Bool codel_above(struct codel *codel, __u64 waited, __u32 backlog, __u64 now)
{
	if (waited < target || backlog <= mtu) {
		codel->first_above = 0;
		return 0;
	}
	if (!codel->first_above) {
		codel->first_above = now + interval;
		return 0;
	}
	return now >= codel->first_above;
}

/* The first drop after a time without. */
static __always_inline void codel_begin(struct codel *codel, __u64 now)
{
	__u32 since = codel->count - codel->last_count;

	codel->dropping = 1;
	/* If it has been dropping until a moment ago, start with the frequency that worked then. */
	codel->count = since > 1 && (__s64)(now - codel->drop_next) < (__s64)(16 * interval) ? since : 1;
	codel->drop_next = codel_law(codel, now);
	codel->last_count = codel->count;
}

#endif
