// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A queue in an array map: 16 records go in and come out again, all through helpers. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct __sk_buff {
	u32 len;
};

struct record { u64 stamp; u32 len, seq; };
struct state { u64 head, tail; };

struct {
	int (*type)[2];
	int (*max_entries)[64];
	u32 *key;
	struct record *value;
} ring SEC(".maps");

struct {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	struct state *value;
} state SEC(".maps");

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

SEC("tc") int fifo(struct __sk_buff *skb)
{
	u32 zero = 0, sum = 0;
	struct state *s = bpf_map_lookup_elem(&state, &zero);

	if (!s)
		return -1;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 16; i++) {
		u32 slot = s->tail & 63;
		struct record record = { .stamp = s->tail, .len = skb->len + i, .seq = i };

		if (bpf_map_update_elem(&ring, &slot, &record, 0))
			return -1;
		s->tail++;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 16; i++) {
		u32 slot = s->head & 63;
		struct record *record = bpf_map_lookup_elem(&ring, &slot);

		if (!record)
			return -1;
		sum += record->len ^ record->seq;
		s->head++;
	}
	return (int)sum;
}

char _license[] SEC("license") = "Dual MIT/GPL";
