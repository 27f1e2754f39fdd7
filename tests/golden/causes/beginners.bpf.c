/* What beginners write: no check at all, a check too late, of the wrong size, or of the wrong kind of number. */
#include "causes.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

struct event {
	__u32 len;
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[256]);
} scratch SEC(".maps");

SEC("xdp")
int size_of_pointer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)ip + sizeof(ip) > end) // cause: size_of_pointer
		return XDP_PASS;
	return ip->protocol == 17 ? XDP_DROP : XDP_PASS; // fails: size_of_pointer
}

SEC("xdp")
int compared_too_late(struct xdp_md *ctx)
{
	char *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; // cause: compared_too_late
	int count = 0;

	while (*at && at < end) { // fails: compared_too_late
		at++;
		count++;
	}
	return count > 10 ? XDP_DROP : XDP_PASS;
}

SEC("tc")
int size_from_packet(struct __sk_buff *skb)
{
	char buffer[64];
	__u16 size = 0;

	if (bpf_skb_load_bytes(skb, 16, &size, 2))
		return TC_ACT_OK;
	size = bpf_ntohs(size);
	if (size > sizeof(buffer)) // cause: size_from_packet
		size = sizeof(buffer);
	if (bpf_skb_load_bytes(skb, 34, buffer, size)) // fails: size_from_packet
		return TC_ACT_OK;
	return buffer[0];
}

SEC("tc")
int size_as_signed(struct __sk_buff *skb)
{
	char buffer[128];
	int size = skb->len - 14;

	if (size > 128) // cause: size_as_signed
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, 14, buffer, size)) // fails: size_as_signed
		return TC_ACT_OK;
	return buffer[0];
}

SEC("tc")
int left_by_error(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0); // cause: left_by_error

	if (!event)
		return TC_ACT_OK;
	event->len = skb->len;
	if (bpf_skb_load_bytes(skb, 0, event->name, 16) < 0) // cause: left_by_error
		return TC_ACT_SHOT;
	bpf_ringbuf_submit(event, 0);
	return TC_ACT_OK;
} // fails: left_by_error

SEC("tc")
int tail_call_in_section(struct __sk_buff *skb)
{
	struct value *found;
	__u32 key = 0;

	bpf_rcu_read_lock(); // cause: tail_call_in_section
	found = bpf_map_lookup_elem(&array, &key);
	if (found && found->packets > 10)
		bpf_tail_call(skb, &programs, 1); // fails: tail_call_in_section
	bpf_rcu_read_unlock();
	return TC_ACT_OK;
}

SEC("xdp")
int copies_a_name(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 *at = data + 42;
	__u32 key = 0;
	char *buffer = bpf_map_lookup_elem(&scratch, &key);

	if (!buffer || (void *)(at + 1) > end) // cause: copies_a_name
		return XDP_PASS;
	for (int i = 0; i < *at && i < 255; i++)
		buffer[i] = at[i + 1]; // fails: copies_a_name
	return XDP_PASS;
}

static __always_inline struct tcphdr *tcp_of(void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end)
		return NULL;
	return (void *)ip + ip->ihl * 4; // cause: moved_by_inlined
}

SEC("xdp")
int moved_by_inlined(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct tcphdr *tcp = tcp_of(data, end);

	if (!tcp)
		return XDP_PASS;
	return tcp->syn ? XDP_DROP : XDP_PASS; // fails: moved_by_inlined
}

SEC("tc")
int rounds_from_packet(struct __sk_buff *skb)
{
	struct value *found;
	__u32 key = 0;
	__u64 sum = 0;

	found = bpf_map_lookup_elem(&array, &key);
	if (!found)
		return TC_ACT_OK;
	for (__u32 i = 0; i < skb->queue_mapping; i++) // cause: rounds_from_packet
		sum += found->slots[i]; // fails: rounds_from_packet
	return sum & 1;
}

__noinline int total(struct value *found)
{
	return found->packets + found->bytes; // fails: total_of_nothing
}

SEC("tc")
int total_of_nothing(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	return found ? total(found) & 1 : TC_ACT_OK;
}

struct search {
	struct __sk_buff *skb;
	__u32 found;
};

static long search_port(__u32 port, struct search *search)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	tuple.ipv4.dport = port;
	socket = bpf_sk_lookup_udp(search->skb, &tuple, sizeof(tuple.ipv4), -1, 0); // cause: found_and_kept
	if (socket)
		search->found++;
	return 0; // cause: found_and_kept
}

SEC("tc")
int found_and_kept(struct __sk_buff *skb)
{
	struct search search = {.skb = skb};

	bpf_loop(4, search_port, &search, 0);
	return search.found ? TC_ACT_OK : TC_ACT_SHOT; // fails: found_and_kept
}
