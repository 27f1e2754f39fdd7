// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Bubble sort of 64 numbers on the stack, and a checksum of their order. */
typedef unsigned int u32;

struct __sk_buff;

__attribute__((section("tc"), used)) int sort(struct __sk_buff *skb)
{
	u32 a[64], x = 12345, sum = 0;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 64; i++) {
		x = x * 1664525 + 1013904223;
		a[i & 63] = x >> 8;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 63; i++)
#pragma clang loop unroll(disable)
		for (u32 j = 0; j < 63 - i; j++)
			if (a[j & 63] > a[(j + 1) & 63]) {
				u32 swap = a[j & 63];

				a[j & 63] = a[(j + 1) & 63];
				a[(j + 1) & 63] = swap;
			}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 64; i++)
		sum = sum * 31 + a[i & 63];
	return (int)sum;
}

char _license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
