/* struct_ops variables. */
#include "defs.h"

struct thing_ops {
	int (*start)(u64 x);
	int (*stop)(u64 x);
	u32 flags;
	char id[16];
};

SEC("struct_ops/start") int start_it(u64 *ctx) { return ctx[0]; }
SEC("struct_ops.s/stop") int stop_it(u64 *ctx) { return 1; }
SEC("?struct_ops") int spare(u64 *ctx) { return 2; }

SEC(".struct_ops") struct thing_ops plain = { .start = (void *)start_it, .flags = 3, .id = "plain" };
SEC(".struct_ops.link") struct thing_ops linked = {
	.start = (void *)start_it, .stop = (void *)stop_it, .id = "linked",
};
SEC("?.struct_ops.link") struct thing_ops optional = { .stop = (void *)stop_it };

char _license[] SEC("license") = "GPL";
