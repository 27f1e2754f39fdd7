// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * fair: a CPU scheduler. The rbtree map holds the tasks that can run, in order of their virtual run times: the time
 * that each has run, divided by its weight. Who has had least runs next, as in the kernel's "completely fair" scheduler
 * before Linux 6.6. With `fair` 0 it is a plain round robin.
 *
 * Teaches: a kptr that is no packet, a map that owns tasks, state by pid that survives sleeping.
 */
#include "sched_task.h"

#define NICE_0 1024

const volatile __u64 slice = 3000000; /* ns */
const volatile __u32 fair = 1;

struct run_key {
	__be64 vruntime;
	__be64 pid;
};

struct run_slot {
	struct task_struct __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 256);
	__type(key, struct run_key);
	__type(value, struct run_slot);
} runqueue SEC(".maps");

/* Virtual run time by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} vruntimes SEC(".maps");

__u64 min_vruntime;
__u64 turn;
__u64 enqueued, picked;

SEC("task_sched/enqueue")
int fair_enqueue(struct sched_task_ctx *ctx)
{
	__u32 pid = ctx->pid;
	__u64 *known = bpf_map_lookup_elem(&vruntimes, &pid);
	__u64 vruntime = known ? *known : min_vruntime;
	struct task_struct *task, *old;
	struct run_slot empty = {}, *slot;
	struct run_key key;

	vruntime += ctx->ran * NICE_0 / (ctx->weight ? ctx->weight : 1);
	/* Who has slept does not come back with a store of unused time; half a slice is what it is ahead of others. */
	if (vruntime + slice / 2 < min_vruntime)
		vruntime = min_vruntime - slice / 2;
	bpf_map_update_elem(&vruntimes, &pid, &vruntime, BPF_ANY);
	key.vruntime = bpf_cpu_to_be64(fair ? vruntime : turn++);
	key.pid = bpf_cpu_to_be64(pid);

	task = bpf_task_from_pid(pid);
	if (!task)
		return 1;
	if (bpf_map_update_elem(&runqueue, &key, &empty, BPF_NOEXIST))
		goto release;
	slot = bpf_map_lookup_elem(&runqueue, &key);
	if (!slot)
		goto release;
	old = bpf_kptr_xchg(&slot->task, task);
	if (old)
		bpf_task_release(old);
	enqueued++;
	return 0;

release:
	bpf_task_release(task);
	return 1;
}

static long first_key(__unused void *map, const struct run_key *key, __unused struct run_slot *slot,
		      struct run_key *first)
{
	*first = *key;
	return 1;
}

SEC("task_sched/pick")
int fair_pick(struct sched_task_ctx *ctx)
{
	struct run_key first = {};
	struct task_struct *task;
	struct run_slot *slot;

	if (bpf_for_each_map_elem(&runqueue, first_key, &first, 0) <= 0)
		return 0; /* nobody can run */
	slot = bpf_map_lookup_elem(&runqueue, &first);
	if (!slot)
		return 0;
	task = bpf_kptr_xchg(&slot->task, NULL);
	bpf_map_delete_elem(&runqueue, &first);
	if (!task)
		return 0;
	if (fair && bpf_be64_to_cpu(first.vruntime) > min_vruntime)
		min_vruntime = bpf_be64_to_cpu(first.vruntime);
	ctx->pid = bpf_be64_to_cpu(first.pid);
	ctx->slice = slice;
	picked++;
	bpf_task_release(task); /* the CPU has a reference of its own */
	return 1;
}

LICENSE("Dual MIT/GPL");
