// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a context is a list of fields, not memory to write as you like. classid has four bytes; eight would
 * spill over into the padding behind it.
 */
// expect: invalid bpf_context access off=8 size=8
// because: ctx->classid is four bytes long, and this store writes eight at its offset.
#include "sch_bpf_rfc6.h"

SEC("sch_bpf/enqueue")
int ctx_write(struct sch_bpf_ctx *ctx)
{
	__u64 *class = (__u64 *)&ctx->classid;

	*class = 0x10001; // <-- refused here
	return SCH_BPF_PASS;
}

LICENSE("Dual MIT/GPL");
