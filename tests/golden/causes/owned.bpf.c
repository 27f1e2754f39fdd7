/* References: left on one branch, released twice, used after the release. */
#include "causes.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct event {
	__u32 len;
	__u32 mark;
};

SEC("tc")
int leak_on_branch(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), -1, 0); // cause: leak_on_branch

	if (!sk)
		return TC_ACT_OK;
	if (skb->mark == 7) // cause: leak_on_branch
		return TC_ACT_SHOT;
	bpf_sk_release(sk);
	return TC_ACT_OK;
} // fails: leak_on_branch

SEC("tc")
int released_twice(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), -1, 0);

	if (!sk)
		return TC_ACT_OK;
	if (skb->mark) // cause: released_twice
		bpf_sk_release(sk); // cause: released_twice
	bpf_sk_release(sk); // fails: released_twice
	return TC_ACT_OK;
}

SEC("tc")
int used_after_release(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), -1, 0);
	struct bpf_tcp_sock *tcp;

	if (!sk)
		return TC_ACT_OK;
	tcp = bpf_tcp_sock(sk);
	bpf_sk_release(sk); // cause: used_after_release
	return tcp ? tcp->snd_cwnd : 0; // fails: used_after_release
}

SEC("tc")
int record_not_sent(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0); // cause: record_not_sent

	if (!event)
		return TC_ACT_OK;
	event->len = skb->len;
	if (event->len < 60) // cause: record_not_sent
		return TC_ACT_OK;
	event->mark = skb->mark;
	bpf_ringbuf_submit(event, 0);
	return TC_ACT_OK;
} // fails: record_not_sent

SEC("tc")
int record_after_submit(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return TC_ACT_OK;
	event->len = skb->len;
	bpf_ringbuf_submit(event, 0); // cause: record_after_submit
	event->mark = skb->mark; // fails: record_after_submit
	return TC_ACT_OK;
}

static __noinline int finish(struct event *event, __u32 mark)
{
	if (mark & 1) {
		bpf_ringbuf_discard(event, 0);
		return 1;
	}
	return 0; // the caller has to send it
}

SEC("tc")
int callee_keeps(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0); // cause: callee_keeps

	if (!event)
		return TC_ACT_OK;
	event->len = event->mark = 0;
	finish(event, skb->mark);
	return TC_ACT_OK;
} // fails: callee_keeps

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

SEC("tc")
int held_over_tail_call(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0); // cause: held_over_tail_call

	if (!event)
		return TC_ACT_OK;
	event->len = event->mark = skb->len;
	bpf_tail_call(skb, &programs, 1); // fails: held_over_tail_call
	bpf_ringbuf_submit(event, 0);
	return TC_ACT_OK;
}

SEC("tc")
int size_of_other(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, 4, 0); // cause: size_of_other

	if (!event)
		return TC_ACT_OK;
	event->len = skb->len;
	event->mark = skb->mark; // fails: size_of_other
	bpf_ringbuf_submit(event, 0);
	return TC_ACT_OK;
}
