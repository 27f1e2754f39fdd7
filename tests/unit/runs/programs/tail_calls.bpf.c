/* Tail calls. SPDX-License-Identifier: MIT
 *   clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c tail_calls.bpf.c -o tail_calls.o
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int refused(struct __sk_buff *skb);
int fine(struct __sk_buff *skb);
int again(struct __sk_buff *skb);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&refused, [2] = (void *)&fine, [3] = (void *)&again } };
int count;

SEC("tc") int refused(struct __sk_buff *skb)
{
	return *(int *)(long)skb->data;
}

SEC("tc") int fine(struct __sk_buff *skb)
{
	return 77;
}

SEC("tc") int jump(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, skb->mark);
	return 5;
}

/* A kernel makes 33 of them. */
SEC("tc") int again(struct __sk_buff *skb)
{
	count++;
	bpf_tail_call(skb, &jumps, 0);
	bpf_tail_call(skb, &jumps, 3);
	return count;
}

static __noinline int inner(struct __sk_buff *skb)
{
	int none = -1;

	bpf_tail_call(skb, &jumps, 3);
	asm volatile("" : "+r"(none));
	return none;
}

/* The functions of one run share the count. */
SEC("tc") int twice(struct __sk_buff *skb)
{
	int first = inner(skb), second = inner(skb);

	return first * 1000 + second;
}
char LICENSE[] SEC("license") = "GPL";
