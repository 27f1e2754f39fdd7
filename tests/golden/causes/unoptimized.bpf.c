/* Without optimization, which the answer has to say. */
#include "causes.h"

SEC("xdp")
int helper_through_register(struct xdp_md *ctx)
{
	return bpf_get_prandom_u32() & 1; // fails: helper_through_register
}

SEC("xdp")
int variables_on_stack(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if (data + 2 > end) // cause: variables_on_stack
		return XDP_DROP;
	return eth->h_proto == 8; // fails: variables_on_stack
}
