/* SPDX-License-Identifier: MIT */
/*
 * The context of a CPU scheduler's programs in ebpfvm. It is of no patch: the RFC's cover letter says that its map could
 * schedule tasks, and leaves open by which hook. The kfuncs are Linux's own (since 6.2).
 */
#ifndef SCHED_TASK_H
#define SCHED_TASK_H

#include "sch_bpf_rfc6.h"

struct sched_task_ctx {
	__u32 pid;    /* enqueue: who can run; pick: out, who runs next */
	__u32 weight; /* enqueue: 1024 for nice 0 */
	__u64 ran;    /* enqueue: ns since it was enqueued last */
	__u64 slice;  /* pick: out, ns that it may run */
};

_Static_assert(__builtin_offsetof(struct sched_task_ctx, slice) == 16, "see ebpfvm.sched.cpu");

/* Nothing of a task can be read: it is a thing to hold. */
struct task_struct {
	int pid;
};

extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;

#endif /* SCHED_TASK_H */
