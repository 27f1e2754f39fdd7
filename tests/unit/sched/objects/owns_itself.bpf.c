// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * An object that owns itself is never freed. Linux 7.2 refuses such types (ELOOP), and 6.18 takes them.
 *
 * Built in the root of the repository:
 *   clang-19 -target bpf -mcpu=v3 -O2 -g -Isamples/include -fdebug-compilation-dir=. \
 *       -c tests/unit/sched/objects/owns_itself.bpf.c -o tests/unit/sched/objects/owns_itself.o
 */
#define OWN_ENQUEUE
#include "../../../../samples/broken_qdiscs/base.h"

struct ring {
	struct bpf_refcount refs;
	struct ring __kptr *next;
};

SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct ring *ring, *same;
	struct packet *packet;

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	ring = bpf_obj_new(struct ring);
	if (!ring)
		return drop(sch, skb, to_free);
	same = bpf_refcount_acquire(ring);
	same = bpf_kptr_xchg(&ring->next, same);
	if (same)
		bpf_obj_drop(same);
	bpf_obj_drop(ring);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
