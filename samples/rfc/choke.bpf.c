// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * choke: CHOose and Keep, CHOose and Kill (Pan, Prabhakar, Psounis, 2000). While the average queue is long, an arrival is
 * compared with a packet from the queue, chosen at random; if both are of one flow, both are dropped. Who sends most is
 * met most often, so that flows are kept apart without any state of flows. Otherwise it is RED.
 *
 * Teaches: taking a packet out of the middle of a queue by its number, and queues with gaps.
 */
#include "fifos.h"
#include "red_law.h"

const volatile __u32 limit = 100; /* packets */

#define TRIES 3 /* to meet a packet and not a gap */

struct fifo fifo;
__u64 matched; /* pairs dropped */
__u64 early;   /* dropped at random */
__u64 forced;  /* dropped because the average was too long, or the queue full */

/* Flows of the packets in the queue, by the last bits of their numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} hashes SEC(".maps");

static __always_inline __u32 *hash_of(__u64 number)
{
	__u32 index = number & 16383;

	return bpf_map_lookup_elem(&hashes, &index);
}

struct draw {
	__u32 flow;
	__u32 done;
};

/* Compare with a random packet. Return 1 when one was met, which is dropped if it is of the same flow. */
static long meet(__unused __u32 round, struct draw *draw)
{
	__u64 number = fifo.first + (bpf_get_prandom_u32() * (fifo.next - fifo.first) >> 32);
	struct fifo_key key = { .number = bpf_cpu_to_be64(number) };
	struct fifo_slot *slot = bpf_map_lookup_elem(&packets, &key);
	__u32 *hash = hash_of(number);

	if (!slot || !hash)
		return 0;
	if (*hash == draw->flow) {
		fifo.bytes -= slot->len;
		held--;
		/* Frees the packet that the element owns. */
		bpf_map_delete_elem(&packets, &key);
		draw->done = 1;
	}
	return 1;
}

SEC("sch_bpf/enqueue")
int choke_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct draw draw = { .flow = bpf_get_hash_recalc(ctx->skb) };
	enum red_verdict verdict = red_arrival(held, now);
	__u32 *hash = hash_of(fifo.next);

	if (held && average >= min_packets * RED_ONE) {
		bpf_loop(TRIES, meet, &draw, 0);
		if (draw.done) {
			matched++;
			return SCH_BPF_DROP;
		}
	}
	if (verdict == RED_CHOSEN) {
		early++;
		return SCH_BPF_DROP;
	}
	if (verdict == RED_FORCED || held >= limit || !hash) {
		forced++;
		return SCH_BPF_DROP;
	}
	*hash = draw.flow;
	return fifo_push(ctx, &fifo, 0, now) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

static long skip_gap(__unused __u32 index, __unused void *ctx)
{
	if (fifo_slot(0, fifo.first))
		return 1;
	fifo.first++;
	return 0;
}

SEC("sch_bpf/dequeue")
int choke_dequeue(struct sch_bpf_ctx *ctx)
{
	struct fifo_slot *slot;

	bpf_loop(fifo.next - fifo.first, skip_gap, NULL, 0);
	slot = fifo_slot(0, fifo.first);
	if (!slot) {
		red_emptied(bpf_ktime_get_ns());
		return SCH_BPF_DROP;
	}
	return fifo_send(ctx, &fifo, 0, slot);
}

LICENSE("Dual MIT/GPL");
