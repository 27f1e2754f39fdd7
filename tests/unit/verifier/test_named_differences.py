"""Each named difference between kernels shows: a program is judged otherwise, or its log differs, if it is switched."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from functools import cache

import pytest

from ebpfvm.contract.dialect import Dialect
from ebpfvm.contract.rules import LINUX_6_18, LINUX_7_2, Rules
from ebpfvm.dialects import linux
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify
from tests.unit.verifier.words import from_row, rows

# Difference -> the row of `words` whose program shows it under the rules of 7.2.
SHOWN_BY = {
    "acquired_is_trusted": "xchg or null",
    "acquires_by_pointer_first": "atomic load from the context into the frame pointer",
    "bars_early_end": "packet load in a callback",
    "bars_tail_calls": "tail call in a callback, with the context",
    "call_frames": "nine calls deep",
    "callback_keeps_arguments": "bpf_loop, r1 = 5",
    "callbacks_loop": "bpf_loop, r1 = r10",
    "casts_fork": "bpf_tcp_sock of a referenced skc is read without a check",
    "circular_numbers": "signed size",
    "context_is_memory": "R.* type=.* expected=fp",
    "counted_at_start": "ref acq",
    "counts_by_function": "ref acq",
    "fields_checked_early": "dead r15 dst mov",
    "folds_constants": "a loop whose first state has no stack",
    "has_gotox": "gotox",
    "has_stack_args": "stack argument",
    "invalid_kfunc_ids_named": "kernel function by a negative number",
    "kptr_xchg_into_borrowed": "xin rcu_dest",
    "limits_depth": "nine calls deep",
    "limits_value_offset": "value far away",
    "main_is_no_callback": "main program as callback, static",
    "more_maps_may_sleep": "Sleepable programs can only use array, hash, ringbuf and local storage maps",
    "non_null_keeps_id": "constant key of an inner map, BPF_F_INNER_MAP",
    "null_is_precise": "bpf_loop, r1 = 5",
    "offset_in_var_off": "ref acq",
    "one_reference": "two records in one call",
    "one_release_check": "xin rcu_drop",
    "one_sleep_check": "helper that sleeps",
    "rcu_nests": "nested rcu read lock (kernel function .*)",
    "reference_tree": "LD_ABS in a function, reference of the caller",
    "register_names_in_messages": "xin cnt_acq",
    "rounds_to_zero": "iterator at fp+0",
    "sleepable_types_named": "Program of this type cannot be sleepable",
    "stack_liveness": "sign-extending load of sched_cls context at 76",
    "struct_writes_named": "write a kernel's struct",
    "throws_for_program": "throw in a global function, cgroup_skb",
    "too_complex_is_e2big": "The sequence of .* jumps is too complex.",
    "void_global_functions": "global function that gives a pointer",
}
# No row shows these yet. (Those of maps are compared with recorded answers in tests/unit/maps/test_creation.py.)
ELSEWHERE = {
    "clears_lone_ids", "compares_halves", "elides_null_checks", "file_flags_checked_last", "fill_gives_id",
    "flags_name_cpus", "follows_fetch", "globals_announced_without_log", "has_fsession", "hashes_check_btf",
    "implicit_kfunc_arguments", "kfuncs_trust_arguments", "moving_forgets_end", "null_by_register",
    "null_tests_are_wide", "one_of_each", "owner_has_reference", "owns_through_kptrs", "packet_is_context",
    "percpu_in_percpu", "refuses_zero", "ring_buffers_overwrite", "several_tags", "shows_linked", "strict_in_loops",
    "subtracting_forgets_range", "throwing_call_may_not_leak", "traced_timers_barred", "untrusted_structs_read_only",
    "widens_by_value",
    # Those of 6.12 (and of 6.1) are compared with recorded answers in test_older_kernels.py.
    "longer_lock_list", "stores_constants_to_context", "variable_writes_scrub",
    "has_acquire", "helper_reads_keep_spills", "internal_errors", "leaks_say_where",
    "links_differences", "loops_known_before", "reads_plain_pointers", "removes_owned", "tail_call_returns",
    "tracks_byte_order", "tracks_negation", "tracks_signs_of_products",
    "any_memory_is_key", "argument_tags", "calls_in_lock", "calls_move_packets", "counts_dynptrs_from_1",
    "counts_loops",
    "dynptr_again", "equal_is_not_null", "field_errnos", "fields_at_any_depth", "fills_parts", "frame_unit",
    "globals_when_called", "has_exceptions", "has_may_goto", "has_v4", "links_halves", "links_sums", "loads_return",
    "mixes_bounds", "names_called", "names_ranges", "names_refused_writes", "names_zero_size",
    "objects_are_not_null", "one_lock_by_address", "only_gpl_reads", "reads_grow_stack", "ring_buffer_memory",
    "shows_constant_bits", "spills_any_number", "storage_may_sleep", "trusts_pointers", "type_named_for_helper",
}


@cache
def program(name: str) -> Program:
    return next(from_row(row) for row in rows() if row["name"] == name)


def judged(name: str, dialect: Dialect) -> tuple[bool, int, str | None, str]:
    verdict = verify(program(name), dialect, log_level=6)
    return verdict.ok, verdict.errno, verdict.message, re.sub("verification time.*", "", verdict.log)


@pytest.mark.parametrize("difference", SHOWN_BY)
def test_a_difference_shows(difference: str) -> None:
    kernel = linux((7, 2))
    switched = kernel.derive(rules=replace(LINUX_7_2, **{difference: getattr(LINUX_6_18, difference)}))
    assert judged(SHOWN_BY[difference], kernel) != judged(SHOWN_BY[difference], switched)


def test_all_differences_are_listed() -> None:
    names = {item.name for item in fields(Rules)} - {"version"}
    assert set(SHOWN_BY) | ELSEWHERE == names and not set(SHOWN_BY) & ELSEWHERE
