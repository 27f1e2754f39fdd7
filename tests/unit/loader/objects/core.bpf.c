/* CO-RE relocations of every kind. */
#include "defs.h"

#define preserve __attribute__((preserve_access_index))
#define field_info(field, kind) __builtin_preserve_field_info(field, kind)
#define type_id(type, kind) __builtin_btf_type_id(*(typeof(type) *)0, kind)
#define type_info(type, kind) __builtin_preserve_type_info(*(typeof(type) *)0, kind)
#define enum_value(type, name, kind) __builtin_preserve_enum_value(*(typeof(type) *)name, kind)

struct inside {
	u32 a;
	u32 b;
} preserve;

enum color { RED = 1, BLUE = 5 };

struct outside {
	u64 first;
	union {
		struct inside in;
		u64 whole;
	};
	u32 list[4];
	u32 bits1 : 3;
	int bits2 : 7;
	u8 narrow;
	struct outside *next;
} preserve;

struct gone {
	u64 x;
	u64 missing;
} preserve;

struct flexible {
	u64 count;
	u32 tail[];
} preserve;

struct twice {
	u32 here;
} preserve;

struct renamed___v2 {
	u32 value;
} preserve;

u64 results[32];

SEC("tc") int offsets(struct outside *o)
{
	o->in.b = o->in.a;
	o->list[2] = o->narrow;
	return o->next->list[1] + *(u64 *)&o->whole;
}

SEC("tc") int infos(struct outside *o)
{
	struct gone *g = (void *)o;

	results[0] = field_info(o->in.b, 0);
	results[1] = field_info(o->in.b, 1);
	results[2] = field_info(o->in.b, 2);
	results[3] = field_info(g->missing, 2);
	results[4] = field_info(o->bits2, 3);
	results[5] = field_info(o->bits1, 4);
	results[6] = field_info(o->bits1, 5);
	results[7] = type_id(struct outside, 0);
	results[8] = type_id(struct outside, 1);
	results[9] = type_info(struct outside, 0);
	results[10] = type_info(struct gone, 0);
	results[11] = type_info(struct outside, 1);
	results[12] = enum_value(enum color, BLUE, 0);
	results[13] = enum_value(enum color, BLUE, 1);
	results[14] = type_info(struct outside, 2);
	return 0;
}

SEC("tc") int flexible(struct flexible *f)
{
	return f->tail[9];
}

SEC("tc") int flavour(struct renamed___v2 *r)
{
	return r->value;
}

SEC("tc") int ambiguous(struct twice *t)
{
	return t->here;
}

SEC("tc") int store(struct outside *o)
{
	o->narrow = 3;
	return 0;
}

SEC("tc") int lost(struct gone *g)
{
	return g->missing;
}

char _license[] SEC("license") = "GPL";
