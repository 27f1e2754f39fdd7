"""One sentence for each message, for readers who do not know the kernel's terse lines by heart."""

from __future__ import annotations

import re
from typing import Final

_RULES: Final[tuple[tuple[str, str], ...]] = (
    (r"R(\d+) !read_ok", "R{0} has no value on this path: nothing was put into it, or a call has cleared it."),
    (r"R(\d+) invalid mem access '(\w+)_or_null_?'",
     "R{0} may be NULL here; compare it with NULL first and use it only where it is not."),
    (r"R(\d+) invalid mem access 'scalar'",
     "R{0} is a number here and not a pointer: it was never one, or what it pointed to has been given away."),
    (r"R(\d+) invalid mem access '(\w+)'", "a {1} cannot be read or written through."),
    (r"frame pointer is read only", "R10 holds the address of the stack frame and cannot be changed."),
    (r"invalid access to map value, value_size=(\d+) off=(-?\d+) size=(\d+)",
     "the access of {2} bytes at offset {1} is not inside of the map's value of {0} bytes."),
    (r"invalid access to packet, off=(-?\d+) size=(\d+).*r=(\d+)\)",
     "only {2} bytes of the packet were compared with its end, and byte {0} is used."),
    (r"R(\d+) offset is outside of the packet", "the pointer is known to lie behind the end of the packet."),
    (r"R(\d+) min value is negative", "the offset in R{0} may be negative; give it a lower bound."),
    (r"R(\d+) unbounded memory access", "nothing limits R{0} from above; compare it with a constant first."),
    (r"invalid bpf_context access", "the context cannot be accessed this way."),
    (r"Unreleased reference id=(\d+) alloc_insn=(\d+)",
     "what instruction {1} acquired is still owned here, and has to be released or handed over."),
    (r"would lead to reference leak", "something acquired is still owned here."),
    (r"infinite loop detected", "a second time round the loop finds everything as the first did."),
    (r"BPF program is too large", "the walk over all paths is longer than a million instructions."),
    (r"invalid func (\S+)#(\d+)", "there is no helper with the number {1}."),
    (r"program of this type cannot use helper (\S+)", "{0} exists, but is not offered to programs of this type."),
    (r"calling kernel function (\S+) is not allowed", "{0} exists, but is not offered to programs of this type."),
    (r"release (?:kfunc|helper) (\S+) expects referenced PTR_TO_BTF_ID passed to R(\d+)",
     "R{1} is nothing that the program owns: {0} needs what a matching function acquired and nobody has given back."),
    (r"release kernel function (\S+) expects refcounted",
     "{0} needs what a matching function acquired and nobody has given back."),
    (r"R(\d+) type=(\S+) expected=(.+)", "R{0} is a {1}, and this argument has to be one of: {2}."),
    (r"unreachable insn (\d+)", "no path leads to instruction {0}."),
    (r"jump out of range", "the jump leaves the function."),
    (r"last insn is not an exit or jmp", "the function may run past its end."),
    (r"R(\d+) is not a scalar", "this argument has to be a number."),
    (r"R(\d+) must be referenced or trusted",
     "the pointer was read from memory that others may change; acquire the object first."),
    (r"Possibly NULL pointer passed", "this argument has to be a pointer that was compared with NULL."),
    (r"At callback return", "a callback may return 0 to go on or 1 to stop."),
    (r"At program exit", "this program type may return only numbers of a certain range."),
    (r"not supported by ebpfvm", "a kernel may accept this; ebpfvm does not model it and so refuses it."),
    (r"invalid(?: read from| write to)? stack R(\d+) off=(-?\d+) size=(\d+)",
     "the {2} bytes at offset {1} are not inside of the 512 bytes of stack below R10."),
    (r"misaligned", "the address is not a multiple of the access size."),
    (r"pointer arithmetic on (\S+) prohibited, null-check it first", "compare the pointer with NULL first."),
    (r"pointer arithmetic|pointer prohibited|math between|on pointer prohibited",
     "pointers may only be moved by bounded numbers."),
    (r"store to referenced kptr disallowed", "a slot that owns an object is only changed by bpf_kptr_xchg()."),
    (r"invalid kptr access", "the pointer is not of the kind that this slot holds."),
    (r"has no valid kptr", "the slot is plain bytes here: the object holds no definition of the struct it points to."),
    (r"(?:R|arg#)\d+ is (\w+) expected STRUCT (\w+)", "this argument has to point to a struct {1}, and is a {0}."),
    (r"cannot write into packet", "programs of this type may read packet bytes and not write them."),
    (r"cannot call (?:GPL-restricted|kernel) function from non-GPL",
     "this function is only for programs whose license is compatible with the GPL."),
    (r"combined stack size", "the functions that can be active together use more than 512 bytes of stack."),
    (r"function calls are not allowed while holding a lock", "give the lock back before calling this function."),
    (r"cannot pass map_type", "this function does not take maps of this type."),
    (r"div by zero", "the divisor is the constant 0."),
    (r"invalid shift (-?\d+)", "a shift by {0} bits is more than the register has, or negative."),
    (r"tried to subtract pointer from scalar", "a number minus a pointer means nothing; subtract the other way round."),
    (r"subtraction from stack pointer", "add a negative number to the stack pointer instead."),
    (r"invalid size of register (spill|fill)", "a pointer goes to the stack and back only whole, in eight bytes."),
    (r"dereference of modified (\S+) ptr R(\d+)",
     "R{1} was moved, but a {0} pointer can only be used as it was given; put the offset into the instruction."),
    (r"BPF_ATOMIC (?:stores into|loads from) R(\d+) (\S+)", "memory of the kind {1} cannot be used atomically."),
    (r"expected prog array map", "a tail call needs a map of type prog_array."),
    (r"R(\d+) invalid zero-sized read", "the size in R{0} may be 0, and this function wants at least one byte."),
    (r"R6 != pointer to skb", "loads from the packet take the context from R6."),
    (r"BPF_LD_\[ABS\|IND\] instructions not allowed", "this program type reads packets through pointers only."),
    (r"cannot return stack pointer", "the frame is gone when the function returns."),
    (r"invalid access to memory, mem_size=(\d+) off=(-?\d+) size=(\d+)",
     "the access of {2} bytes at offset {1} is not inside of the {0} bytes."),
    (r"has invalid|missing btf|Global function|doesn't match", "the object's type information does not fit the code."),
    (r"must be held for (\S+)", "take the lock that lies beside the {0} first."),
    (r"held lock and object", "the lock that is held belongs to something else."),
    (r"cannot be used inside (\S+)", "leave the {0} region first."),
    (r"(?:unmatched|without taking a lock|of different lock)", "nothing was opened that could be closed here."),
    (r"nested rcu|Locking two", "one of these is held already."),
    (r"expected (?:an )?(un)?initialized", "the object on the stack is not in the state that this function needs."),
    (r"call stack of (\d+) frames", "functions call each other {0} deep, more than a kernel allows."),
    (r"sequence of (\d+) jumps", "too many paths wait to be walked."),
    (r"cannot write into (\S+)", "this memory may only be read."),
    (r"cannot be accessed (?:in)?directly", "this field of the value is only for its own functions."),
    (r"stack size", "a frame has 512 bytes."),
    (r"unknown opcode|uses reserved fields|is invalid", "these bytes are no instruction."),
)
# Messages that mean something of their own for one type of program.
_OF_TYPES: Final = {"qdisc": (
    (re.compile(r"invalid bpf_context access off=0 size=8"),
     "the field ctx->skb takes NULL or a packet that the program owns, and only in dequeue."),)}
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
