"""One sentence for each message, for readers who do not know the kernel's terse lines by heart."""

from __future__ import annotations

import re
from typing import Final

_RULES: Final[tuple[tuple[str, str], ...]] = (
    (r"R(\d+) !read_ok",
     "R{0} has no value on this path: it was never set, or a call cleared it. Set it on every path before it is "
     "read."),
    (r"R(\d+) invalid mem access '(\w+)_or_null_?'",
     "R{0} may be NULL here. Compare it with NULL first, and use it only where it is not NULL."),
    (r"R(\d+) invalid mem access 'scalar'",
     "R{0} is a number here, not a pointer: it never was a pointer, or the object that it pointed to has been "
     "released."),
    (r"R(\d+) invalid mem access '(\w+)'", "R{0} is a {1}, through which memory cannot be accessed."),
    (r"frame pointer is read only",
     "R10 is the frame pointer and cannot be changed. Copy it to another register first."),
    (r"invalid access to map value, value_size=(\d+) off=(-?\d+) size=(\d+)",
     "the access of {2} bytes at offset {1} is outside of the map's value of {0} bytes."),
    (r"invalid access to packet, off=(-?\d+) size=(\d+).*r=(\d+)\)",
     "the access starts at byte {0}, but only {2} bytes of the packet were compared with its end. Compare the end"
     " of the access with data_end first."),
    (r"R(\d+) offset is outside of the packet", "the pointer is known to be beyond the end of the packet."),
    (r"R(\d+) min value is negative",
     "the offset in R{0} may be negative. Check that it is not, or mask it, before it is used."),
    (r"R(\d+) unbounded memory access", "R{0} has no upper bound. Compare it with a constant before it is used."),
    (r"invalid bpf_context access", "the context cannot be accessed in this way."),
    (r"Unreleased reference id=(\d+) alloc_insn=(\d+)",
     "the program still owns the reference that instruction {1} acquired. Release it or hand it over on every "
     "path."),
    (r"would lead to reference leak", "the program still owns a reference here. Release it first."),
    (r"infinite loop detected",
     "the loop returns to an identical state, so it never ends. Change what its condition tests in each round."),
    (r"BPF program is too large",
     "walking all paths takes more than a million instructions. Simplify the branches or bound the loops."),
    (r"invalid func (\S+)#(\d+)",
     "no helper has the number {1}. Check the kernel version that the program was written for."),
    (r"program of this type cannot use helper (\S+)", "{0} exists, but programs of this type cannot call it."),
    (r"calling kernel function (\S+) is not allowed", "{0} exists, but programs of this type cannot call it."),
    (r"release (?:kfunc|helper) (\S+) expects referenced PTR_TO_BTF_ID passed to R(\d+)",
     "the program does not own R{1}: {0} needs a reference that the program acquired and has not released."),
    (r"release kernel function (\S+) expects refcounted",
     "{0} needs a reference that the program acquired and has not released."),
    (r"R(\d+) type=(\S+) expected=(.+)", "R{0} is a {1}, but this argument must be one of: {2}."),
    (r"unreachable insn (\d+)", "no path leads to instruction {0}. Remove it."),
    (r"jump out of range", "the jump leads out of its function."),
    (r"last insn is not an exit or jmp", "the function may run past its end. End it with exit or a jump."),
    (r"R(\d+) is not a scalar", "R{0} must be a number here."),
    (r"R(\d+) must be referenced or trusted",
     "R{0} was read from memory that others may change. Acquire the object first."),
    (r"Possibly NULL pointer passed", "this argument must not be NULL. Compare the pointer with NULL first."),
    (r"At callback return", "a callback must return 0 to continue or 1 to stop."),
    (r"At program exit", "programs of this type may only return numbers in a certain range."),
    (r"not supported by ebpfvm", "a kernel may accept this, but ebpfvm does not model it and therefore refuses it."),
    (r"invalid(?: read from| write to)? stack R(\d+) off=(-?\d+) size=(\d+)",
     "the {2} bytes at offset {1} are outside of the 512 bytes of stack below R10."),
    (r"misaligned", "the address is not a multiple of the access size. Align it, or access single bytes."),
    (r"pointer arithmetic on (\S+) prohibited, null-check it first",
     "the pointer may be NULL. Compare it with NULL first."),
    (r"pointer arithmetic|pointer prohibited|math between|on pointer prohibited",
     "this arithmetic is not possible on a pointer, which may only be moved by bounded numbers."),
    (r"store to referenced kptr disallowed", "only bpf_kptr_xchg() may change a slot that owns an object."),
    (r"invalid kptr access", "the pointer does not have the type that this slot holds."),
    (r"has no valid kptr",
     "the slot is plain bytes here, because the object does not define the struct that it points to."),
    (r"(?:R|arg#)\d+ is (\w+) expected STRUCT (\w+)", "this argument must point to a struct {1}, but is a {0}."),
    (r"cannot write into packet", "programs of this type may read the packet, but not write it."),
    (r"cannot call (?:GPL-restricted|kernel) function from non-GPL",
     "only programs with a GPL-compatible license may call this function. Set the license of the program."),
    (r"combined stack size",
     "the functions that can be active at the same time use more than 512 bytes of stack together."),
    (r"function calls are not allowed while holding a lock",
     "this function cannot be called while a lock is held. Release the lock first."),
    (r"cannot pass map_type", "this function does not accept maps of this type."),
    (r"div by zero", "the divisor is the constant 0."),
    (r"invalid shift (-?\d+)", "a shift by {0} bits is negative or exceeds the width of the register."),
    (r"tried to subtract pointer from scalar", "a pointer cannot be subtracted from a number. Exchange the operands."),
    (r"subtraction from stack pointer",
     "nothing can be subtracted from the stack pointer. Add a negative number instead."),
    (r"invalid size of register (spill|fill)", "a pointer can only be spilled and filled whole, in eight bytes."),
    (r"dereference of modified (\S+) ptr R(\d+)",
     "R{1} was moved, but a {0} pointer can only be dereferenced unmodified. Use the offset of the instruction "
     "instead."),
    (r"BPF_ATOMIC (?:stores into|loads from) R(\d+) (\S+)", "R{0} is a {1}, which atomic operations cannot access."),
    (r"expected prog array map", "a tail call needs a map of type prog_array."),
    (r"R(\d+) invalid zero-sized read", "the size in R{0} may be 0, but this function needs at least one byte."),
    (r"R6 != pointer to skb", "these loads from the packet need the context in R6."),
    (r"BPF_LD_\[ABS\|IND\] instructions not allowed",
     "programs of this type cannot use these loads. Read the packet through pointers."),
    (r"cannot return stack pointer",
     "a pointer to the stack cannot be returned, because the frame is gone when the function returns."),
    (r"invalid access to memory, mem_size=(\d+) off=(-?\d+) size=(\d+)",
     "the access of {2} bytes at offset {1} is outside of the {0} bytes."),
    (r"has invalid|missing btf|Global function|doesn't match",
     "the object's type information does not match the code. Compile the object again."),
    (r"must be held for (\S+)", "the lock next to the {0} must be held. Take it first."),
    (r"held lock and object", "the lock that is held belongs to another object."),
    (r"cannot be used inside (\S+)", "this is not possible in a {0} region. Leave it first."),
    (r"(?:unmatched|without taking a lock|of different lock)",
     "there is nothing to close here: it was never opened, or is already closed."),
    (r"nested rcu|Locking two", "one of these is already held. Release it first."),
    (r"expected (?:an )?(un)?initialized", "the object on the stack is not in the state that this function needs."),
    (r"call stack of (\d+) frames", "functions call each other {0} deep, which is more than a kernel allows."),
    (r"sequence of (\d+) jumps", "too many paths are waiting to be walked. Simplify the branches."),
    (r"cannot write into (\S+)", "this memory is read-only."),
    (r"cannot be accessed (?:in)?directly", "only special functions may access this field of the value."),
    (r"stack size", "a function can use at most 512 bytes of stack."),
    (r"unknown opcode|uses reserved fields|is invalid", "these bytes are not a valid instruction."),
)
# Messages that mean something of their own for one type of program.
_OF_TYPES: Final = {"qdisc": (
    (re.compile(r"invalid bpf_context access off=0 size=8"),
     "the field ctx->skb may only be set in dequeue, to NULL or to a packet that the program owns."),)}
_COMPILED: Final = tuple((re.compile(pattern), text) for pattern, text in _RULES)


def explain(message: str, prog_type: str = "") -> str:
    """Return a sentence for a message, "" if there is none.

    Args:
        prog_type: name of the program's type, for messages that have a special meaning there.
    """
    for pattern, text in (*_OF_TYPES.get(prog_type, ()), *_COMPILED):
        found = pattern.search(message)
        if found:
            sentence: str = text.format(*found.groups())
            return sentence[:1].upper() + sentence[1:]
    return ""
