/* Programs of sockets, and pointers that go through functions, structs and loops. */
#include "causes.h"

SEC("sk_msg")
int message_too_short(struct sk_msg_md *msg)
{
	void *data = msg->data, *end = msg->data_end;

	if (data + 4 > end) // cause: message_too_short
		return SK_DROP;
	return *(__u64 *)data ? SK_PASS : SK_DROP; // fails: message_too_short
}

SEC("sk_skb/stream_verdict")
int stream_pulled(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 1 > end)
		return SK_DROP;
	bpf_skb_pull_data(skb, 10); // cause: stream_pulled
	return *(char *)data; // fails: stream_pulled
}

SEC("cgroup/sock_create")
int reads_other_size(struct bpf_sock *sk)
{
	return sk->family == 2 || *(__u8 *)((void *)sk + 200); // fails: reads_other_size
}

struct cursor {
	void *at;
	void *end;
};

static __always_inline int skip_ethernet(struct cursor *cursor)
{
	if (cursor->at + 14 > cursor->end) // cause: cursor_moved
		return -1;
	cursor->at += 14;
	return 0;
}

SEC("xdp")
int cursor_moved(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct iphdr *ip;

	if (skip_ethernet(&cursor))
		return XDP_DROP;
	ip = cursor.at;
	return ip->ttl > 1 ? XDP_PASS : XDP_DROP; // fails: cursor_moved
}

static __noinline int length_of(struct __sk_buff *skb)
{
	return skb->len; // cause: signed_in_callee
}

SEC("tc")
int signed_in_callee(struct __sk_buff *skb)
{
	char buffer[32];
	int size = length_of(skb); // cause: signed_in_callee

	if (size > 32) // cause: signed_in_callee
		size = 32;
	return bpf_skb_load_bytes(skb, 0, buffer, size) ? 0 : buffer[0]; // fails: signed_in_callee
}

static __noinline __u64 at_most(__u32 number, __u32 limit)
{
	return number > limit ? limit : number;
}

SEC("tc")
int limit_off_by_one(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 index;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	index = at_most(skb->len, 16); // cause: limit_off_by_one
	found->slots[index] = 0; // fails: limit_off_by_one
	return TC_ACT_OK;
}

SEC("tc")
int kept_in_value(struct __sk_buff *skb)
{
	__u32 key = 0, other = skb->mark;
	struct value *found = bpf_map_lookup_elem(&table, &other), *kept;
	struct value *place = bpf_map_lookup_elem(&table, &key);

	if (!found || !place)
		return TC_ACT_OK;
	place->packets = (__u64)found;
	barrier();
	kept = (void *)place->packets; // cause: kept_in_value
	return kept->bytes; // fails: kept_in_value
}

SEC("tc")
int left_in_loop(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	for (int i = 0; i < 3; i++) {
		tuple.ipv4.dport = i;
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), -1, 0); // cause: left_in_loop
		if (!sk)
			continue;
		if (sk->state == 10) // cause: left_in_loop
			break;
		bpf_sk_release(sk);
	}
	return TC_ACT_OK; // fails: left_in_loop
}
