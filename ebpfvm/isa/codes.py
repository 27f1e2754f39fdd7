"""Numbers of the instruction encoding (RFC 9669 section 3, uapi/linux/bpf.h), by their kernel names."""

from __future__ import annotations

from typing import Final

# Instruction classes: the low three bits of the opcode.
BPF_LD: Final = 0x00
BPF_LDX: Final = 0x01
BPF_ST: Final = 0x02
BPF_STX: Final = 0x03
BPF_ALU: Final = 0x04
BPF_JMP: Final = 0x05
BPF_JMP32: Final = 0x06
BPF_ALU64: Final = 0x07

# Size field of loads and stores.
BPF_W: Final = 0x00
BPF_H: Final = 0x08
BPF_B: Final = 0x10
BPF_DW: Final = 0x18

# Mode field of loads and stores.
BPF_IMM: Final = 0x00
BPF_ABS: Final = 0x20
BPF_IND: Final = 0x40
BPF_MEM: Final = 0x60
BPF_MEMSX: Final = 0x80
BPF_ATOMIC: Final = 0xC0

# Source bit of ALU and jumps.
BPF_K: Final = 0x00
BPF_X: Final = 0x08

# Operations of ALU and ALU64.
BPF_ADD: Final = 0x00
BPF_SUB: Final = 0x10
BPF_MUL: Final = 0x20
BPF_DIV: Final = 0x30
BPF_OR: Final = 0x40
BPF_AND: Final = 0x50
BPF_LSH: Final = 0x60
BPF_RSH: Final = 0x70
BPF_NEG: Final = 0x80
BPF_MOD: Final = 0x90
BPF_XOR: Final = 0xA0
BPF_MOV: Final = 0xB0
BPF_ARSH: Final = 0xC0
BPF_END: Final = 0xD0

# Operations of JMP and JMP32.
BPF_JA: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_JGT: Final = 0x20
BPF_JGE: Final = 0x30
BPF_JSET: Final = 0x40
BPF_JNE: Final = 0x50
BPF_JSGT: Final = 0x60
BPF_JSGE: Final = 0x70
BPF_CALL: Final = 0x80
BPF_EXIT: Final = 0x90
BPF_JLT: Final = 0xA0
BPF_JLE: Final = 0xB0
BPF_JSLT: Final = 0xC0
BPF_JSLE: Final = 0xD0
BPF_JCOND: Final = 0xE0  # may_goto

# Atomic operations, in the immediate.
BPF_FETCH: Final = 0x01
BPF_XCHG: Final = 0xE0 | BPF_FETCH
BPF_CMPXCHG: Final = 0xF0 | BPF_FETCH
BPF_LOAD_ACQ: Final = 0x100
BPF_STORE_REL: Final = 0x110

# Meaning of src_reg in a 64-bit immediate load.
BPF_PSEUDO_MAP_FD: Final = 1
BPF_PSEUDO_MAP_VALUE: Final = 2
BPF_PSEUDO_BTF_ID: Final = 3
BPF_PSEUDO_FUNC: Final = 4
BPF_PSEUDO_MAP_IDX: Final = 5
BPF_PSEUDO_MAP_IDX_VALUE: Final = 6

# Meaning of src_reg in a call.
BPF_PSEUDO_CALL: Final = 1
BPF_PSEUDO_KFUNC_CALL: Final = 2

# off and imm of an addr_space_cast / per-cpu move.
BPF_ADDR_SPACE_CAST: Final = 1
BPF_ADDR_PERCPU: Final = -1

MAX_BPF_REG: Final = 11
BPF_REG_FP: Final = 10
MAX_BPF_STACK: Final = 512



def bpf_class(code: int) -> int:
    """Return the instruction class: the low three bits."""
    return code & 0x07


def bpf_op(code: int) -> int:
    """Return the operation of an ALU or jump opcode: the high four bits."""
    return code & 0xF0


def bpf_mode(code: int) -> int:
    """Return the mode of a load or store: the high three bits."""
    return code & 0xE0


def bpf_size(code: int) -> int:
    """Return the size field of a load or store (`BPF_B` ... `BPF_DW`)."""
    return code & 0x18


SIZE_BYTES: Final = {BPF_B: 1, BPF_H: 2, BPF_W: 4, BPF_DW: 8}
