/* An object of the time before BTF and libbpf: iproute2's maps, static programs, no license. Built without -g. */
#include "defs.h"

struct bpf_elf_map {
	u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map SEC("maps") table = { .type = 1, .size_key = 4, .size_value = 8, .max_elem = 10, .pinning = 2,
					 .inner_idx = -1 };
struct bpf_elf_map SEC("maps") jumps = { .type = 3, .size_key = 4, .size_value = 4, .max_elem = 2, .id = 7,
					 .inner_idx = -1 };
struct bpf_elf_map SEC("maps") inner = { .type = 2, .size_key = 4, .size_value = 4, .max_elem = 1, .id = 9,
					 .inner_idx = 3 };
struct bpf_elf_map SEC("maps") outer = { .type = 12, .size_key = 4, .size_value = 4, .max_elem = 5, .inner_id = 9,
					 .inner_idx = -1 };

static SEC("7/0") int tail(void *ctx)
{
	u32 key = 3;

	return bpf_map_lookup_elem(&outer, &key) != 0;
}

SEC("classifier_main") int cls(void *ctx)
{
	u32 key = 0;

	bpf_tail_call(ctx, &jumps, 0);
	return bpf_map_lookup_elem(&table, &key) != 0;
}
