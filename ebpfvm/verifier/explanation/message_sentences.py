"""Sentences about a rejection, for readers who do not know the kernel's terse lines by heart.

The property that the program violates says what the rejection is about. The message is only looked at for its values,
and to tell apart the cases that one property covers. Where the property's own rule says it all, nothing is listed here.
"""

from __future__ import annotations

import re
from typing import Final

from ebpfvm.verifier.machine import properties as p

_ANY: Final = ""
_MEMORY_TOO_SMALL: Final = (
    r"mem_size=(\d+) off=(-?\d+) size=(\d+)",
    "The access of {2} bytes at offset {1} is outside of the {0} bytes of this memory.")
_NO_LOWER_BOUND: Final = (r"R(\d+) min value is negative",
                          "The offset in R{0} may be negative. Check that it is not, or mask it, before it is used.")
_NO_UPPER_BOUND: Final = (r"R(\d+) unbounded memory access",
                          "R{0} has no upper bound. Compare it with a constant before it is used.")

_SENTENCES: Final[dict[p.Property, tuple[tuple[str, str], ...]]] = {
    p.GPL_ONLY: (
        (r"function from non-GPL",
         "Only programs with a GPL-compatible license may call this function. Set the license of the program."),),
    p.JUMP_TARGET: (
        (r"out of range", "The jump leads out of its function."),
        (r"middle of ldimm64 insn (\d+)",
         "Instruction {0} takes two slots, and the jump leads to the second one.")),
    p.MISSING_EXIT: ((_ANY, "The function may run past its end. End it with exit or a jump."),),
    p.UNREACHABLE_INSN: ((r"insn (\d+)", "No path leads to instruction {0}. Remove it."),),
    p.INFINITE_LOOP: (
        (_ANY,
         "The loop returns to an identical state, so it never ends. Change what its condition tests in each round."),),
    p.RECURSION: ((r"from (\S+)\(\) to (\S+)\(\)", "{0}() calls {1}(), which is active already; use a loop instead."),),
    p.CALL_DEPTH: (
        (r"call stack of (\d+) frames",
         "Functions call each other {0} deep, which is more than this kernel allows."),),
    p.STACK_DEPTH: (
        (r"combined stack size of (\d+) calls is (\d+)",
         "The {0} functions that can be active together use {1} bytes of stack; the limit is 512."),
        (r"tail_calls .* is (\d+) bytes",
         "A tail call keeps the stack of the callers, which is {0} bytes here; the limit is 256."),
        (r"is (\d+)\. Too large", "The function uses {0} bytes of stack; the limit is 512.")),
    p.TOO_COMPLEX: (
        (r"too large",
         "Walking all paths takes more than a million instructions. Simplify the branches or bound the loops."),
        (r"sequence of (\d+) jumps", "Too many paths ({0}) are waiting to be walked. Simplify the branches.")),
    p.INVALID_INSN: (
        (r"(R\d+) is invalid", "There is no register {0}; programs have R0 to R10."),
        (r"unknown opcode (\w+)", "This kernel has no instruction with the opcode 0x{0}."),
        (r"uses reserved fields", "A field that this instruction does not use is not zero.")),
    p.CONSTANT_OPERAND: (
        (r"div by zero", "The divisor is the constant 0."),
        (r"invalid shift (-?\d+)", "A shift by {0} bits is negative or exceeds the width of the register.")),
    p.FRAME_POINTER: ((_ANY, "R10 is the frame pointer and cannot be changed. Copy it to another register first."),),
    p.UNINIT_REGISTER: (
        (r"R(\d+) !read_ok",
         "R{0} has no value on this path: it was never set, or a call cleared it. Set it on every path before it "
         "is read."),),
    p.POINTER_ARITHMETIC: (
        (r"tried to subtract pointer", "A pointer cannot be subtracted from a number. Exchange the operands."),
        (r"subtraction from stack pointer",
         "Nothing can be subtracted from the stack pointer. Add a negative number instead."),
        (r"32-bit", "A 32-bit instruction would truncate the pointer; use the 64-bit one."),
        (r"R\d+ pointer arithmetic on (\w+) prohibited",
         "A pointer of the kind {0} cannot be moved; use it as it was given."),
        (_ANY, "This arithmetic is not possible on a pointer, which may only be moved by bounded numbers.")),
    p.POINTER_OFFSET: (
        (r"unbounded min value",
         "Nothing limits the number from below; compare it with a constant before the addition."),
        (r"(-?\d+) (?:makes|is not allowed)|offset (-?\d+)",
         "The result would be more than 512 MiB away from where the pointer began.")),
    p.NOT_A_POINTER: (
        (r"R(\d+) invalid mem access",
         "R{0} is a number here, not a pointer: it never was a pointer, or the object that it pointed to has been "
         "released."),),
    p.NULL_DEREFERENCE: (
        (r"R(\d+) invalid mem access",
         "R{0} may be NULL here. Compare it with NULL first, and use it only where it is not NULL."),
        (r"null-check", "The pointer may be NULL. Compare it with NULL before it is moved.")),
    p.OPAQUE_POINTER: (
        (r"R(\d+) invalid mem access '(\w+)'", "R{0} is a {1}, through which memory cannot be accessed."),),
    p.STACK_BOUNDS: (
        (r"stack R(\d+) off=(-?\d+) size=(\d+)",
         "The {2} bytes at offset {1} are outside of the 512 bytes of stack below R10."),
        (r"variable-offset.*stack R(\d+) var_off",
         "Not every offset that R{0} may have lies inside the 512 bytes of stack below R10; check the index first."),
        (r"unbounded.*stack R(\d+)",
         "Nothing limits the offset of R{0}; compare the index with a constant first.")),
    p.UNINIT_STACK: (
        (r"poisoned", "These bytes were found to be never read, and so their value was dropped."),
        (r"stack R(\d+) off (-?\d+)\+(\d+) size (\d+)",
         "Byte {2} of the {3} bytes at offset {1} was not written, or holds something other than plain data.")),
    p.STACK_POINTER_ESCAPE: (
        (r"return",
         "A pointer to the stack cannot be returned, because the frame is gone when the function returns."),
        (r"spill", "A pointer into this frame would stay behind in the caller's frame.")),
    p.SPILL_SIZE: ((_ANY, "A pointer can only be spilled and filled whole, in eight bytes."),),
    p.PACKET_BOUNDS: (
        (r"invalid access to packet, off=(-?\d+) size=(\d+).*r=(\d+)\)",
         "The access starts at byte {0}, but only {2} bytes of the packet were compared with its end. Compare the "
         "end of the access with data_end first."),
        (r"offset is outside of the packet", "The pointer is known to be beyond the end of the packet."),
        _NO_LOWER_BOUND,
        _NO_UPPER_BOUND),
    p.PACKET_WRITE: ((_ANY, "Programs of this type may read the packet, but not write it."),),
    p.MAP_VALUE_BOUNDS: (
        (r"value_size=(\d+) off=(-?\d+) size=(\d+)",
         "The access of {2} bytes at offset {1} is outside of the map's value of {0} bytes."),
        _NO_LOWER_BOUND,
        _NO_UPPER_BOUND),
    p.MEMORY_BOUNDS: (
        (r"map key, key_size=(\d+) off=(-?\d+) size=(\d+)",
         "The access of {2} bytes at offset {1} is outside of the map's key of {0} bytes."),
        _MEMORY_TOO_SMALL,
        _NO_LOWER_BOUND,
        _NO_UPPER_BOUND),
    p.CONTEXT_ACCESS: (
        (r"invalid bpf_context access", "The context cannot be accessed in this way."),
        (r"ctx_size=(\d+) off=(-?\d+) size=(\d+)",
         "The access of {2} bytes at offset {1} is outside of the context of {0} bytes."),
        _NO_LOWER_BOUND,
        _NO_UPPER_BOUND),
    p.MODIFIED_POINTER: (
        (r"dereference of modified (\S+) ptr R(\d+)",
         "R{1} was moved, but a {0} pointer can only be dereferenced unmodified. Use the offset of the instruction"
         " instead."),
        (r"variable (\S+) access", "A pointer of the kind {0} cannot be used at a variable offset."),
        (r"R(\d+) must have zero offset",
         "R{0} was moved; pass the pointer as the function that acquired it returned it.")),
    p.ALIGNMENT: (
        (r"size (\d+)",
         "The address is not a multiple of {0}, the size of the access. Align it, or access single bytes."),),
    p.READ_ONLY_MEMORY: (
        (r"(\w+)\(\) may write into memory pointed by R(\d+)",
         "{0}() would write to the memory that R{1} points to, which can only be read."),
        (r"cannot write into (\S+)", "Memory of the kind {0} can only be read.")),
    p.SPECIAL_FIELD: (
        (r"(?:direct access to )?(\w+) (?:cannot be accessed|is disallowed)",
         "The {0} in this value can be used only by its own functions."),),
    p.KPTR_ACCESS: (
        (r"store to referenced kptr", "Only bpf_kptr_xchg() may change a slot that owns an object."),
        (r"invalid kptr access", "The pointer does not have the type that this slot holds.")),
    p.ATOMIC_OPERAND: ((r"R(\d+) (\S+) is not allowed", "R{0} is a {1}, which atomic operations cannot access."),),
    p.UNKNOWN_HELPER: (
        (r"invalid func (\S+)#(\d+)",
         "No helper has the number {1}. Check the kernel version that the program was written for."),),
    p.HELPER_NOT_ALLOWED: ((r"cannot use helper (\S+)", "{0} exists, but programs of this type cannot call it."),),
    p.KFUNC_NOT_ALLOWED: (
        (r"function (\S+) is not allowed",
         "{0} exists, but this program cannot call it: that depends on its type, and in struct_ops on its member."),),
    p.HELPER_MAP_TYPE: (
        (r"expected prog array map", "A tail call needs a map of type prog_array."),
        (r"cannot pass map_type", "This function does not accept maps of this type.")),
    p.ARGUMENT_TYPE: (
        (r"R(\d+) type=(\w+)_or_null expected=.*\b\2\b",
         "R{0} may be NULL here; compare it with NULL before the call."),
        (r"R(\d+) type=(\S+) expected=(.+)", "R{0} is a {1}, but this argument must be one of: {2}."),
        (r"R(\d+) is not a scalar", "R{0} must be a number here."),
        (r"expected pointer to STRUCT (\S+) but R(\d+) has a pointer to STRUCT (\S+)",
         "R{1} points to a struct {2}, but this argument must point to a struct {0}."),
        (r"(?:R|arg#)\d+ is (\w+) expected STRUCT (\w+)",
         "This argument must point to a struct {1}, but is a {0}.")),
    p.NULL_ARGUMENT: ((_ANY, "This argument must not be NULL. Compare the pointer with NULL first."),),
    p.UNTRUSTED_POINTER: (
        (r"R(\d+) must be referenced or trusted",
         "R{0} was read from memory that others may change. Acquire the object first."),),
    p.SIZE_ARGUMENT: (
        (r"R(\d+) min value is negative", "The size in R{0} may be negative. Check first that it is not negative."),
        _NO_UPPER_BOUND),
    p.ZERO_SIZE: (
        (r"R(\d+) invalid zero-sized read",
         "The size in R{0} may be 0, but this function needs at least one byte."),),
    p.FIELD_ARGUMENT: (
        (r"has no valid kptr",
         "The slot is plain bytes here, because the object does not define the struct that it points to."),
        (r"doesn't have constant offset",
         "The offset must be a constant, so that it is known to lead to the field."),
        (r"off (-?\d+) doesn't point to '(.+?)' that is at (\d+)",
         "The pointer leads to offset {0}, and the {1} is at offset {2}.")),
    p.UNRESOLVED_KFUNC: ((r"not found in kernel",
                          "This kernel has no such function. Use a newer one, or declare the function __weak and guard "
                          "the call with bpf_ksym_exists()."),),
    p.UNSUPPORTED_MEMBER: (
        (r"struct_ops init_kern: struct bpf_struct_ops_Qdisc_ops",
         "libbpf refuses the object, because this kernel has no qdiscs of programs; Linux has had them since 6.16."),
        (r"struct_ops init_kern", "libbpf refuses the object, because no program can fill this struct in this kernel."),
        (r"isn't referenced anywhere",
         "libbpf refuses the object, because no member of a variable in SEC(\".struct_ops\") names this program. Add "
         "the member, as in .enqueue = (void *)my_enqueue, or remove the program."),
        (_ANY, "Programs can implement only some members of a struct of operations. Leave the member out; the kernel "
               "has an implementation of its own or does without.")),
    p.FIELD_OF_MAP: ((_ANY, "The field lies in a value of one map, but another map is passed with it."),),
    p.LEGACY_PACKET_LOAD: (
        (r"R6 != pointer to skb", "These loads from the packet need the context in R6."),
        (r"not allowed", "Programs of this type cannot use these loads. Read the packet through pointers.")),
    p.DYNPTR_ARGUMENT: (
        (r"Expected an initialized", "This is no dynptr, or it was released already."),
        (r"uninitialized", "This stack memory cannot take a new dynptr.")),
    p.ITERATOR_STATE: (
        (r"expected uninitialized", "The iterator is in use already; destroy it first."),
        (r"expected an initialized",
         "The iterator was not created, was destroyed already, or is of another kind.")),
    p.GLOBAL_FUNCTION_ARGUMENT: (
        (r"R(\d+) is not a scalar", "R{0} must be a number here."),
        (r"expects pointer to ctx", "This argument has to be the program's context."),
        (r"non-NULL", "This argument must not be NULL. Compare the pointer with NULL first.")),
    p.RETURN_RANGE: (
        (r"At callback return.* in \[0, 1\]", "A callback must return 0 to continue or 1 to stop."),
        (r"should have been in \[0, 0\]", "0 is the only number that may be returned here."),
        (r"should have been in \[(-?\d+), (-?\d+)\]",
         "The number that is returned here must be from {0} to {1}."),
        (r"not a known value|not a scalar", "What is returned here must be a number.")),
    p.REFERENCE_LEAK: (
        (r"Unreleased reference id=(\d+) alloc_insn=(\d+)",
         "The program still owns the reference that instruction {1} acquired. Release it or hand it over on every "
         "path."),
        (r"would lead to reference leak", "The program still owns a reference here. Release it first.")),
    p.RELEASE_UNOWNED: (
        (r"release (?:kfunc|helper) (\S+) expects .* passed to R(\d+)",
         "The program does not own R{1}: {0} needs a reference that the program acquired and has not released."),
        (r"release kernel function (\S+) expects",
         "No argument is owned: {0} needs a reference that the program acquired and has not released.")),
    p.LOCK_HELD: ((_ANY, "This function cannot be called while a lock is held. Release the lock first."),),
    p.LOCK_PAIRING: (
        (r"without taking", "No lock is held here."),
        (r"different lock", "The lock that is held is another one."),
        (r"deadlock", "This lock is held already.")),
    p.OPEN_REGION: ((r"inside (\S+) region", "This is not possible in a {0} region. Leave it first."),),
    p.RCU_PAIRING: (
        (r"unmatched", "No RCU read section is open here."), (r"nested", "An RCU read section is open already.")),
    p.GRAPH_LOCK: ((r"must be held for (\S+)", "The lock next to the {0} must be held. Take it first."),),
    p.UNSUPPORTED: (
        (r"struct_ops of struct Qdisc_ops",
         "The RFC's kernel, by which an object with programs of the RFC is judged, has no such struct. Use another "
         "object for each interface, or --kernel 7.2 for this program alone."),
        (_ANY, "A kernel may accept this, but ebpfvm does not model it and therefore refuses it.")),
}
# Messages that have a special meaning for one type of program.
_OF_TYPES: Final = {("qdisc", p.CONTEXT_ACCESS): (
    (r"access off=0 size=8", "The field ctx->skb may only be set in dequeue, to NULL or to a packet that the "
                              "program owns."),)}


def explain(violated: p.Property, message: str, prog_type: str = "") -> str:
    """Return sentences about a rejection: what its values mean, or the rule and what usually helps.

    Args:
        violated: the property that the program violates.
        message: the verdict's message.
        prog_type: name of the program's type, for messages that have a special meaning there.
    """
    for pattern, text in (*_OF_TYPES.get((prog_type, violated), ()), *_SENTENCES.get(violated, ())):
        found = re.search(pattern, message)
        if found:
            sentence: str = text.format(*found.groups())
            return sentence
    return f"{violated.rule} {violated.help}"
