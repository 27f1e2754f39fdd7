// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * queue: the second half of an EDT limiter, the root qdisc. Packets leave at skb->tstamp and not before. There is room
 * for `limit` packets; what does not fit is dropped, and the tokens that clsact took for it go back to its account.
 *
 * With `give_back` 0 it is the plain EDT limiter: the clsact program never learns of the drop, the sender has paid for
 * a packet that nobody got, and the departure times of all later packets lie too late.
 *
 * Teaches: enqueue that corrects what another hook has done.
 */
#include "../../rfc/pifo.h"
#include "accounts.h"

const volatile __u32 limit = 50;
const volatile __u32 give_back = 1;

__u64 dropped;
__u64 returned; /* bytes */

SEC("sch_bpf/enqueue")
int edt_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 sender = ctx->skb->mark;
	__u64 len = ctx->skb->len;
	struct account *account;

	if (pifo_len < limit && !pifo_push(ctx, ctx->skb->tstamp))
		return SCH_BPF_QUEUED;
	dropped++;
	account = give_back ? bpf_map_lookup_elem(&accounts, &sender) : NULL;
	if (account) {
		account->next -= cost(len);
		account->given_back += len;
		returned += len;
	}
	return SCH_BPF_DROP;
}

SEC("sch_bpf/dequeue")
int edt_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};
	__u64 departure, now = bpf_ktime_get_ns();

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	departure = bpf_be64_to_cpu(first.rank);
	if (departure > now) {
		ctx->delay = departure - now;
		return SCH_BPF_THROTTLE;
	}
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
