/* Locks, RCU, preemption, dynptrs and iterators: left open on a branch, closed too early, closed twice. */
#include "causes.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
struct bpf_iter_num { __u64 __opaque[1]; } __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;

struct guarded {
	struct bpf_spin_lock lock;
	__u32 tokens;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("tc")
int lock_kept_on_branch(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct guarded *guarded = bpf_map_lookup_elem(&buckets, &key);

	if (!guarded)
		return TC_ACT_OK;
	bpf_spin_lock(&guarded->lock); // cause: lock_kept_on_branch
	if (!guarded->tokens) // cause: lock_kept_on_branch
		return TC_ACT_SHOT;
	guarded->tokens--;
	bpf_spin_unlock(&guarded->lock);
	return TC_ACT_OK;
} // fails: lock_kept_on_branch

SEC("tc")
int call_under_lock(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct guarded *guarded = bpf_map_lookup_elem(&buckets, &key);

	if (!guarded)
		return TC_ACT_OK;
	bpf_spin_lock(&guarded->lock); // cause: call_under_lock
	guarded->tokens++;
	if (guarded->tokens > 8)
		guarded->tokens = bpf_get_prandom_u32() & 7; // fails: call_under_lock
	bpf_spin_unlock(&guarded->lock);
	return TC_ACT_OK;
}

static __noinline void take(struct guarded *guarded)
{
	bpf_spin_lock(&guarded->lock); // cause: locked_in_callee
	guarded->tokens++;
}

SEC("tc")
int locked_in_callee(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct guarded *guarded = bpf_map_lookup_elem(&buckets, &key);

	if (!guarded)
		return TC_ACT_OK;
	take(guarded); // cause: locked_in_callee
	guarded->tokens--;
	return TC_ACT_OK;
} // fails: locked_in_callee

SEC("tc")
int unlocked_before(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct guarded *guarded = bpf_map_lookup_elem(&buckets, &key);

	if (!guarded)
		return TC_ACT_OK;
	bpf_spin_lock(&guarded->lock);
	if (guarded->tokens)
		bpf_spin_unlock(&guarded->lock); // cause: unlocked_before
	bpf_spin_unlock(&guarded->lock); // fails: unlocked_before
	return TC_ACT_OK;
}

SEC("tc")
int rcu_left_open(struct __sk_buff *skb)
{
	bpf_rcu_read_lock(); // cause: rcu_left_open
	if (skb->mark == 3) // cause: rcu_left_open
		return TC_ACT_SHOT;
	bpf_rcu_read_unlock();
	return TC_ACT_OK;
} // fails: rcu_left_open

SEC("tc")
int preemption_off(struct __sk_buff *skb)
{
	bpf_preempt_disable(); // cause: preemption_off
	if (skb->len > 100)
		bpf_preempt_enable();
	else
		skb->mark = 1;
	return TC_ACT_OK; // fails: preemption_off
}

SEC("tc")
int iterator_left(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *number;

	bpf_iter_num_new(&it, 0, 8); // cause: iterator_left
	while ((number = bpf_iter_num_next(&it))) {
		if (skb->mark == *number) // cause: iterator_left
			return TC_ACT_SHOT;
	}
	bpf_iter_num_destroy(&it);
	return TC_ACT_OK;
} // fails: iterator_left

SEC("tc")
int iterator_gone(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *number;

	bpf_iter_num_new(&it, 0, 8);
	number = bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it); // cause: iterator_gone
	number = bpf_iter_num_next(&it); // fails: iterator_gone
	return number ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc")
int reservation_failed(struct __sk_buff *skb)
{
	struct bpf_dynptr record;
	__u32 len = skb->len;

	if (bpf_ringbuf_reserve_dynptr(&ring, 64, 0, &record)) // cause: reservation_failed
		return TC_ACT_OK;
	bpf_dynptr_write(&record, 0, &len, sizeof(len), 0);
	bpf_ringbuf_submit_dynptr(&record, 0);
	return TC_ACT_OK;
} // fails: reservation_failed

SEC("tc")
int submitted_before(struct __sk_buff *skb)
{
	struct bpf_dynptr record;
	__u32 len = skb->len;

	bpf_ringbuf_reserve_dynptr(&ring, 64, 0, &record);
	bpf_ringbuf_submit_dynptr(&record, 0); // cause: submitted_before
	bpf_dynptr_write(&record, 0, &len, sizeof(len), 0); // fails: submitted_before
	return TC_ACT_OK;
}

SEC("tc")
int slice_after_write(struct __sk_buff *skb)
{
	struct bpf_dynptr packet;
	char buffer[14], zero = 0;
	struct ethhdr *eth;

	if (bpf_dynptr_from_skb(skb, 0, &packet))
		return TC_ACT_OK;
	eth = bpf_dynptr_slice(&packet, 0, buffer, sizeof(buffer));
	if (!eth)
		return TC_ACT_OK;
	bpf_dynptr_write(&packet, 14, &zero, 1, 0); // cause: slice_after_write
	return eth->h_proto == bpf_htons(ETH_P_IP) ? TC_ACT_OK : TC_ACT_SHOT; // fails: slice_after_write
}

SEC("tc")
int data_of_record(struct __sk_buff *skb)
{
	struct bpf_dynptr record;
	__u64 *at;

	bpf_ringbuf_reserve_dynptr(&ring, 64, 0, &record);
	at = bpf_dynptr_data(&record, 0, 8); // cause: data_of_record
	barrier_var(at);
	*at = skb->len; // fails: data_of_record
	bpf_ringbuf_submit_dynptr(&record, 0);
	return TC_ACT_OK;
}
