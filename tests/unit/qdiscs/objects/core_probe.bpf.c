// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * A fifo that says what the kernel around it does: which member is called when, and what it finds in its arguments.
 * The low byte of a packet's mark says what to do with it, bits 8 to 19 are a number for that:
 *   1 drop it and return DROP, 4 free it at once and return the number, 5 keep it and return the number, 6 drop it and
 *   return the number, 2 close the gate (dequeue returns NULL from then on), 3 open it, 8 close it and arm the watchdog.
 */
#include "bpf_qdisc.h"
#ifndef NAME
#define NAME "pa"
#define VARIABLE core_pa
#endif
#ifndef INIT
#define INIT 0
#endif
static long (*const bpf_trace_printk)(const char *fmt, u32 size, ...) = (void *)6;
#define say(fmt, args...) ({ static const char f_[] = NAME " " fmt; bpf_trace_printk(f_, sizeof f_, ##args); })

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct refcount_struct___p { int counter; };
struct atomic_t___p { int counter; };
struct Qdisc___p {
	u32 flags;
	u32 limit;
	u32 handle;
	u32 parent;
	unsigned long state;
	struct gnet_stats_queue qstats;
	struct qdisc_skb_head q;
	struct { struct { int counter; } refs; } refcnt;
};
struct sk_buff___p { u32 len; u16 queue_mapping; u32 priority; u32 mark; u32 data_len; };
struct qdisc_skb_cb___p { u32 pkt_len; u16 pkt_segs; };
struct nlattr___p { u16 nla_len; u16 nla_type; };
#pragma clang attribute pop

struct node { struct bpf_list_node link; struct sk_buff __kptr *skb; };
private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(node, link);
int closed;
u64 armed;
#define MS 1000000ULL

SEC("struct_ops/p_enqueue")
int p_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0], *old;
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	struct sk_buff___p *p = (void *)skb;
	struct qdisc_skb_cb___p *cb = (void *)skb->cb;
	u32 len = qdisc_pkt_len(skb), mark = skb->mark, cmd = mark & 0xff, value = ((mark >> 8) & 0xff) | (mark & 0xf0000);
	struct node *node;

	say("enq mark %x qlen %u backlog %u", mark, sch->q.qlen, sch->qstats.backlog);
	say("skb len %u pkt_len %u segs %u", p->len, cb->pkt_len, cb->pkt_segs);
	say("skb map %u prio %x handle %x", p->queue_mapping & 0xffff, p->priority, sch->handle);
	if (cmd == 1 || cmd == 6) {
		bpf_qdisc_skb_drop(skb, to_free);
		return cmd == 1 ? NET_XMIT_DROP : value;
	}
	if (cmd == 4) {
		bpf_kfree_skb(skb);
		return value;
	}
	if (cmd == 2)
		closed = 1;
	if (cmd == 3)
		closed = 0, armed = 0;
	node = bpf_obj_new(struct node);
	if (!node) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	old = bpf_kptr_xchg(&node->skb, skb);
	if (old)
		bpf_qdisc_skb_drop(old, to_free);
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &node->link);
	bpf_spin_unlock(&lock);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	if (cmd == 8) {
		u64 now = bpf_ktime_get_ns();

		armed = now;
		closed = 1;
		if (value == 1)
			bpf_qdisc_watchdog_schedule(sch, 1ULL << 63, 0);
		if (value == 2)
			bpf_qdisc_watchdog_schedule(sch, 0, 0);
		if (value == 3)
			bpf_qdisc_watchdog_schedule(sch, now - 1, 0);
		if (value == 4)
			bpf_qdisc_watchdog_schedule(sch, 1ULL << 62, 0);
		if (value >= 5 && value <= 6)
			bpf_qdisc_watchdog_schedule(sch, now + 100 * MS, 0);
		if (value >= 7 && value <= 8)
			bpf_qdisc_watchdog_schedule(sch, now + 50 * MS, 0);
		if (value == 5)
			bpf_qdisc_watchdog_schedule(sch, now + 50 * MS, 60 * MS);
		if (value == 6)
			bpf_qdisc_watchdog_schedule(sch, now + 50 * MS, 20 * MS);
		if (value == 7)
			bpf_qdisc_watchdog_schedule(sch, now + 100 * MS, 0);
		if (value == 8)
			bpf_qdisc_watchdog_schedule(sch, now + 100 * MS, ~0ULL);
		if (value == 9)
			bpf_qdisc_watchdog_schedule(sch, ~0ULL, 0);
		if (value == 10)
			bpf_qdisc_watchdog_schedule(sch, now + 50 * MS, 50 * MS);
	}
	return cmd == 5 ? value : NET_XMIT_SUCCESS;
}

SEC("struct_ops/p_dequeue")
struct sk_buff *p_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct bpf_list_node *first;
	struct sk_buff *skb = NULL;
	struct node *node;

	say("deq %x qlen %u backlog %u", sch->handle, sch->q.qlen, sch->qstats.backlog);
	if (armed)
		say("deq after %u ms", (u32)((bpf_ktime_get_ns() - armed + 20 * MS) / (50 * MS)) * 50);
	if (closed)
		return NULL;
	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!first)
		return NULL;
	node = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&node->skb, NULL);
	bpf_obj_drop(node);
	if (!skb)
		return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	bpf_qdisc_bstats_update(sch, skb);
	say("deq gives %x len %u", skb->mark, skb->len);
	return skb;
}

SEC("struct_ops/p_init")
int p_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct Qdisc___p *s = (void *)sch;

	say("init handle %x parent %x flags %x", s->handle, s->parent, s->flags);
	say("init limit %u state %x opt %d", s->limit, s->state, ctx[1] != 0);
	say("init refcnt %d qlen %u", s->refcnt.refs.counter, s->q.qlen);
#ifdef READOPT
	say("opt len %d", ((struct nlattr___p *)ctx[1])->nla_len);
#endif
	sch->limit = 7;
	return INIT;
}

static long drop_first(__unused __u32 index, __unused void *ctx)
{
	struct bpf_list_node *first;
	struct sk_buff *skb;
	struct node *node;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!first)
		return 1;
	node = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&node->skb, NULL);
	if (skb)
		bpf_kfree_skb(skb);
	bpf_obj_drop(node);
	return 0;
}

SEC("struct_ops/p_reset")
void p_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct Qdisc___p *s = (void *)sch;

	say("reset %x qlen %u backlog %u", sch->handle, sch->q.qlen, sch->qstats.backlog);
	say("reset flags %x refcnt %d limit %u", s->flags, s->refcnt.refs.counter, s->limit);
	bpf_loop(1000, drop_first, NULL, 0);
}

SEC("struct_ops/p_destroy")
void p_destroy(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct Qdisc___p *s = (void *)sch;

	say("destroy %x qlen %u backlog %u", sch->handle, sch->q.qlen, sch->qstats.backlog);
	say("destroy flags %x refcnt %d parent %x", s->flags, s->refcnt.refs.counter, s->parent);
}

SEC(".struct_ops")
struct Qdisc_ops VARIABLE = {
	.enqueue = (void *)p_enqueue, .dequeue = (void *)p_dequeue, .init = (void *)p_init,
	.reset = (void *)p_reset, .destroy = (void *)p_destroy, .id = "bpf_" NAME,
};
LICENSE("GPL");
