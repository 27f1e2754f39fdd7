/* The stack and registers: undefined behaviour, results out of range. */
#include "causes.h"

SEC("tc")
int divides_by_zero(struct __sk_buff *skb)
{
	__u64 len = skb->len, none = skb->mark;

	return len / (none - none); // fails: divides_by_zero
}

SEC("cgroup_skb/egress")
int verdict_too_large(struct __sk_buff *skb)
{
	int verdict = 1;

	if (skb->len > 1500)
		asm volatile("%0 = 7" : "=r"(verdict)); // cause: verdict_too_large
	return verdict; // fails: verdict_too_large
}

static __noinline int inner(struct __sk_buff *skb)
{
	char text[300]; // what this function uses counts together with its caller's

	__builtin_memset(text, skb->mark, sizeof(text)); // cause: too_much_together
	return bpf_skb_store_bytes(skb, 0, text, sizeof(text), 0);
}

SEC("tc")
int too_much_together(struct __sk_buff *skb)
{
	char text[300];

	__builtin_memset(text, skb->len, sizeof(text));
	inner(skb);
	return bpf_skb_store_bytes(skb, 0, text, sizeof(text), 0); // fails: too_much_together
}
