// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a program cannot wait. Nothing else runs while it does, so the queue it waits for never gets shorter. To
 * try again later is what THROTTLE is for.
 */
// expect: infinite loop detected at insn
// because: a second time round the loop finds everything as the first did, so it may go on for ever.
#include "sch_bpf_rfc6.h"

volatile __u32 queue_len;

SEC("sch_bpf/dequeue")
int endless_loop(__unused struct sch_bpf_ctx *ctx)
{
	while (queue_len < 10); // <-- refused here
	return SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
