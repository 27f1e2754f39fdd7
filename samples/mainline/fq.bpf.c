// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * fq: fair queueing with pacing, after the kernel's sch_fq (before it had bands). A flow has a tree of its packets by
 * their time stamps, and a credit in bytes. New flows are served before old ones; a flow whose first packet is not due
 * yet waits in a tree of flows until a watchdog calls.
 *
 * Teaches: objects that are in a hash map and in a list or tree at the same time, which a reference count allows; a
 * lock and a tree inside an object; bpf_for_each_map_elem(); pacing by skb->tstamp and by the rate of a socket. wfq
 * for the RFC's interface is rfc/wfq.bpf.c.
 */
#include "packet.h"

#define MAX_FLOWS 65536
#define MAX_ROUNDS (1 << 20)
#define NEVER (~0ULL)
#define NSEC_PER_MSEC (1000 * NSEC_PER_USEC)

const volatile __u32 limit = 10000;                /* packets in all flows */
const volatile __u32 flow_limit = 100;             /* packets in one flow */
const volatile __u32 quantum = 2 * 9000;           /* bytes of credit in each round */
const volatile __u32 initial_credit = 10 * 9000;   /* bytes of credit of a flow never seen before */
const volatile __u64 flow_rate = NEVER;            /* bytes a second that a flow sends at most */
const volatile __u64 refill_after = 40 * NSEC_PER_MSEC; /* a flow idle for that long has at least a quantum again */
const volatile __u64 forget_after = 3 * NSEC_PER_SEC;   /* a flow idle for that long may be forgotten */
const volatile __u64 horizon = 10 * NSEC_PER_SEC;  /* packets that are due later than that are dropped */
const volatile __u64 slack = 10 * NSEC_PER_USEC;   /* how late the watchdog may call */

struct timed {
	struct bpf_rb_node node;
	struct sk_buff __kptr *skb;
	u64 due;
};

enum state {
	IDLE,    /* in no list and no tree; only `flows` refers to it */
	QUEUED,  /* in `fresh` or `old` */
	DELAYED, /* in `delayed` */
};

struct flow {
	struct bpf_list_node turn;
	struct bpf_rb_node waiting;
	struct bpf_refcount refs;   /* one for `flows`, one for the list or tree that it is in */
	struct bpf_spin_lock lock;
	struct bpf_rb_root packets __contains(timed, node);
	u64 next;                   /* when it may send again */
	u64 idle_since;
	s32 credit;
	u32 held;
	u32 state;
};

struct slot {
	struct flow __kptr *flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, u32);
	__type(value, struct slot);
} flows SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head fresh __contains(flow, turn);
private(A) struct bpf_list_head old __contains(flow, turn);
private(A) struct bpf_rb_root delayed __contains(flow, waiting);
/* Packets of priority TC_PRIO_CONTROL belong to no flow, and go first. */
private(A) struct bpf_rb_root control __contains(timed, node);

/* The packet that a round found: a callback cannot return one. */
private(B) struct sk_buff __kptr *found;

__u64 wake = NEVER;  /* when the first delayed flow is due */
__u64 throttled;     /* how often a flow had to wait */
__u32 control_held;
__u32 old_flows;     /* flows in `old` */

static bool due_first(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	/* Of packets due at the same time the tree keeps the order of arrival. */
	return container_of(a, struct timed, node)->due < container_of(b, struct timed, node)->due;
}

static bool wakes_first(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct flow, waiting)->next < container_of(b, struct flow, waiting)->next;
}

/* ---- Lists of flows. Whoever pops a flow owns a reference to it, and pushing hands the reference over. ----- */

static __always_inline void push_fresh(struct flow *flow)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&fresh, &flow->turn);
	bpf_spin_unlock(&lock);
}

static __always_inline void push_old(struct flow *flow)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&old, &flow->turn);
	bpf_spin_unlock(&lock);
	old_flows++;
}

/* Put a flow back where it was popped. */
static __always_inline void push_again(struct flow *flow, bool is_fresh)
{
	bpf_spin_lock(&lock);
	if (is_fresh)
		bpf_list_push_front(&fresh, &flow->turn);
	else
		bpf_list_push_front(&old, &flow->turn);
	bpf_spin_unlock(&lock);
	if (!is_fresh)
		old_flows++;
}

static __always_inline struct flow *pop_fresh(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&fresh);
	bpf_spin_unlock(&lock);
	return first ? container_of(first, struct flow, turn) : NULL;
}

static __always_inline struct flow *pop_old(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&old);
	bpf_spin_unlock(&lock);
	if (!first)
		return NULL;
	old_flows--;
	return container_of(first, struct flow, turn);
}

/* The first delayed flow if it is due at `now`; `wake` says when it will be if not. */
static __always_inline struct flow *pop_due(u64 now)
{
	struct bpf_rb_node *first;
	u64 next = NEVER;

	bpf_spin_lock(&lock);
	first = bpf_rbtree_first(&delayed);
	if (first)
		next = container_of(first, struct flow, waiting)->next;
	first = first && next <= now ? bpf_rbtree_remove(&delayed, first) : NULL;
	bpf_spin_unlock(&lock);
	wake = next;
	return first ? container_of(first, struct flow, waiting) : NULL;
}

/* ---- Enqueue --------------------------------------------------------------------------------------------- */

static __always_inline struct flow *new_flow(void)
{
	struct flow *flow = bpf_obj_new(struct flow);

	if (!flow)
		return NULL;
	flow->next = 0;
	flow->idle_since = bpf_ktime_get_ns();
	flow->credit = initial_credit;
	flow->held = 0;
	flow->state = IDLE;
	return flow;
}

/* Forget a flow if it has been idle for long. Deleting the element drops the flow. */
static long forget(void *map, u32 *hash, struct slot *slot, u64 *now)
{
	struct flow *flow = bpf_kptr_xchg(&slot->flow, NULL);
	bool keep;

	if (!flow)
		return 0;
	keep = flow->state != IDLE || *now - flow->idle_since < forget_after;
	flow = bpf_kptr_xchg(&slot->flow, flow);
	if (flow)
		bpf_obj_drop(flow);
	if (!keep)
		bpf_map_delete_elem(map, hash);
	return 0;
}

static __always_inline struct slot *slot_of(u32 hash, u64 now)
{
	struct slot empty = {};
	struct slot *slot = bpf_map_lookup_elem(&flows, &hash);

	if (slot)
		return slot;
	if (bpf_map_update_elem(&flows, &hash, &empty, BPF_NOEXIST)) {
		bpf_for_each_map_elem(&flows, forget, &now, 0);
		bpf_map_update_elem(&flows, &hash, &empty, BPF_NOEXIST);
	}
	return bpf_map_lookup_elem(&flows, &hash);
}

/* A reference to the flow of a packet, which is made if need be; NULL if there is no room for one. */
static __always_inline struct flow *flow_of(u32 hash, u64 now)
{
	struct slot *slot = slot_of(hash, now);
	struct flow *flow, *mine;

	if (!slot)
		return NULL;
	/* What the map owns can only be taken out. So take it, count a second reference, and put it back. */
	flow = bpf_kptr_xchg(&slot->flow, NULL);
	if (!flow)
		flow = new_flow();
	if (!flow)
		return NULL;
	mine = bpf_refcount_acquire(flow);
	flow = bpf_kptr_xchg(&slot->flow, flow);
	if (flow)
		bpf_obj_drop(flow);
	return mine;
}

/* Put a packet that enqueue owns into an object; drop it and return NULL if there is no memory. */
static __always_inline struct timed *timed_wrap(struct sk_buff *skb, u64 due, struct bpf_sk_buff_ptr *to_free)
{
	struct timed *packet = bpf_obj_new(struct timed);
	struct sk_buff *none;

	if (!packet) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NULL;
	}
	packet->due = due;
	none = bpf_kptr_xchg(&packet->skb, skb);
	if (none)
		bpf_qdisc_skb_drop(none, to_free);
	return packet;
}

static __always_inline int enqueue_control(struct Qdisc *sch, struct sk_buff *skb, u64 due,
					   struct bpf_sk_buff_ptr *to_free)
{
	u32 len = qdisc_pkt_len(skb);
	struct timed *packet;

	if (control_held >= flow_limit)
		return drop(sch, skb, to_free);
	packet = timed_wrap(skb, due, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&control, &packet->node, due_first);
	bpf_spin_unlock(&lock);
	control_held++;
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

SEC("struct_ops/fq_enqueue")
int fq_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u64 now = bpf_ktime_get_ns(), due = skb->tstamp ? skb->tstamp : now;
	u32 len = qdisc_pkt_len(skb);
	struct timed *packet;
	struct flow *flow;

	if (sch->q.qlen >= sch->limit || due > now + horizon)
		return drop(sch, skb, to_free);
	if ((skb->priority & TC_PRIO_MAX) == TC_PRIO_CONTROL)
		return enqueue_control(sch, skb, due, to_free);
	flow = flow_of(bpf_skb_get_hash(skb), now);
	if (!flow)
		return drop(sch, skb, to_free);
	if (flow->held >= flow_limit) {
		bpf_obj_drop(flow);
		return drop(sch, skb, to_free);
	}
	packet = timed_wrap(skb, due, to_free);
	if (!packet) {
		bpf_obj_drop(flow);
		return NET_XMIT_DROP;
	}
	bpf_spin_lock(&flow->lock);
	bpf_rbtree_add(&flow->packets, &packet->node, due_first);
	bpf_spin_unlock(&flow->lock);
	flow->held++;
	count_in(sch, len);
	if (flow->state != IDLE) {
		bpf_obj_drop(flow);
		return NET_XMIT_SUCCESS;
	}
	flow->state = QUEUED;
	if (now - flow->idle_since > refill_after && flow->credit < (s32)quantum)
		flow->credit = quantum;
	push_fresh(flow);
	return NET_XMIT_SUCCESS;
}

/* ---- Dequeue --------------------------------------------------------------------------------------------- */

/* The bytes a second at which the flow of a packet may send. */
static __always_inline u64 rate_of(const struct sk_buff *skb)
{
	u64 rate = flow_rate, paced;
	struct sock *sk = skb->sk;

	/* A time stamp is the sender's own pacing, and only full sockets have a rate. */
	if (skb->tstamp || !sk)
		return rate;
	if (sk->__sk_common.skc_state == TCP_TIME_WAIT || sk->__sk_common.skc_state == TCP_NEW_SYN_RECV)
		return rate;
	paced = sk->sk_pacing_rate;
	return paced < rate ? paced : rate;
}

/* The flow has sent a packet: take its bytes from the credit, and find out when it may send again. */
static __always_inline void charge(struct flow *flow, const struct sk_buff *skb, u64 now)
{
	u64 rate = rate_of(skb), bytes = qdisc_pkt_len(skb), wait;

	flow->credit -= bytes;
	/* As long as it has credit a flow sends at full speed; after that it waits for a whole quantum at once. */
	if (rate == NEVER || flow->credit > 0)
		return;
	if (bytes < quantum)
		bytes = quantum;
	wait = bytes * NSEC_PER_SEC / rate;
	flow->next = now + (wait < NSEC_PER_SEC ? wait : NSEC_PER_SEC);
}

/* The first packet of a flow if it is due; otherwise NULL, and `*due` says when it will be, NEVER if there is none. */
static __always_inline struct timed *flow_pop(struct flow *flow, u64 now, u64 *due)
{
	struct bpf_rb_node *first;
	u64 at = NEVER;

	bpf_spin_lock(&flow->lock);
	first = bpf_rbtree_first(&flow->packets);
	if (first) {
		at = container_of(first, struct timed, node)->due;
		if (at < flow->next)
			at = flow->next;
	}
	first = first && at <= now ? bpf_rbtree_remove(&flow->packets, first) : NULL;
	bpf_spin_unlock(&flow->lock);
	*due = at;
	return first ? container_of(first, struct timed, node) : NULL;
}

static __always_inline struct sk_buff *timed_unwrap(struct timed *packet)
{
	struct sk_buff *skb = bpf_kptr_xchg(&packet->skb, NULL);

	bpf_obj_drop(packet);
	return skb;
}

static __always_inline void delay(struct flow *flow, u64 due)
{
	flow->next = due;
	flow->state = DELAYED;
	if (due < wake)
		wake = due;
	throttled++;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&delayed, &flow->waiting, wakes_first);
	bpf_spin_unlock(&lock);
}

/* Serve the flow whose turn it is. Return 1 to stop: a packet is in `found`, or no flow may send. */
static long serve(__unused __u32 index, u64 *now)
{
	struct flow *flow = pop_fresh();
	bool is_fresh = flow;
	struct timed *packet;
	struct sk_buff *skb;
	u64 due;

	if (!flow)
		flow = pop_old();
	if (!flow)
		return 1;
	if (flow->credit <= 0) {
		flow->credit += quantum;
		push_old(flow);
		return 0;
	}
	packet = flow_pop(flow, *now, &due);
	if (!packet) {
		if (due != NEVER) {
			delay(flow, due);
		} else if (is_fresh && old_flows) {
			/* Or it could come back as a fresh one at once, again and again, and the old ones starve. */
			push_old(flow);
		} else {
			flow->state = IDLE;
			flow->idle_since = *now;
			bpf_obj_drop(flow);
		}
		return 0;
	}
	skb = timed_unwrap(packet);
	flow->held--;
	if (skb) {
		charge(flow, skb, *now);
		skb = bpf_kptr_xchg(&found, skb);
		if (skb)
			bpf_kfree_skb(skb);
	}
	push_again(flow, is_fresh);
	return 1;
}

/* Let a delayed flow that is due take part again. */
static long release(__unused __u32 index, u64 *now)
{
	struct flow *flow = pop_due(*now);

	if (!flow)
		return 1;
	flow->state = QUEUED;
	push_old(flow);
	return 0;
}

static __always_inline struct sk_buff *pop_control(void)
{
	struct bpf_rb_node *first;

	bpf_spin_lock(&lock);
	first = bpf_rbtree_first(&control);
	if (first)
		first = bpf_rbtree_remove(&control, first);
	bpf_spin_unlock(&lock);
	if (!first)
		return NULL;
	control_held--;
	return timed_unwrap(container_of(first, struct timed, node));
}

SEC("struct_ops/fq_dequeue")
struct sk_buff *fq_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u64 now = bpf_ktime_get_ns();
	struct sk_buff *skb;

	if (!sch->q.qlen)
		return NULL;
	skb = pop_control();
	if (!skb) {
		if (wake <= now)
			bpf_loop(MAX_FLOWS, release, &now, 0);
		bpf_loop(MAX_ROUNDS, serve, &now, 0);
		skb = bpf_kptr_xchg(&found, NULL);
	}
	if (!skb) {
		if (wake != NEVER)
			bpf_qdisc_watchdog_schedule(sch, wake, slack);
		return NULL;
	}
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

/* ---- The other members ----------------------------------------------------------------------------------- */

SEC("struct_ops/fq_init")
int fq_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

static long drop_control(__unused __u32 index, __unused void *ctx)
{
	struct sk_buff *skb = pop_control();

	if (!skb)
		return 1;
	bpf_kfree_skb(skb);
	return 0;
}

static long drop_turn(__unused __u32 index, __unused void *ctx)
{
	struct flow *flow = pop_fresh();

	if (!flow)
		flow = pop_old();
	if (!flow)
		return 1;
	bpf_obj_drop(flow);
	return 0;
}

static long drop_delayed(__unused __u32 index, __unused void *ctx)
{
	struct flow *flow = pop_due(NEVER);

	if (!flow)
		return 1;
	bpf_obj_drop(flow);
	return 0;
}

static long drop_flow(void *map, u32 *hash, __unused struct slot *slot, __unused void *ctx)
{
	/* The last reference: the kernel frees the flow, the objects in its tree, and the packets that these own. */
	bpf_map_delete_elem(map, hash);
	return 0;
}

SEC("struct_ops/fq_reset")
void fq_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(flow_limit, drop_control, NULL, 0);
	bpf_loop(MAX_FLOWS, drop_turn, NULL, 0);
	bpf_loop(MAX_FLOWS, drop_delayed, NULL, 0);
	bpf_for_each_map_elem(&flows, drop_flow, NULL, 0);
	sch->q.qlen = 0;
	wake = NEVER;
}

SEC("struct_ops/fq_destroy")
void fq_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops fq = {
	.enqueue = (void *)fq_enqueue,
	.dequeue = (void *)fq_dequeue,
	.init = (void *)fq_init,
	.reset = (void *)fq_reset,
	.destroy = (void *)fq_destroy,
	.id = "bpf_fq",
};

LICENSE("Dual MIT/GPL");
