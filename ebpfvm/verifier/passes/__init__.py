"""The passes before the walk (bpf_check of kernel/bpf/verifier.c): functions, BTF, maps, control flow, constants."""
