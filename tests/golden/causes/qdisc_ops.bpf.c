/* Mainline qdiscs: packets that leak, nodes without a lock, lengths of packets that are gone. */
#include "bpf_qdisc.h"

struct packet {
	struct bpf_list_node link;
	struct sk_buff __kptr *skb;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(packet, link);
private(B) struct bpf_spin_lock other_lock;
private(B) struct bpf_list_head other __contains(packet, link);

LICENSE("Dual MIT/GPL");

SEC("struct_ops/node_leaks")
int node_leaks(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	struct packet *packet = bpf_obj_new(struct packet); // cause: node_leaks

	if (!packet) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	if (skb->len > 1500) { // cause: node_leaks
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	skb = bpf_kptr_xchg(&packet->skb, skb);
	if (skb)
		bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	return NET_XMIT_SUCCESS;
} // fails: node_leaks

SEC("struct_ops/length_after_drop")
int length_after_drop(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	bpf_qdisc_skb_drop(skb, to_free); // cause: length_after_drop
	sch->qstats.backlog -= skb->len; // fails: length_after_drop
	return NET_XMIT_DROP;
}

SEC("struct_ops/wrong_lock")
int wrong_lock(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	struct bpf_list_node *first;
	struct packet *packet;

	bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&other_lock); // cause: wrong_lock
	first = bpf_list_pop_front(&queue); // fails: wrong_lock
	bpf_spin_unlock(&other_lock);
	if (first)
		bpf_obj_drop(container_of(first, struct packet, link));
	return NET_XMIT_DROP;
}

SEC("struct_ops/popped_unchecked")
struct sk_buff *popped_unchecked(u64 *ctx)
{
	struct bpf_list_node *first;
	struct packet *packet;
	struct sk_buff *skb;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue); // cause: popped_unchecked
	bpf_spin_unlock(&lock);
	packet = container_of(first, struct packet, link);
	skb = bpf_kptr_xchg(&packet->skb, NULL); // fails: popped_unchecked
	bpf_obj_drop(packet);
	return skb;
}

SEC("struct_ops/peeked_after_unlock")
struct sk_buff *peeked_after_unlock(u64 *ctx)
{
	struct bpf_list_node *first;
	struct packet *packet;

	bpf_spin_lock(&lock);
	first = bpf_list_front(&queue);
	bpf_spin_unlock(&lock); // cause: peeked_after_unlock
	if (!first)
		return NULL;
	packet = container_of(first, struct packet, link);
	return bpf_kptr_xchg(&packet->skb, NULL); // fails: peeked_after_unlock
}

SEC("struct_ops/init")
int init(u64 *ctx)
{
	return 0;
}

SEC("struct_ops/reset")
void reset(u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops first = {
	.enqueue = (void *)node_leaks,
	.dequeue = (void *)popped_unchecked,
	.init = (void *)init,
	.reset = (void *)reset,
	.id = "bpf_first",
};

SEC(".struct_ops")
struct Qdisc_ops second = {
	.enqueue = (void *)length_after_drop,
	.dequeue = (void *)peeked_after_unlock,
	.init = (void *)init,
	.reset = (void *)reset,
	.id = "bpf_second",
};

SEC(".struct_ops")
struct Qdisc_ops third = {
	.enqueue = (void *)wrong_lock,
	.dequeue = (void *)popped_unchecked,
	.init = (void *)init,
	.reset = (void *)reset,
	.id = "bpf_third",
};
