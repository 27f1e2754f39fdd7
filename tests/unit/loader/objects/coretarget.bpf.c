/* The types of core.bpf.c as another kernel has them: moved, widened, hidden in anonymous members, and gone. */
#include "defs.h"

struct inside {
	u64 before;
	u32 b;
	u32 a;
};

enum color { RED = 2, GREEN = 3, BLUE = 7 };

struct outside {
	struct {
		u64 padding[4];
		union {
			u64 whole;
			struct inside in;
		};
	};
	u64 more;
	struct outside *next;
	u32 list[8];
	u64 bits0 : 5;
	int bits2 : 7;
	u32 bits1 : 3;
	u32 narrow;
	u64 first;
};

struct gone {
	u64 x;
};

struct flexible {
	u32 count;
	u32 tail[];
};

struct renamed {
	u64 more;
	u32 value;
};

struct twice {
	u32 here;
};

struct twice___other {
	u32 before;
	u32 here;
};

struct outside outside;
struct gone gone;
struct flexible flexible;
struct renamed renamed;
struct twice twice;
struct twice___other twice_other;
enum color color;

SEC("tc") int prog(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
