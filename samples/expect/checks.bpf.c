// SPDX-License-Identifier: MIT
/* Programs that say what is expected of them: `ebpfvm test samples/expect/checks.o`, or `pytest samples/expect`. */
#include "sch_bpf_rfc6.h"
#include "bpf_expect.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

SEC("tc")
__description("the length of the packet is counted")
__success __retval(64)
int count_bytes(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *bytes = bpf_map_lookup_elem(&counters, &key);

	if (!bytes)
		return -1;
	*bytes += skb->len;
	return *bytes;
}

SEC("tc")
__failure
__msg("R0 invalid mem access 'map_value_or_null'")
__msg("processed {{[0-9]+}} insns")
int no_null_check(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	__u64 *bytes = bpf_map_lookup_elem(&counters, &key);

	*bytes += skb->len;
	return 0;
}

SEC("socket")
__success __failure_unpriv __msg_unpriv("R0 leaks addr as return value")
__naked int address(void)
{
	asm volatile("r0 = r10; exit;");
}

SEC("tc")
__success __retval(2)
__log_level(2) __flag(BPF_F_TEST_STATE_FREQ)
__msg("R{{[0-9]}}=pkt_end()") __msg("from {{[0-9]+}} to {{[0-9]+}}: ") __not_msg("invalid access to packet")
int header(struct __sk_buff *skb)
{
	char *data = (char *)(long)skb->data, *end = (char *)(long)skb->data_end;

	if (data + 14 > end)
		return 1;
	return data[12] ? 1 : 2;
}

LICENSE("GPL");
