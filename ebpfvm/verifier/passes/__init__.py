"""The passes before and after the walk (bpf_check of kernel/bpf/verifier.c)."""
