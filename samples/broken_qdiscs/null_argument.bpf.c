// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a qdisc may be created without options; the verifier does not know.
 */
// because: `opt` is NULL for a qdisc that `tc` creates, since registered kinds have no options.
#define OWN_INIT
#include "base.h"

struct nlattr {
	__u16 nla_len;
} __attribute__((preserve_access_index));

SEC("struct_ops/init")
int init(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct nlattr *opt = (void *)ctx[1];

	sch->limit = 100 + opt->nla_len; /* <-- the mistake */
	return 0;
}
