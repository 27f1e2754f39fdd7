/* Pointers that may be NULL: another one is tested, the test is forgotten, or the wrong branch is taken. */
#include "causes.h"

SEC("tc")
int tests_first(struct __sk_buff *skb)
{
	__u32 one = skb->mark, two = skb->priority;
	struct value *a = bpf_map_lookup_elem(&table, &one);
	struct value *b = bpf_map_lookup_elem(&table, &two); // cause: tests_first

	if (!a) // cause: tests_first
		return TC_ACT_OK;
	a->packets++;
	b->packets++; // fails: tests_first
	return TC_ACT_OK;
}

static __noinline struct value *find(__u32 key)
{
	return bpf_map_lookup_elem(&table, &key); // cause: callee_may_fail
}

SEC("tc")
int callee_may_fail(struct __sk_buff *skb)
{
	struct value *found = find(skb->mark); // cause: callee_may_fail

	found->packets++; // fails: callee_may_fail
	return TC_ACT_OK;
}

SEC("tc")
int looked_up_again(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct value *old = bpf_map_lookup_elem(&table, &key), *new;
	struct value fresh = {};

	if (!old) { // cause: looked_up_again
		bpf_map_update_elem(&table, &key, &fresh, BPF_ANY);
		new = bpf_map_lookup_elem(&table, &key); // cause: looked_up_again
		barrier_var(new);
		new->bytes = 1; // fails: looked_up_again
		return TC_ACT_OK;
	}
	old->packets++;
	return TC_ACT_OK;
}

SEC("tc")
int wrong_way_round(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct value *found = bpf_map_lookup_elem(&table, &key);
	__u64 more = skb->len;

	if (found) // cause: wrong_way_round
		return TC_ACT_OK;
	barrier_var(found);
	found->bytes += more; // fails: wrong_way_round
	return TC_ACT_OK;
}

SEC("tc")
int passed_to_helper(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct value *found = bpf_map_lookup_elem(&table, &key); // cause: passed_to_helper

	key = skb->len;
	bpf_map_update_elem(&array, &key, found, BPF_ANY); // fails: passed_to_helper
	return TC_ACT_OK;
}

__noinline int count(struct value *value)
{
	__u64 now = bpf_ktime_get_ns();

	value->packets += now; // fails: global_argument
	return 0;
}

SEC("tc")
int global_argument(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct value *found = bpf_map_lookup_elem(&table, &key);

	if (found)
		count(found);
	return TC_ACT_OK;
}

SEC("tc")
int socket_unchecked(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk; // cause: socket_unchecked
	struct bpf_sock *full;

	if (!sk)
		return TC_ACT_OK;
	full = bpf_sk_fullsock(sk); // cause: socket_unchecked
	return full->mark; // fails: socket_unchecked
}
