"""ebpfvm: run, verify and understand eBPF queueing disciplines, offline."""
