"""When a path may stop: kept states, their comparison, and which numbers matter (kernel/bpf/states.c, backtrack.c)."""
