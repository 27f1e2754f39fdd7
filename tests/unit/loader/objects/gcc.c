/* What GCC makes: symbols' values in the instructions, types that no kernel takes, static variables without a place. */
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) __typeof__(val) *name
struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } first SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } second SEC(".maps");
void *lookup(void *map, const void *key) __attribute__((kernel_helper(1)));

u64 a = 3, b = 4, zero, none;
static u64 c = 5;
u64 array[4] = { 1, 2, 3, 4 };
const volatile u32 r0 = 5, r1 = 6;
static volatile const u32 inside = 9;
static __noinline int before(int x) { return x * 7; }
static __noinline int times3(int x) { return x * 3; }
int times5(int x);

SEC("tc") int variables(void *ctx)
{
	b++;
	c++;
	none += 2;
	array[2]++;
	return (int)b + r1 + inside + times3((int)c) + before((int)array[2]);
}

SEC("tc") int functions(void *ctx)
{
	zero++;
	return times3(4) + times5(3) + before(2);
}

SEC("tc") int maps(void *ctx)
{
	u32 key = 1;
	u64 *value = lookup(&first, &key);
	return lookup(&second, &key) ? 1 : value ? 2 : 3;
}

__noinline int times5(int x) { return x * 5 + zero; }
char LICENSE[] SEC("license") = "GPL";
