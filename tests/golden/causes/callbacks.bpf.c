/* Callbacks and loops: what they are given, what they leave behind, what they return. */
#include "causes.h"

struct state {
	struct value *found;
	__u32 index;
	__u32 sum;
};

static long visit(__u32 index, struct state *state)
{
	state->found->slots[index]++; // fails: index_not_limited
	return 0;
}

SEC("tc")
int index_not_limited(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct state state = {};

	state.found = bpf_map_lookup_elem(&array, &key);
	if (!state.found)
		return TC_ACT_OK;
	bpf_loop(16, visit, &state, 0); // cause: index_not_limited
	return TC_ACT_OK;
}

static long advance(__u32 index, struct state *state)
{
	if (state->index < 1000)
		state->index += 3; // cause: left_by_callback
	return 0;
}

SEC("tc")
int left_by_callback(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct state state = { .index = 0 };
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	bpf_loop(skb->len, advance, &state, 0);
	found->slots[state.index]++; // fails: left_by_callback
	return TC_ACT_OK;
}

static long look(void *map, __u32 *key, struct value *value, struct state *state)
{
	state->found->packets += value->packets; // fails: null_in_context
	return 0;
}

SEC("tc")
int null_in_context(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct state state = {};

	state.found = bpf_map_lookup_elem(&table, &key); // cause: null_in_context
	bpf_for_each_map_elem(&array, look, &state, 0); // cause: null_in_context
	return TC_ACT_OK;
}

SEC("tc")
int waits_for_ever(struct __sk_buff *skb)
{
	volatile __u32 ready = 0;

	while (!ready) // cause: waits_for_ever // fails: waits_for_ever
		;
	return TC_ACT_OK;
}

struct timed {
	struct bpf_timer timer;
	__u32 rounds;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} others SEC(".maps");

static int again(void *map, __u32 *key, struct timed *timed)
{
	int left;

	timed->rounds++;
	left = timed->rounds & 3; // cause: callback_result
	bpf_timer_start(&timed->timer, 1000000, 0);
	return left; // fails: callback_result
}

SEC("tc")
int callback_result(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct timed *timed = bpf_map_lookup_elem(&timers, &key);

	if (!timed)
		return TC_ACT_OK;
	bpf_timer_init(&timed->timer, &timers, 1);
	bpf_timer_set_callback(&timed->timer, again);
	bpf_timer_start(&timed->timer, 1000000, 0);
	return TC_ACT_OK;
}

SEC("tc")
int timer_of_other_map(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct timed *timed = bpf_map_lookup_elem(&others, &key); // cause: timer_of_other_map

	if (!timed)
		return TC_ACT_OK;
	timed->rounds = 0;
	bpf_timer_init(&timed->timer, &timers, 1); // fails: timer_of_other_map
	return TC_ACT_OK;
}

static int start_other(void *map, __u32 *key, struct timed *timed)
{
	struct value *other = bpf_map_lookup_elem(&table, key); // cause: lookup_in_callback

	other->packets++; // fails: lookup_in_callback
	return 0;
}

SEC("tc")
int lookup_in_callback(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct timed *timed = bpf_map_lookup_elem(&timers, &key);

	if (!timed)
		return TC_ACT_OK;
	bpf_timer_init(&timed->timer, &timers, 1);
	bpf_timer_set_callback(&timed->timer, start_other);
	return TC_ACT_OK;
}
