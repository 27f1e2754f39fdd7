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
