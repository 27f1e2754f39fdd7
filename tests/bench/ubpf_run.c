// SPDX-License-Identifier: MIT
/*
 * Runs one program in uBPF's interpreter (bounds checks off: the packet and the maps are not its memory), with array
 * and hash maps as helpers 1 (look-up) and 2 (update). Arguments: file (see ubpf.py), number of runs.
 * A map's "address" in the program is its number. Packets lie in the lower 4 GB, because the context holds 32-bit
 * pointers to them.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ubpf.h>

enum { HASH = 1, ARRAY = 2, MAX_MAPS = 16 };

struct map {
	uint32_t type, key_size, value_size, max_entries;
	uint8_t *values, *keys, *used;
};

static struct map maps[MAX_MAPS];

/* The element's number, or that of the free place where it belongs (hash), or -1. */
static int64_t place(struct map *m, const uint8_t *key)
{
	uint32_t at = 2166136261u;

	if (m->type == ARRAY) {
		memcpy(&at, key, 4);
		return at < m->max_entries ? (int64_t)at : -1;
	}
	for (uint32_t i = 0; i < m->key_size; i++)
		at = (at ^ key[i]) * 16777619u;
	for (uint32_t i = 0; i < m->max_entries; i++) {
		uint32_t n = (at + i) % m->max_entries;

		if (!m->used[n] || !memcmp(m->keys + (size_t)n * m->key_size, key, m->key_size))
			return n;
	}
	return -1;
}

static uint64_t lookup(uint64_t map, uint64_t key, uint64_t a, uint64_t b, uint64_t c)
{
	struct map *m = &maps[map];
	int64_t n = place(m, (const uint8_t *)(uintptr_t)key);

	(void)a, (void)b, (void)c;
	return n < 0 || !m->used[n] ? 0 : (uint64_t)(uintptr_t)(m->values + (size_t)n * m->value_size);
}

static uint64_t update(uint64_t map, uint64_t key, uint64_t value, uint64_t flags, uint64_t c)
{
	struct map *m = &maps[map];
	int64_t n = place(m, (const uint8_t *)(uintptr_t)key);

	(void)flags, (void)c;
	if (n < 0)
		return (uint64_t)-7;
	m->used[n] = 1;
	memcpy(m->keys + (size_t)n * m->key_size, (const void *)(uintptr_t)key, m->key_size);
	memcpy(m->values + (size_t)n * m->value_size, (const void *)(uintptr_t)value, m->value_size);
	return 0;
}

static void take(void *to, size_t size, FILE *from)
{
	if (size && fread(to, size, 1, from) != 1) {
		fprintf(stderr, "the question is cut short\n");
		exit(2);
	}
}

static void make_map(struct map *m, FILE *from)
{
	take(m, 16, from);
	m->values = calloc(m->max_entries, m->value_size);
	m->keys = calloc(m->max_entries, m->key_size);
	m->used = calloc(m->max_entries, 1);
	if (m->type == ARRAY)
		memset(m->used, 1, m->max_entries);
}

int main(int argc, char **argv)
{
	FILE *from = argc == 3 ? fopen(argv[1], "rb") : NULL;
	uint32_t counts[3], context[48] = { 0 };
	uint64_t r0 = 0;
	char *error = NULL;
	struct ubpf_vm *vm = ubpf_create();

	if (!from || !vm)
		return 2;
	take(counts, sizeof(counts), from);
	uint8_t *code = malloc(counts[0]);
	uint8_t *packet = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (packet == MAP_FAILED || counts[1] > MAX_MAPS || counts[2] > 65536)
		return 2;
	take(code, counts[0], from);
	for (uint32_t i = 0; i < counts[1]; i++)
		make_map(&maps[i], from);
	take(packet, counts[2], from);
	context[0] = counts[2];
	context[19] = (uint32_t)(uintptr_t)packet;
	context[20] = context[19] + counts[2];

	ubpf_toggle_bounds_check(vm, false);
	ubpf_register(vm, 1, "lookup", (void *)lookup);
	ubpf_register(vm, 2, "update", (void *)update);
	if (ubpf_load(vm, code, counts[0], &error)) {
		fprintf(stderr, "%s\n", error ? error : "cannot load");
		return 1;
	}
	clock_t begin = clock();

	for (long left = atol(argv[2]); left > 0; left--)
		if (ubpf_exec(vm, context, sizeof(context), &r0)) {
			fprintf(stderr, "the run failed\n");
			return 1;
		}
	printf("{\"r0\": %u, \"seconds\": %f}\n", (unsigned)r0, (double)(clock() - begin) / CLOCKS_PER_SEC);
	return 0;
}
