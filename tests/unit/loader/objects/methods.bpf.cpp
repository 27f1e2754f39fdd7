/* C++: methods, templates, inheritance, lambdas. Their types are none that a kernel takes; the programs are. */
typedef unsigned int u32;
typedef unsigned long long u64;
struct __sk_buff { u32 len, pkt_type, mark; };
#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) __typeof__(val) *name

template<class A, class B> struct Pair { A a; B b; A sum() const; };
template<class A, class B> __noinline A Pair<A, B>::sum() const { return a + b; }

namespace {
enum class Color : u32 { red = 1, blue = 2 };
struct Base { u32 x; __noinline u32 get() { return x; } };
struct Derived : Base { u32 y; };
struct Value { u64 hits; u32 last; void bump(u32 to) { hits++; last = to; } };
}

extern "C" {
struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, Value); } counts SEC(".maps");
static void *(*lookup)(void *, const void *) = (void *(*)(void *, const void *))1;
u32 counter = 5;
const volatile u32 limit = 3;

SEC("tc") int templates(struct __sk_buff *skb)
{
	Pair<u32, u32> pair{ skb->len, 4 };
	return pair.sum();
}

SEC("tc") int inheritance(struct __sk_buff *skb)
{
	Derived derived{ { skb->len }, 6 };
	Color color = skb->mark ? Color::red : Color::blue;
	return derived.get() + derived.y + (u32)color;
}

SEC("tc") int map_value(struct __sk_buff *skb)
{
	u32 key = 1;
	Value *value = (Value *)lookup(&counts, &key);
	if (!value)
		return 99;
	value->bump(skb->len);
	counter++;
	return value->last + value->hits + counter + limit;
}

char LICENSE[] SEC("license") = "GPL";
}
