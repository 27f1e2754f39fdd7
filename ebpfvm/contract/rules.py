"""What differs between kernels, by name: the one place in which versions of Linux are described.

Linux 7.2 is the base: each field's default is its behaviour. Another version states only its differences from a version
that is already described, and `DESCRIBED` lists all available versions. Other code tests a named difference
(`rules.circular_numbers`) and never a version, so that a new version changes no existing code.

What a kernel *offers* (helpers, kernel functions, types, contexts) is not here: `ebpfvm.dialects` lists that.

"After 6.18" in a docstring means that the change lies somewhere between 6.18 and 7.2; both were tested with programs
that show the difference. Function names are those of kernel/bpf/verifier.c in 7.2 unless a file is named.
"""

from __future__ import annotations

from typing import Final, Literal

from ebpfvm.errors import InternalError, UsageError
from ebpfvm.lazy_dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rules:
    """The named differences of one kernel. Each default is what Linux 7.2 does."""

    version: tuple[int, int] = (7, 2)
    """The version that is described, for messages and for LINUX_KERNEL_VERSION. No rule may depend on it."""

    # -- numbers ---------------------------------------------------------------------------------------------------

    circular_numbers: bool = True
    """A number is known as one circular range for each width (include/linux/cnum.h, after 6.18), not as a signed and
    an unsigned interval."""

    offset_in_var_off: bool = True
    """A pointer's constant offset is part of its variable offset (after 6.18); struct bpf_reg_state had `off` before.
    Which bounds are checked and printed follows from it."""

    null_by_register: bool = True
    """Comparing with a register that is known to be 0 tests a pointer for NULL (check_cond_jmp_op, after 6.18)."""

    null_tests_are_wide: bool = True
    """Comparing the lower half of a pointer with 0 may yield either, even of one that is not NULL (is_branch_taken,
    after 6.18)."""

    non_null_keeps_id: bool = True
    """A pointer keeps its id after a test for NULL (mark_ptr_or_null_reg, after 6.18)."""

    fill_gives_id: bool = True
    """A number loaded from a whole slot is linked with the slot (check_stack_read_fixed_off, after 6.18). Numbers from
    narrow loads always were."""

    tracks_negation: bool = True
    """Negating a number keeps what is known of it; before, nothing was, even of a constant (after 6.12)."""

    links_halves: bool = True
    """A copy of the lower half is linked with a number that fits (since 6.8)."""

    links_sums: bool = True
    """A number stays linked after an addition of a constant (since 6.10)."""

    objects_are_not_null: bool = True
    """Comparing a pointer to any existing object with NULL is decided; before, only sockets, values and keys of maps
    (reg_not_null, after 6.1)."""

    equal_is_not_null: bool = True
    """A pointer that equals one that is not NULL is not NULL either (check_cond_jmp_op, since 6.2)."""

    tracks_byte_order: bool = True
    """So does changing its byte order (BPF_END, after 6.12)."""

    tracks_signs_of_products: bool = True
    """Products of negative numbers, and of numbers of more than half the width, have bounds (scalar_min_max_mul, after
    6.12)."""

    mixes_bounds: bool = True
    """All that is known of a number refines the rest until nothing changes (reg_bounds_sync, since 6.8). In 6.1 it does
    so once and each width alone, and a comparison of two unknown numbers reveals nothing, unless they are equal."""

    rounds_to_zero: bool = False
    """fp+0 is taken for the slot at fp-8, because C divides negative numbers towards zero (until 7.0)."""

    # -- packets ---------------------------------------------------------------------------------------------------

    subtracting_forgets_range: bool = True
    """Subtracting an unknown number from a packet pointer discards its proven range (adjust_ptr_min_max_vals, after
    6.18), although the range still holds."""

    moving_forgets_end: bool = True
    """A packet pointer that was found to lie at or after the packet's end may lie anywhere once it has moved (after
    6.18)."""

    packet_is_context: bool = False
    """`ctx->skb` is a packet that tc's helpers take as their context (RFC v6, decision D1)."""

    # -- the walk: what is kept, compared and followed back --------------------------------------------------------

    stack_liveness: Literal["static", "walk"] = "static"
    """A pass before the walk determines which halves of stack slots are read later, so that dead ones are forgotten at
    once (kernel/bpf/liveness.c, since 7.1). In 6.18 the walk determines it, for whole slots of finished states."""

    folds_constants: bool = True
    """Branches on constants are decided before the walk (compute_const_regs, after 6.18)."""

    shows_linked: bool = True
    """The log of a comparison includes what it implies for linked values (after 6.18)."""

    clears_lone_ids: bool = True
    """Ids of numbers that are linked to nothing are dropped from kept states and ignored when states are compared
    (bpf_clear_singular_ids, since 7.0)."""

    strict_in_loops: bool = False
    """Inside unfinished loops, a state only subsumes another with the same uninitialised registers and the same kind of
    each byte of the stack (regsafe and stacksafe with RANGE_WITHIN, until 7.0)."""

    compares_halves: bool = True
    """Half a slot is compared as a number if the other half is something else (since 7.1)."""

    widens_by_value: bool = True
    """Between rounds of an open-coded loop, a number that has not changed is not widened. In 6.18 its links must not
    have changed either (maybe_widen_reg)."""

    loops_known_before: bool = True
    """A pass before the walk finds the loops (compute_scc, after 6.12)."""

    links_differences: bool = True
    """A number from which a constant was subtracted stays linked, as after an addition (after 6.12)."""

    callbacks_loop: bool = True
    """A call that runs a callback repeatedly counts as a loop (compute_scc, after 6.18)."""

    callback_keeps_arguments: bool = True
    """Backtracking out of a callback still tracks R1 to R5 of the caller (backtrack_insn, after 6.18)."""

    follows_fetch: bool = True
    """Backtracking knows that an atomic instruction fetches the old value (after 6.18)."""

    null_is_precise: bool = True
    """A zero that stands for NULL in an argument must stay zero (mark_chain_precision, after 6.18)."""

    elides_null_checks: bool = True
    """Looking up a constant index of an array that is in bounds never gives NULL (get_constant_map_key, since 6.15)."""

    too_complex_is_e2big: bool = True
    """Too many pending paths give E2BIG (after 6.18). Before, the errno depended on what added the path: ENOMEM or
    EFAULT."""

    # -- before the walk -------------------------------------------------------------------------------------------

    fields_checked_early: bool = True
    """Unused fields and register numbers are checked before the control flow (since 7.0)."""

    has_acquire: bool = True
    """There are atomic loads and stores (BPF_LOAD_ACQ, BPF_STORE_REL, after 6.12)."""

    has_may_goto: bool = True
    """There is may_goto (BPF_JCOND, since 6.9)."""

    has_v4: bool = True
    """There are the instructions of version 4: signed division, sign extension, bswap and gotol (since 6.6)."""

    has_gotox: bool = True
    """There are jumps to an address in a register (BPF_JA | BPF_X, since 7.0)."""

    has_stack_args: bool = True
    """Functions may have more than five parameters, the others on the stack below R11 (since 7.2)."""

    has_fsession: bool = True
    """There are fsession programs (BPF_TRACE_FSESSION, since 7.0)."""

    invalid_kfunc_ids_named: bool = True
    """A kernel function's number of 0 or less has a separate message (add_kfunc_call, after 6.18)."""

    limits_value_offset: bool = False
    """An address inside of a map's value must be below BPF_MAX_VAR_OFF (resolve_pseudo_ldimm64, until 7.0)."""

    more_maps_may_sleep: bool = True
    """Programs that sleep may use LPM tries and program arrays (check_map_prog_compatibility, after 6.18)."""

    storage_may_sleep: bool = True
    """Programs that sleep may use local storage (check_map_prog_compatibility, after 6.1)."""

    traced_timers_barred: bool = False
    """Tracing programs cannot use maps with timers and workqueues (check_map_prog_compatibility, until 7.0)."""

    sleepable_types_named: bool = False
    """The message to a program that may not sleep lists the types that may (until 7.0)."""

    globals_announced_without_log: bool = False
    """"Validating f() func#1..." is printed at log level 4 too, and stays if the function is refused (until 7.0)."""

    counts_by_function: bool = True
    """The statistics name the deepest stack and the instructions of each global function (print_verification_stats,
    after 6.18)."""

    # -- memory ----------------------------------------------------------------------------------------------------

    acquires_by_pointer_first: bool = True
    """An atomic load looks at the kind of pointer before anything else (check_atomic_load, after 6.18)."""

    percpu_in_percpu: bool = True
    """A slot for per-CPU objects accepts only per-CPU objects (map_kptr_match_type, after 6.18)."""

    owns_through_kptrs: bool = True
    """Types that could own themselves are found along kptrs, and only if they could (btf_check_and_fixup_fields, after
    6.18)."""

    owner_has_reference: bool = True
    """bpf_refcount_acquire may fail for each object that the program does not own; before, not for one without nodes
    that a kptr owns (check_kfunc_args, after 6.18)."""

    several_tags: bool = True
    """A pointer may have several type tags, and unknown ones make it no kptr, but are no error (btf_get_kptr_type,
    after 6.18)."""

    fills_parts: bool = True
    """Loading a part of a slot yields that part of the number in it (since 6.9); before, only as much as was stored."""

    spills_any_number: bool = True
    """Any number is tracked in the stack slot that it is stored to; before, only one with bounds other than 0 in a
    whole register (check_stack_write_fixed_off, since 6.8)."""

    variable_writes_scrub: bool = True
    """A write at a variable offset makes all bytes of a spilled register data; in 6.1, the bytes that are not written
    stay bytes of a register, of which nothing is known any more (check_stack_write_var_off)."""

    stores_constants_to_context: bool = True
    """A constant may be stored to the context (BPF_ST, after 6.1), and not only a register."""

    reads_grow_stack: bool = True
    """Reading a stack below all that was written is reading unset bytes; before 6.8, it was outside of the stack
    (check_stack_slot_within_bounds)."""

    any_memory_is_key: bool = True
    """Any memory may be a map's key or value, records of ring buffers too (map_key_value_types, since 6.2)."""

    one_lock_by_address: bool = True
    """The lock in a map's value is the same one whenever the value's address is loaded (check_ld_imm, since 6.2)."""

    trusts_pointers: bool = True
    """Pointers to objects of the kernel are marked as trusted, or as protected by RCU (PTR_TRUSTED, since 6.2)."""

    fields_at_any_depth: bool = True
    """Special fields are found in nested structs and arrays too, and several kinds together (btf_parse_fields, since
    6.2); before, locks, timers and kptrs of a value's first level, of which `kptr_ref` was the tag of an owned one."""

    one_of_each: bool = True
    """A lock, a timer or a reference count is the only one of its kind in a value and the structs nested in it; before,
    in each struct alone, and reference counts not even there (btf_get_field_type, after 6.18)."""

    untrusted_structs_read_only: bool = True
    """Memory cannot be written through an untrusted pointer (check_ptr_to_btf_access, after 6.18)."""

    struct_writes_named: bool = True
    """A refused write into a struct of the kernel ends with a line that says where (check_ptr_to_btf_access, after
    6.18)."""

    names_refused_writes: bool = True
    """A refused write to a struct of which some programs may write a part has a message (after 6.1)."""

    only_gpl_reads: bool = True
    """Only programs under the GPL may read structs of the kernel (check_ptr_to_btf_access, since 6.2)."""

    type_named_for_helper: bool = True
    """A helper that the program type lacks has a message of its own; before, it was an "unknown func" (after 6.1)."""

    helper_reads_keep_spills: bool = True
    """A helper that only reads the stack leaves the spilled numbers there as they are; before, they were forgotten, as
    if it wrote (check_stack_range_initialized, after 6.12)."""

    # -- calls -----------------------------------------------------------------------------------------------------

    register_names_in_messages: bool = True
    """Messages name an argument by its register. Before (until 7.1), most of them counted from 0: "arg#0"."""

    call_frames: int = 16
    """Number of call frames that may be active at the same time (MAX_CALL_FRAMES; 8 until 7.0)."""

    has_exceptions: bool = True
    """Programs may have an exception callback (since 6.7)."""

    ring_buffer_memory: bool = True
    """Records of ring buffers are called ringbuf_mem in messages; before 6.2, alloc_mem."""

    counts_dynptrs_from_1: bool = False
    """"arg #1" is the first argument in messages about dynptrs (before 6.3)."""

    names_zero_size: bool = True
    """A size that may be 0 and must not has a message of its own; before, an access of 0 bytes is checked
    (check_mem_size_reg, since 6.9)."""

    shows_constant_bits: bool = False
    """Messages write the bits of a known number as of any other: "(0x8; 0x0)" (tnum_strn, before 6.8)."""

    names_ranges: bool = True
    """A result outside of its range is shown with bounds, not with its bits (verbose_invalid_scalar, since 6.8)."""

    names_called: bool = True
    """The message about wrong arguments of a global function names it (since 6.8)."""

    calls_move_packets: bool = True
    """A tail call, and a call of a function that moves the packet, forget packet pointers (after 6.1)."""

    calls_in_lock: bool = True
    """Static functions may be called while a lock is held, and return with one (since 6.8)."""

    longer_lock_list: bool = True
    """While a lock is held, bpf_kptr_xchg() and the iterator of numbers may be called too (after 6.12), not only the
    unlock and functions of lists and trees (kfunc_spin_allowed and do_check, kernel/bpf/verifier.c)."""

    counts_loops: bool = True
    """The callback of bpf_loop is walked as often as the number of loops allows; in 6.1, it is even if that is 0, or no
    number."""

    field_errnos: bool = True
    """An argument that is no lock, timer or kptr gives the errno of what is wrong; before, EACCES (check_func_arg,
    since 6.2)."""

    dynptr_again: bool = True
    """A dynptr without a reference may be created where there is one (is_dynptr_reg_valid_uninit, since 6.3)."""

    argument_tags: bool = True
    """Arguments of global functions may have declaration tags, and may be dynptrs (since 6.8)."""

    globals_when_called: bool = True
    """A global function is verified if it is called, after the main program; before 6.8, each one is, before it."""

    frame_unit: int = 16
    """Stack frames are rounded up to a multiple of this size (round_up_stack_depth, after 6.1)."""

    limits_depth: bool = False
    """A chain of calls across global functions is limited to 8 (check_max_stack_depth_subprog, until 7.0)."""

    void_global_functions: bool = True
    """Global functions may return nothing (btf_prepare_func_args in kernel/bpf/btf.c, since 7.0)."""

    throws_for_program: bool = True
    """A value that a global function throws must be in the program's return range (check_return_code, since 7.0)."""

    throwing_call_may_not_leak: bool = True
    """No reference may be held across a call of a global function that might throw (check_func_call, after 6.18)."""

    main_is_no_callback: bool = True
    """The main program cannot be a callback (check_ld_imm, after 6.18)."""

    bars_early_end: bool = True
    """Callbacks may not contain LD_ABS, which can end a function early (after 6.18, and in 6.12)."""

    bars_tail_calls: bool = True
    """Callbacks may not contain tail calls either (after 6.18)."""

    tail_call_returns: bool = True
    """Where a tail call may end a function, its caller is walked on from there too; before, only packet pointers were
    forgotten after a tail call (after 6.12)."""

    loads_return: bool = True
    """Where LD_ABS may end a function, its caller is walked on from there too, with 0 (since 6.13, and in 6.12.y)."""

    context_is_memory: bool = True
    """A helper's memory argument may be the context (mem_types, after 6.18)."""

    refuses_zero: bool = True
    """A global function with a non-NULL pointer parameter rejects the number 0 (btf_check_func_arg_match, after
    6.18)."""

    one_sleep_check: bool = True
    """Each refusal of a helper that may sleep says where it was called (check_helper_call, after 6.18)."""

    rcu_nests: bool = True
    """An RCU read lock may be taken again while it is held (since 7.0)."""

    # -- references ------------------------------------------------------------------------------------------------

    removes_owned: bool = True
    """bpf_rbtree_remove also takes a node that the program owns (after 6.12)."""

    reads_plain_pointers: bool = True
    """A pointer to numbers that is read from a kernel struct may be read through (after 6.12)."""

    internal_errors: bool = False
    """An object too many in one call is an error of the verifier: "verifier internal error", EFAULT (until 6.12)."""

    reference_tree: bool = True
    """A reference is an id with a parent: a dynptr is a child of the object that it was created from, a slice a child
    of its dynptr, and none may be released before its children (since 7.2). Before, registers and slots had a
    ref_obj_id besides the id."""

    leaks_say_where: bool = True
    """The message about a reference that is left over has a line that says at what (check_resource_leak, after
    6.12)."""

    one_release_check: bool = True
    """Helpers and kernel functions check a released argument in the same place, with the same message (after 6.18)."""

    one_reference: bool = False
    """A call of a helper takes only one owned object (check_func_arg, until 7.0)."""

    acquired_is_trusted: bool = True
    """The type of a reference that a kernel function acquires includes PTR_TRUSTED (after 6.18)."""

    kfuncs_trust_arguments: bool = True
    """Every kernel function refuses an argument that may be NULL (since 7.0); before, only those with a flag
    (KF_TRUSTED_ARGS)."""

    implicit_kfunc_arguments: bool = True
    """The kernel adds arguments to kernel functions (KF_IMPLICIT_ARGS, since 7.0): bpf_obj_drop instead of
    bpf_obj_drop_impl."""

    counted_at_start: bool = True
    """bpf_refcount_acquire takes only the start of an object, no pointer to its node (after 6.18)."""

    kptr_xchg_into_borrowed: bool = True
    """bpf_kptr_xchg takes a field of an object that the program does not own (kptr_xchg_dest_types, after 6.18)."""

    casts_fork: bool = True
    """The NULL result of casting a referenced socket is walked as a separate path (after 6.18)."""

    # -- maps ------------------------------------------------------------------------------------------------------

    file_flags_checked_last: bool = True
    """The access flags of user space are checked after the map type's conditions (map_create, since 7.0)."""

    ring_buffers_overwrite: bool = True
    """Ring buffers may overwrite their oldest records (BPF_F_RB_OVERWRITE, since 6.19)."""

    hashes_check_btf: bool = True
    """Hashes look at their BTF themselves, after the special fields (htab_map_check_btf, since 7.0)."""

    flags_name_cpus: bool = True
    """User space may name a CPU in the flags of a map operation (BPF_F_CPU, since 7.0)."""

    @property
    def lacks(self) -> frozenset[str]:
        """The kinds of instructions that this kernel does not have."""
        found = (("gotox", self.has_gotox), ("acquire", self.has_acquire), ("may_goto", self.has_may_goto),
                 ("v4", self.has_v4))
        return frozenset(name for name, there in found if not there)

    @property
    def coarse(self) -> frozenset[str]:
        """The operations whose results this kernel does not track."""
        tracked = (("negation", self.tracks_negation), ("byte_order", self.tracks_byte_order),
                   ("signs_of_products", self.tracks_signs_of_products))
        return frozenset(name for name, tracks in tracked if not tracks)

    @property
    def linking(self) -> tuple[str, ...]:
        """The operations with a constant after which a number stays linked with what it was."""
        if not self.links_sums:
            return ()
        return ("add", "sub") if self.links_differences else ("add",)

    def argument(self, at: int, counted: str = "arg#") -> str:
        """Return how a message names argument `at` (from 1), where kernels that count arguments write `counted`."""
        first = int(self.counts_dynptrs_from_1 and counted == "arg #")
        return f"R{at}" if self.register_names_in_messages else f"{counted}{at - 1 + first}"


LINUX_7_2: Final = Rules()

LINUX_6_18: Final = replace(
    LINUX_7_2,
    version=(6, 18),
    circular_numbers=False,
    offset_in_var_off=False,
    null_by_register=False,
    null_tests_are_wide=False,
    non_null_keeps_id=False,
    fill_gives_id=False,
    rounds_to_zero=True,
    subtracting_forgets_range=False,
    moving_forgets_end=False,
    stack_liveness="walk",
    folds_constants=False,
    shows_linked=False,
    clears_lone_ids=False,
    strict_in_loops=True,
    compares_halves=False,
    widens_by_value=False,
    callbacks_loop=False,
    callback_keeps_arguments=False,
    follows_fetch=False,
    null_is_precise=False,
    too_complex_is_e2big=False,
    fields_checked_early=False,
    has_gotox=False,
    has_stack_args=False,
    has_fsession=False,
    invalid_kfunc_ids_named=False,
    limits_value_offset=True,
    more_maps_may_sleep=False,
    traced_timers_barred=True,
    sleepable_types_named=True,
    globals_announced_without_log=True,
    counts_by_function=False,
    acquires_by_pointer_first=False,
    percpu_in_percpu=False,
    owns_through_kptrs=False,
    owner_has_reference=False,
    several_tags=False,
    one_of_each=False,
    untrusted_structs_read_only=False,
    struct_writes_named=False,
    register_names_in_messages=False,
    call_frames=8,
    limits_depth=True,
    void_global_functions=False,
    throws_for_program=False,
    throwing_call_may_not_leak=False,
    main_is_no_callback=False,
    bars_early_end=False,
    bars_tail_calls=False,
    context_is_memory=False,
    refuses_zero=False,
    one_sleep_check=False,
    rcu_nests=False,
    reference_tree=False,
    one_release_check=False,
    one_reference=True,
    acquired_is_trusted=False,
    kfuncs_trust_arguments=False,
    implicit_kfunc_arguments=False,
    counted_at_start=False,
    kptr_xchg_into_borrowed=False,
    casts_fork=False,
    file_flags_checked_last=False,
    ring_buffers_overwrite=False,
    hashes_check_btf=False,
    flags_name_cpus=False,
)


LINUX_6_12: Final = replace(
    LINUX_6_18,
    version=(6, 12),
    elides_null_checks=False,
    tracks_negation=False,
    tracks_byte_order=False,
    tracks_signs_of_products=False,
    has_acquire=False,
    helper_reads_keep_spills=False,
    leaks_say_where=False,
    bars_early_end=True,
    bars_tail_calls=False,
    tail_call_returns=False,
    removes_owned=False,
    reads_plain_pointers=False,
    internal_errors=True,
    loops_known_before=False,
    links_differences=False,
    main_is_no_callback=True,
    too_complex_is_e2big=True,
    percpu_in_percpu=True,
    owner_has_reference=True,
    longer_lock_list=False,
)


LINUX_6_1: Final = replace(
    LINUX_6_12,
    version=(6, 1),
    has_may_goto=False,
    has_v4=False,
    mixes_bounds=False,
    counts_loops=False,
    loads_return=False,
    too_complex_is_e2big=False,
    bars_early_end=False,
    has_exceptions=False,
    only_gpl_reads=False,
    names_refused_writes=False,
    calls_in_lock=False,
    calls_move_packets=False,
    names_called=False,
    names_ranges=False,
    shows_constant_bits=True,
    names_zero_size=False,
    counts_dynptrs_from_1=True,
    ring_buffer_memory=False,
    storage_may_sleep=False,
    fields_at_any_depth=False,
    trusts_pointers=False,
    one_lock_by_address=False,
    any_memory_is_key=False,
    reads_grow_stack=False,
    spills_any_number=False,
    variable_writes_scrub=False,
    stores_constants_to_context=False,
    fills_parts=False,
    equal_is_not_null=False,
    objects_are_not_null=False,
    links_sums=False,
    links_halves=False,
    frame_unit=32,
    globals_when_called=False,
    argument_tags=False,
    dynptr_again=False,
    field_errnos=False,
    type_named_for_helper=False,
)


def by_version(*described: Rules) -> dict[tuple[int, int], Rules]:
    """Return rules by their version, the oldest first.

    Raises:
        InternalError: two have the same version, as happens to a delta that does not say its own.
    """
    found = {item.version: item for item in sorted(described, key=lambda item: item.version)}
    if len(found) < len(described):
        twice = next(item.version for item in described if found[item.version] is not item)
        raise InternalError(f"contract/rules.py describes Linux {twice[0]}.{twice[1]} twice; "
                            "each delta must say its `version=`")
    return found


DESCRIBED: Final = by_version(LINUX_6_1, LINUX_6_12, LINUX_6_18, LINUX_7_2)
"""Every described version, the oldest first."""

VERSION_NAMES: Final = tuple(f"{major}.{minor}" for major, minor in DESCRIBED)
KERNELS: Final = f"{', '.join(reversed(VERSION_NAMES))} or rfc6"
"""The described versions as text, for help texts and messages."""


def rules_of(version: tuple[int, int]) -> Rules:
    """Return the rules of a version of Linux.

    Raises:
        UsageError: nobody has described this version.
    """
    found = DESCRIBED.get(version)
    if found is None:
        raise UsageError(f"the rules of Linux {version[0]}.{version[1]} are not known; take one of "
                         f"{', '.join(VERSION_NAMES)}")
    return found


def rfc6_rules(rules: Rules) -> Rules:
    """Return the same kernel's rules with those of the RFC v6 (October 2022) in place of later ones."""
    return replace(rules, packet_is_context=True, elides_null_checks=False, acquired_is_trusted=True,
                   kfuncs_trust_arguments=False, fields_at_any_depth=True, trusts_pointers=True)
