"""The properties that the verifier demands of a program: every refusal names the one that the program violates.

This file is the only place where they are declared. An id never changes and never disappears once it has been
released, because people and tools search for it; a message may differ between kernel versions, the id does not.
Refusals share an id where they state the same rule.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.verifier.machine.property import CALLS, FLOW, LOADING, MEMORY, OURS, OWNERSHIP, VALUES
from ebpfvm.verifier.machine.property import Property as Property

# -- loading and type information -----------------------------------------------------------------------------------

MISSING_CAPABILITY: Final = Property(
    "missing-capability", LOADING,
    "The loading process needs the capabilities that the program type, its loops, and its functions require.",
    "Load the program with CAP_BPF, and with CAP_NET_ADMIN or CAP_PERFMON where its type asks for it.",
    "bpf_prog_load() in kernel/bpf/syscall.c, push_insn()")
SLEEPABLE_TYPE: Final = Property(
    "sleepable-type", LOADING,
    "Only some program types and attach types can be loaded as programs that may sleep.",
    "Remove the `.s` from the section name, or use a type that can sleep.", "check_attach_btf_id()")
MAP_DEFINITION: Final = Property(
    "map-definition", LOADING, "The kernel must be able to create every map that the program uses.",
    "Correct the sizes, the flags or the type in the map's definition.", "map_alloc_check() of the map type")
MAP_NOT_FOR_PROGRAM: Final = Property(
    "map-not-for-program", LOADING, "A map and the special fields in its values must suit the program's type.",
    "Use another map type, or keep locks, timers, lists and trees out of this program.",
    "check_map_prog_compatibility()")
MAP_REFERENCE: Final = Property(
    "map-reference", LOADING, "A 64-bit immediate load that names a map must name one that was given to the load.",
    "Load the object with a loader that fills in the maps' file descriptors.", "resolve_pseudo_ldimm64()")
MAP_VALUE_ADDRESS: Final = Property(
    "map-value-address", LOADING,
    "A 64-bit immediate load can take an address inside the value of a map that has one value and allows it.",
    "Keep the offset inside the value; for other maps, call bpf_map_lookup_elem().", "resolve_pseudo_ldimm64()")
KFUNC_REFERENCE: Final = Property(
    "kfunc-reference", LOADING,
    "A call of a kernel function must name a function in the BTF of the kernel or a module.",
    "Check the declaration against the kernel's BTF, and declare it __weak if some kernels lack it.",
    "add_kfunc_call()")
UNRESOLVED_KFUNC: Final = Property(
    "unresolved-kfunc", LOADING, "No path can call a __weak kernel function that this kernel does not have.",
    "Guard the call with bpf_ksym_exists().", "fixup_kfunc_call()")
BTF_FUNC_INFO: Final = Property(
    "btf-func-info", LOADING, "The function records in the BTF must match the functions of the program.",
    "Build the object with one compiler run and do not edit its .BTF.ext section.", "check_btf_func()")
BTF_LINE_INFO: Final = Property(
    "btf-line-info", LOADING, "The line records in the BTF must match the instructions of the program.",
    "Build the object with one compiler run and do not edit its .BTF.ext section.", "check_btf_line()")
ABNORMAL_RETURN: Final = Property(
    "abnormal-return", LOADING,
    "A function that loads from the packet with LD_ABS or tail-calls needs BTF that says that it returns int.",
    "Build with -g and let the function return int.", "check_abnormal_return()")
EXCEPTION_CALLBACK: Final = Property(
    "exception-callback", LOADING,
    "An exception callback is a single global function that takes and returns a number, and only bpf_throw() calls it.",
    "Write `int cb(u64 cookie)` without static, and name it once with __exception_cb.",
    "check_btf_func(), bpf_find_exception_callback_insn_off()")
GLOBAL_FUNCTION_PROTOTYPE: Final = Property(
    "global-function-prototype", LOADING,
    "The prototype of a global function must use types and tags from which its arguments can be verified.",
    "Use numbers, pointers to structs of known size or the context, or make the function static.",
    "btf_prepare_func_args() in kernel/bpf/btf.c")
GPL_ONLY: Final = Property(
    "gpl-only", LOADING,
    "A function or struct marked GPL-only can be used only by a program with a compatible license.",
    'Declare `char LICENSE[] SEC("license") = "GPL";` if the license of the program allows it.',
    "check_helper_call(), add_kfunc_call()")
UNSUPPORTED_MEMBER: Final = Property(
    "unsupported-member", LOADING, "Programs can implement only some members of a struct of operations.",
    "Leave the member out; the kernel has an implementation of its own or does without.", "check_struct_ops_btf_id()")

# -- control flow and size ------------------------------------------------------------------------------------------

JUMP_TARGET: Final = Property(
    "jump-target", FLOW, "A jump must lead to the start of an instruction in the same function.",
    "Correct the offset of the jump.", "check_subprogs(), check_cfg()")
CALL_TARGET: Final = Property(
    "call-target", FLOW, "A call must lead to the start of a function inside the program.",
    "Correct the offset of the call.", "add_subprog()")
MISSING_EXIT: Final = Property(
    "missing-exit", FLOW, "A function must end in an exit or a jump.",
    "End every function with a return.", "check_subprogs()")
UNREACHABLE_INSN: Final = Property(
    "unreachable-insn", FLOW, "Some path from the start of the program must lead to every instruction.",
    "Remove the dead code.", "check_cfg()")
INFINITE_LOOP: Final = Property(
    "infinite-loop", FLOW, "A loop cannot return to a state in which it has been before.",
    "Change the counter in each round, and compare it with a bound.", "is_state_visited()")
RECURSION: Final = Property(
    "recursion", FLOW, "The functions of a program cannot call themselves, directly or through others.",
    "Use a loop or bpf_loop() instead.", "check_max_stack_depth()")
CALL_DEPTH: Final = Property(
    "call-depth", FLOW, "Only a limited number of functions can be active at the same time (eight, before Linux 7.0).",
    "Inline a function or merge two of them.", "check_max_stack_depth(), setup_func_entry()")
STACK_DEPTH: Final = Property(
    "stack-depth", FLOW, "The functions that are active at the same time can use at most 512 bytes of stack together.",
    "Move large variables into a per-CPU array map.", "check_max_stack_depth()")
TOO_MANY_FUNCTIONS: Final = Property(
    "too-many-functions", FLOW, "A program can have at most 256 functions.", "Inline some of them.", "add_subprog()")
TOO_COMPLEX: Final = Property(
    "too-complex", FLOW, "The verifier must reach the end of all paths within its limits.",
    "Bound loops with constants, use bpf_loop(), or move code into global functions, which are verified once.",
    "do_check(), push_stack()")
COMPILER_TRAP: Final = Property(
    "compiler-trap", FLOW, "No path can reach a trap that the compiler put where the C code is undefined.",
    "Initialize the variable that the compiler warns about.", "check_kfunc_call()")

# -- instructions and values ----------------------------------------------------------------------------------------

INVALID_INSN: Final = Property(
    "invalid-insn", VALUES,
    "Every slot must hold an instruction that the kernel knows, with valid registers and unused fields of zero.",
    "Assemble or compile the program for this kernel version.", "resolve_pseudo_ldimm64(), do_check()")
CONSTANT_OPERAND: Final = Property(
    "constant-operand", VALUES, "A constant divisor cannot be 0, and a constant shift must be less than the width.",
    "Correct the constant.", "check_alu_op()")
FRAME_POINTER: Final = Property(
    "frame-pointer", VALUES, "R10 holds the address of the stack frame and cannot be changed.",
    "Copy R10 to another register and change that one.", "check_reg_arg()")
UNINIT_REGISTER: Final = Property(
    "uninit-register", VALUES, "A register can be read only after it was written on the same path.",
    "Set it on every path, and keep values that outlive a call in R6 to R9 or on the stack.", "check_reg_arg()",
    asks=("unset",))
POINTER_ARITHMETIC: Final = Property(
    "pointer-arithmetic", VALUES, "A pointer can only be moved by adding or subtracting a number, in 64 bits.",
    "Do the arithmetic on numbers first, then add the result to the pointer once.", "adjust_ptr_min_max_vals()",
    asks=("null", "kind"))
POINTER_OFFSET: Final = Property(
    "pointer-offset", VALUES, "What is added to a pointer must be bounded, and the result must stay within 512 MiB.",
    "Compare the number with a constant before the addition.", "check_reg_sane_offset()",
    asks=("addend",))
ARENA_REQUIRED: Final = Property(
    "arena-required", VALUES, "A cast between address spaces needs a program with an arena map.",
    "Reference an arena map in the program.", "check_alu_op()")

# -- memory ---------------------------------------------------------------------------------------------------------

NOT_A_POINTER: Final = Property(
    "not-a-pointer", MEMORY, "Memory can be reached only through a pointer, not through a number.",
    "Find the line where the pointer was lost: arithmetic, a released object or a packet that was moved.",
    "check_mem_access()",
    asks=("lost",))
NULL_DEREFERENCE: Final = Property(
    "null-dereference", MEMORY, "A pointer that may be NULL must be compared with NULL before it is used or moved.",
    "Test it right after the call that returned it.", "check_mem_access(), adjust_ptr_min_max_vals()",
    asks=("null", "lost"))
OPAQUE_POINTER: Final = Property(
    "opaque-pointer", MEMORY, "Some pointers name objects of the kernel whose memory cannot be read or written.",
    "Pass the pointer to a function that takes it.", "check_mem_access()",
    asks=("kind",))
STACK_BOUNDS: Final = Property(
    "stack-bounds", MEMORY, "An access to the stack must lie inside the 512 bytes below R10, at each possible offset.",
    "Check the index, and keep large buffers in a map.", "check_stack_access_within_bounds()",
    asks=("offset",))
UNINIT_STACK: Final = Property(
    "uninit-stack", MEMORY, "Bytes of the stack that are read or passed on must hold plain data that was written.",
    "Initialize the whole variable, padding included, and do not touch objects that live on the stack.",
    "check_stack_range_initialized(), check_stack_read_fixed_off()",
    asks=("occupied",))
STACK_VARIABLE_OFFSET: Final = Property(
    "stack-variable-offset", MEMORY, "This use of a stack pointer needs a constant offset.",
    "Use a constant index, or copy the data to a fixed place on the stack.", "check_stack_range_initialized()")
STACK_POINTER_ESCAPE: Final = Property(
    "stack-pointer-escape", MEMORY, "A pointer into a frame cannot outlive the frame.",
    "Let the caller own the buffer and pass a pointer to it.", "prepare_func_exit(), check_stack_write_fixed_off()",
    asks=("kind",))
SPILL_SIZE: Final = Property(
    "spill-size", MEMORY, "A pointer can be stored on the stack and loaded from it only whole, in eight bytes.",
    "Use a 64-bit access to the slot that holds the pointer.", "check_stack_write_fixed_off()")
PACKET_BOUNDS: Final = Property(
    "packet-bounds", MEMORY, "An access to the packet must lie in the part that was compared with the packet's end.",
    "Check `data + offset + size > data_end` before the access, with the same pointer.", "check_packet_access()",
    asks=("packet", "offset", "lost"))
PACKET_WRITE: Final = Property(
    "packet-write", MEMORY, "Only some program types can write to the packet.",
    "Use a helper such as bpf_skb_store_bytes(), or a program type that can write.", "may_access_direct_pkt_data()",
    asks=("kind",))
MAP_VALUE_BOUNDS: Final = Property(
    "map-value-bounds", MEMORY, "An access to a map's value must lie inside the value, at each possible offset.",
    "Compare the index with the size of the array before the access.", "check_map_access()",
    asks=("offset",))
MEMORY_BOUNDS: Final = Property(
    "memory-bounds", MEMORY, "An access to a buffer must lie inside the buffer, at each possible offset.",
    "Compare the offset with the size of the buffer before the access.", "check_mem_region_access()",
    asks=("offset",))
CONTEXT_ACCESS: Final = Property(
    "context-access", MEMORY,
    "A program can access the fields of its context only as its type allows: which, how wide, and whether to write.",
    "Look up the field in the context of this program type and use it with its own size.", "check_ctx_access()",
    asks=("stored", "kind"))
CONTEXT_CONSTANT: Final = Property(
    "context-constant", MEMORY, "Linux 6.1 stores registers to the context, and no constants (BPF_ST).",
    "Compile with -mcpu=v3, or move the constant into a register first.", "do_check(), is_ctx_reg()")
MODIFIED_POINTER: Final = Property(
    "modified-pointer", MEMORY, "A pointer of this kind can be used only as it was given, without an added offset.",
    "Keep the original pointer, and let the instruction hold the offset.", "__check_ptr_off_reg()",
    asks=("kind",))
MIXED_POINTERS: Final = Property(
    "mixed-pointers", MEMORY,
    "One instruction cannot access the context on one path and memory of another kind on another.",
    "Access the memory before the paths join.", "save_aux_ptr_type()")
ALIGNMENT: Final = Property(
    "alignment", MEMORY, "An access that must be aligned needs an address that is a multiple of its size.",
    "Align the variable, or read it byte by byte.", "check_generic_ptr_alignment()",
    asks=("aligned",))
READ_ONLY_MEMORY: Final = Property(
    "read-only-memory", MEMORY, "Memory that can only be read cannot be written or passed to a function that writes.",
    "Copy the data to the stack or a map value first.", "check_mem_access(), check_helper_mem_access()",
    asks=("kind",))
MAP_ACCESS_RIGHTS: Final = Property(
    "map-access-rights", MEMORY, "A map's flags can forbid that programs read or write its values.",
    "Remove BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG from the map, or do not access it this way.",
    "check_map_access_type()",
    asks=("kind",))
SPECIAL_FIELD: Final = Property(
    "special-field", MEMORY,
    "Locks, timers, lists, kptrs and the like can be used only by their own functions, not by plain loads and stores.",
    "Use the field's functions, and copy the other fields one by one.", "check_map_access()",
    asks=("kind",))
KPTR_ACCESS: Final = Property(
    "kptr-access", MEMORY, "A kptr in a map value can be loaded and stored only whole, and with a pointer of its type.",
    "Use bpf_kptr_xchg() for a slot that owns its object.", "check_map_kptr_access(), map_kptr_match_type()",
    asks=("null", "lost", "kind"))
STRUCT_ACCESS: Final = Property(
    "struct-access", MEMORY, "An access to a struct of the kernel must hit one of its members, at a constant offset.",
    "Use the member by its name; use CO-RE, or bpf_probe_read_kernel() for what cannot be read directly.",
    "btf_struct_access() in kernel/bpf/btf.c, check_ptr_to_btf_access()",
    asks=("null", "offset", "kind"))
STRUCT_WRITE: Final = Property(
    "struct-write", MEMORY, "Structs of the kernel can only be read, apart from a few named members.",
    "Use the helper or kernel function that changes the field.", "btf_struct_access() of the program type",
    asks=("kind",))
ATOMIC_OPERAND: Final = Property(
    "atomic-operand", MEMORY, "Atomic instructions need four or eight bytes of memory in a stack, map value or object.",
    "Keep the counter in a map value.", "check_atomic_rmw()",
    asks=("kind",))
DYNPTR_SLOT: Final = Property(
    "dynptr-slot", MEMORY, "The stack slots of a dynptr that is in use cannot be overwritten.",
    "Release the dynptr first.", "destroy_if_dynptr_stack_slot()",
    asks=("special",))

# -- calls and their arguments --------------------------------------------------------------------------------------

UNKNOWN_HELPER: Final = Property(
    "unknown-helper", CALLS, "A call must name a helper that this kernel has.",
    "Check the number, and which kernel version introduced the helper.", "check_helper_call()")
HELPER_NOT_ALLOWED: Final = Property(
    "helper-not-allowed", CALLS, "A program can call only the helpers that its type and attach point offer.",
    "Look for a similar helper that the program type offers.", "check_helper_call()")
KFUNC_NOT_ALLOWED: Final = Property(
    "kfunc-not-allowed", CALLS, "A program can call only the kernel functions that its type and attach point offer.",
    "Look for a similar kernel function that is registered for the program type.", "fetch_kfunc_meta()")
SLEEPING_CALL: Final = Property(
    "sleeping-call", CALLS, "A function that may sleep can be called only where the program may sleep.",
    "Load the program as sleepable, and call the function outside of RCU, preemption and interrupt regions.",
    "check_helper_call(), check_kfunc_call()",
    asks=("open",))
HELPER_MAP_TYPE: Final = Property(
    "helper-map-type", CALLS, "A helper and the map it is given must go together.",
    "Use the helper that belongs to the map type.", "check_map_func_compatibility()")
ARGUMENT_TYPE: Final = Property(
    "argument-type", CALLS, "Every argument must be of a kind that the function takes.",
    "Compare the call with the prototype of the function.", "check_reg_type(), check_kfunc_args()",
    asks=("null", "lost", "kind"))
NULL_ARGUMENT: Final = Property(
    "null-argument", CALLS, "A pointer that may be NULL cannot be passed where the function needs an object.",
    "Compare the pointer with NULL before the call.", "check_reg_type(), check_kfunc_args()",
    asks=("null", "lost"))
UNTRUSTED_POINTER: Final = Property(
    "untrusted-pointer", CALLS, "A kernel function takes only pointers that are known to be valid during the call.",
    "Acquire a reference first, or hold bpf_rcu_read_lock() where RCU is enough.", "check_kfunc_args()",
    asks=("null", "lost", "kind"))
CONSTANT_ARGUMENT: Final = Property(
    "constant-argument", CALLS, "This argument must be a constant that the verifier knows.",
    "Pass a literal, or branch on the value so that each call has a constant.", "check_kfunc_args()",
    asks=("range", "kind"))
CONSTANT_STRING: Final = Property(
    "constant-string", CALLS, "This argument must be a valid, zero-terminated string in a read-only map.",
    "Use a `static const char []` and a format that fits its arguments.",
    "check_reg_const_str(), check_bpf_snprintf_call()")
SIZE_ARGUMENT: Final = Property(
    "size-argument", CALLS, "A size must be at least 0 and have an upper bound that the verifier knows.",
    "Compare the size with a constant before the call, as an unsigned number.", "check_mem_size_reg()",
    asks=("size",))
ZERO_SIZE: Final = Property(
    "zero-size", CALLS, "This function needs at least one byte.", "Return early if the size is 0.",
    "check_mem_size_reg()",
    asks=("size",))
BTF_TYPE_ARGUMENT: Final = Property(
    "btf-type-argument", CALLS, "A type ID argument must be the constant ID of a struct that the function can use.",
    "Use the macro of the function, such as bpf_obj_new(type).", "check_kfunc_call()")
FIELD_ARGUMENT: Final = Property(
    "field-argument", CALLS,
    "A pointer to a lock, timer, work queue, task work or kptr must lead exactly to that field, in a map with BTF.",
    "Pass the address of the field, and define the map's value as a struct with BTF.",
    "process_spin_lock(), process_timer_func(), process_kptr_func()",
    asks=("null", "lost", "kind"))
FIELD_OF_MAP: Final = Property(
    "field-of-map", CALLS, "A timer or work queue must be initialized with the map that it lies in.",
    "Pass the same map that the value was looked up in.", "process_timer_func(), process_wq_func()",
    asks=("maps",))
PACKET_ARGUMENT: Final = Property(
    "packet-argument", CALLS, "Only some helpers take pointers into the packet.",
    "Copy the bytes to the stack first.", "check_func_arg()",
    asks=("kind",))
CALLBACK_FUNCTION: Final = Property(
    "callback-function", CALLS, "A callback must be a static function of the program other than the main one.",
    "Pass the name of a static function.", "check_ld_imm()")
NOT_IN_CALLBACK: Final = Property(
    "not-in-callback", CALLS, "Tail calls, LD_ABS loads, locks and throws are restricted inside callbacks.",
    "Do this before or after the call that runs the callback.",
    "check_map_func_compatibility(), check_ld_abs(), process_spin_lock()")
LEGACY_PACKET_LOAD: Final = Property(
    "legacy-packet-load", CALLS, "LD_ABS and LD_IND need a program type that has them, and the context in R6.",
    "Read the packet through pointers or bpf_skb_load_bytes().", "check_ld_abs()")
DYNPTR_ARGUMENT: Final = Property(
    "dynptr-argument", CALLS, "A dynptr argument must be in the state and of the kind that the function needs.",
    "Initialize the dynptr before use, and use each kind with its own functions.", "process_dynptr_func()",
    asks=("special", "kind"))
ITERATOR_STATE: Final = Property(
    "iterator-state", CALLS, "An iterator must lie on the stack and go through new, next and destroy, in this order.",
    "Use bpf_for() or bpf_for_each().", "process_iter_arg()",
    asks=("special", "kind"))
GRAPH_ARGUMENT: Final = Property(
    "graph-argument", CALLS,
    "Functions on lists and trees need a root and a node that belong together, at constant offsets.",
    "Declare the root with __contains(type, member), and pass the address of that member.",
    "process_kf_arg_ptr_to_list_head(), process_kf_arg_ptr_to_list_node()",
    asks=("null", "lost", "kind"))
GLOBAL_FUNCTION_ARGUMENT: Final = Property(
    "global-function-argument", CALLS, "The arguments of a call must fit the prototype of the global function.",
    "Pass valid memory of the size that the prototype says, or make the function static.", "btf_check_func_arg_match()",
    asks=("null", "lost", "kind"))
RETURN_RANGE: Final = Property(
    "return-range", CALLS, "A program or callback must return a number that its caller accepts.",
    "Return one of the constants of the program type, on every path.", "check_return_code(), prepare_func_exit()",
    asks=("unset", "range", "kind"))

# -- references, locks and other regions ----------------------------------------------------------------------------

REFERENCE_LEAK: Final = Property(
    "reference-leak", OWNERSHIP, "A program must release or hand over everything that it acquires, on every path.",
    "Release the object on early returns too.", "check_reference_leak()",
    asks=("leak",))
RELEASE_UNOWNED: Final = Property(
    "release-unowned", OWNERSHIP, "Only what the program owns can be released or handed over, and only once.",
    "Pass the pointer that the acquiring function returned, before anything else takes it.",
    "check_func_arg(), release_reference()",
    asks=("unowned", "lost"))
AMBIGUOUS_REFERENCE: Final = Property(
    "ambiguous-reference", OWNERSHIP, "A call can take at most one argument that holds a reference.",
    "Pass only one owned object.", "check_func_arg()")
LOCK_HELD: Final = Property(
    "lock-held", OWNERSHIP, "While a lock is held, the program can call almost no functions.",
    "Unlock before the call.", "check_helper_call(), check_kfunc_call()",
    asks=("open",))
LOCK_PAIRING: Final = Property(
    "lock-pairing", OWNERSHIP, "Locks must be released in the reverse order, each once, and not be taken twice.",
    "Unlock exactly what was locked, on every path.", "process_spin_lock()",
    asks=("closed",))
OPEN_REGION: Final = Property(
    "open-region", OWNERSHIP,
    "Locks, RCU sections and regions without preemption or interrupts must be closed before the program leaves.",
    "Close the region on every path to the exit, tail call or LD_ABS.", "check_resource_leak()",
    asks=("open",))
RCU_PAIRING: Final = Property(
    "rcu-pairing", OWNERSHIP, "RCU read sections must be opened and closed in pairs.",
    "Call bpf_rcu_read_unlock() once for each bpf_rcu_read_lock().", "check_kfunc_call()",
    asks=("closed",))
PREEMPT_PAIRING: Final = Property(
    "preempt-pairing", OWNERSHIP, "Preemption can be enabled only where the program has disabled it.",
    "Call bpf_preempt_enable() once for each bpf_preempt_disable().", "check_kfunc_call()",
    asks=("closed",))
IRQ_FLAG: Final = Property(
    "irq-flag", OWNERSHIP, "Interrupt flags must lie on the stack and be restored in the reverse order of saving.",
    "Use one variable for each save, and restore the last one first.", "process_irq_flag()",
    asks=("closed", "special"))
GRAPH_LOCK: Final = Property(
    "graph-lock", OWNERSHIP, "A list or tree can be used only while the lock beside its root is held.",
    "Take the bpf_spin_lock in the same map value or object first.", "check_reg_allocation_locked()",
    asks=("closed",))

# -- ebpfvm and the kernel's own faults -----------------------------------------------------------------------------

UNSUPPORTED: Final = Property(
    "unsupported", OURS, "A program can use only what ebpfvm models; a kernel may accept more.",
    "See the page on differences from the kernel.", "ebpfvm itself")
VERIFIER_BUG: Final = Property(
    "verifier-bug", OURS, "The verifier of this kernel version fails on this program, so ebpfvm rejects it too.",
    "Write the code differently; a later kernel may accept it.", "verifier_bug()")

PROPERTIES: Final[dict[str, Property]] = {
    item.id: item for item in list(globals().values()) if isinstance(item, Property)}
"""Every property by its id, in the order of the manual."""
