// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the limit of a new qdisc is 0 until init sets it.
 */
// because: init does not set `limit`, so enqueue drops every packet.
#define OWN_INIT
#include "base.h"

SEC("struct_ops/init")
int init(__unused u64 *ctx)
{
	return 0; /* <-- the mistake */
}
