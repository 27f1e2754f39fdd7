// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Arithmetic only: a xorshift generator folded into an FNV-1a hash, 1000 rounds. */
typedef unsigned long long u64;
typedef unsigned int u32;

struct __sk_buff;

__attribute__((section("tc"), used)) int alu(struct __sk_buff *skb)
{
	u64 x = 0x9e3779b97f4a7c15ULL, hash = 0xcbf29ce484222325ULL;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 1000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		hash = (hash ^ (x & 0xffff)) * 0x100000001b3ULL;
	}
	return (int)(hash >> 32 ^ hash);
}

char _license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
