// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: helpers are called by number, and the kernel has a list of them. A number from a newer kernel, or a typing
 * error, ends here.
 */
// expect: invalid func unknown#9999
// because: there is no helper 9999.
#include "sch_bpf_rfc6.h"

static long (*const bpf_no_such_helper)(void *ctx) = (void *)9999;

SEC("sch_bpf/enqueue")
int unknown_helper(struct sch_bpf_ctx *ctx)
{
	return bpf_no_such_helper(ctx) ? SCH_BPF_DROP : SCH_BPF_CN; // <-- refused here
}

LICENSE("Dual MIT/GPL");
