/* Global variables, configuration, and what the kernel is expected to have. */
#include "defs.h"

enum libbpf_tristate { TRI_NO = 0, TRI_YES = 1, TRI_MODULE = 2 };

const volatile u32 limit = 5;
u32 initial = 7;
static volatile u32 hidden_one = 3;
u64 zero;
u8 big[1000];
SEC(".data.A") u64 own = 9;
SEC(".rodata.later") const volatile u32 later = 11;

extern u32 CONFIG_HZ __kconfig;
extern _Bool CONFIG_ON __kconfig;
extern enum libbpf_tristate CONFIG_TRI __kconfig;
extern char CONFIG_CHAR __kconfig;
extern char CONFIG_NAME[8] __kconfig;
extern u64 CONFIG_WEAK __kconfig __weak;

extern int kernel_function(void *ctx) __ksym;
extern int maybe_function(void *ctx) __ksym __weak;
extern const int kernel_variable __ksym;

SEC("tc") int main_prog(void *ctx)
{
	u64 sum = limit + initial + hidden_one + zero + big[10] + own + later;

	zero = sum;
	hidden_one++;
	sum += CONFIG_HZ + CONFIG_ON + CONFIG_TRI + CONFIG_CHAR + CONFIG_NAME[1] + CONFIG_WEAK;
	if (maybe_function)
		sum += maybe_function(ctx);
	return sum + kernel_function(ctx) + (u64)&kernel_variable;
}

char _license[] SEC("license") = "GPL";
