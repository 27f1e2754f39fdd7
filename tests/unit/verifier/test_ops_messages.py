"""What the verifier says of mistakes in members of `Qdisc_ops`: a small program for each message, and all its lines.

The programs are those of two objects here and of the broken qdiscs; what Linux 7.2.13 said of each is recorded in
tests/data/verdicts.json and tests/data/qdisc_samples.json, where only the last line is kept.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader import load
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify

OBJECTS = Path(__file__).parent / "objects"
BROKEN = Path(__file__).parents[3] / "samples" / "broken_qdiscs"
SAID = [
    # References
    ("qdisc_ops", "e_leaks", 22, ["Unreleased reference id=1 alloc_insn=0",
     "BPF_EXIT instruction in main prog would lead to reference leak"]),
    ("qdisc_ops", "e_loop_drops", 22, ["Unreleased reference id=1 alloc_insn=0",
     "BPF_EXIT instruction in main prog would lead to reference leak"]),
    ("qdisc_ops", "e_iterator_leaked", 22, ["Unreleased reference id=2 alloc_insn=6",
     "BPF_EXIT instruction in main prog would lead to reference leak"]),
    ("qdisc_ops", "e_drops_twice", 22, [
     "release kfunc bpf_qdisc_skb_drop expects referenced PTR_TO_BTF_ID passed to R1"]),
    ("qdisc_ops", "e_uses_after_drop", 13, ["R6 invalid mem access 'scalar'"]),
    ("qdisc_ops", "e_slice_after_drop", 13, ["R9 invalid mem access 'scalar'"]),
    ("qdisc_ops", "e_rereads_after_drop", 13, ["invalid bpf_context access off=0. Reference may already be released"]),
    ("qdisc_ops", "e_tail_calls", 22, ["program with __ref argument cannot tail call"]),
    # Arguments of kernel functions
    ("qdisc_ops", "e_drops_null", 13, ["Possibly NULL pointer passed to trusted R1"]),
    ("qdisc_ops", "e_drop_list_is_packet", 22, ["R2 must be referenced or trusted"]),
    ("qdisc_ops", "e_drops_offset", 22, [
     "R1 must have zero offset when passed to release func or trusted arg to kfunc"]),
    ("ops_messages", "e_hash_of_qdisc", 22, [
     "kernel function bpf_skb_get_hash R1 expected pointer to STRUCT sk_buff but R1 has a pointer to STRUCT Qdisc"]),
    ("ops_messages", "r_new_of_unknown", 22, ["R1 must be a known constant"]),
    ("ops_messages", "r_new_of_number", 22, ["bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct"]),
    ("ops_messages", "r_new_of_too_large", 22, ["local type ID argument must be in range [0, U32_MAX]"]),
    ("qdisc_ops", "d_drops", 13, ["calling kernel function bpf_qdisc_skb_drop is not allowed"]),
    # Objects and pointers in maps
    ("qdisc_ops", "e_node_unchecked", 13, ["R0 invalid mem access 'ptr_or_null_'"]),
    ("qdisc_ops", "e_writes_kptr", 13, ["direct access to kptr is disallowed"]),
    ("qdisc_ops", "e_writes_slot", 13, ["store to referenced kptr disallowed"]),
    ("ops_messages", "r_kptr_half", 13, ["kptr access size must be BPF_DW"]),
    ("ops_messages", "r_kptr_variable", 13, ["kptr access cannot have variable offset"]),
    ("ops_messages", "r_kptr_misaligned", 13, ["kptr access misaligned expected=8 off=7"]),
    ("qdisc_ops", "e_xchg_wrong_type", 13, ["invalid kptr access, R2 type=ptr_node expected=ptr_sk_buff"]),
    ("ops_messages", "e_xchg_number", 13, ["off=0 doesn't point to kptr"]),
    ("ops_messages", "e_xchg_untrusted", 13, ["off=16 kptr isn't referenced kptr"]),
    ("ops_messages", "e_xchg_walked", 22, [
     "release helper bpf_kptr_xchg expects referenced PTR_TO_BTF_ID passed to R2"]),
    ("ops_messages", "e_xchg_global", 22, ["R1 has no valid kptr"]),
    ("qdisc_ops", "e_refcount_without", 22, ["R1 doesn't point to a type with bpf_refcount field"]),
    ("ops_messages", "e_refcount_of_packet", 22, ["R1 is neither owning or non-owning ref"]),
    # Locks
    ("qdisc_ops", "e_helper_in_lock", 22, ["function calls are not allowed while holding a lock"]),
    ("qdisc_ops", "e_locks_twice", 22, ["function calls are not allowed while holding a lock"]),
    ("lock_on_return", "dequeue", 22, [
     "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region"]),
    ("unused_struct", "dequeue", 22, ["map '.data.A' has no valid bpf_spin_lock"]),
    ("qdisc_ops", "e_unlocks_other", 22, ["bpf_spin_unlock of different lock"]),
    ("qdisc_ops", "e_unlocks_nothing", 22, ["bpf_spin_unlock without taking a lock"]),
    ("ops_messages", "r_global_in_lock", 22, ["global function calls are not allowed while holding a lock,",
     "use static function instead"]),
    # Lists and trees
    ("qdisc_ops", "e_push_without_lock", 22, ["bpf_spin_lock at off=0 must be held for bpf_list_head"]),
    ("qdisc_ops", "e_push_other_lock", 22, ["held lock and object are not in the same allocation",
     "bpf_spin_lock at off=0 must be held for bpf_list_head"]),
    ("qdisc_ops", "e_push_twice", 22, ["R2 expected pointer to allocated object"]),
    ("qdisc_ops", "e_tree_wrong_list", 22, ["bpf_list_node not found at offset=0"]),
    ("ops_messages", "r_other_node", 22, [
     "operation on bpf_list_head expects arg#1 bpf_list_node at offset=0 in struct node, "
     "but arg is at offset=8 in struct other"]),
    ("qdisc_ops", "d_tree_remove_unlocked", 22, [
     "bpf_rbtree_remove can only take non-owning or refcounted bpf_rb_node pointer"]),
    ("qdisc_ops", "d_list_read", 13, ["bpf_list_head cannot be accessed directly by load/store"]),
    ("qdisc_ops", "e_tree_less_locks", 13, ["can't spin_{lock,unlock} in rbtree cb"]),
    ("ops_messages", "r_less_unlocks", 13, ["can't spin_{lock,unlock} in rbtree cb"]),
    ("qdisc_ops", "e_tree_less_removes", 22, ["bpf_rbtree_remove not allowed in rbtree cb"]),
    # Loops, callbacks, iterators, dynptrs
    ("counter_lent", "reset", 22, ["infinite loop detected at insn 6"]),
    ("qdisc_ops", "r_loop_two", 22, [
     "At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]"]),
    ("ops_messages", "r_for_each_three", 22, [
     "At callback return the register R0 has smin=3 smax=3 should have been in [0, 1]"]),
    ("ops_messages", "r_loop_address", 13, ["R0 not a scalar value"]),
    ("ops_messages", "r_next_without_new", 22, ["expected an initialized iter_num as R1"]),
    ("ops_messages", "r_new_twice", 22, ["expected uninitialized iter_num as R1"]),
    ("qdisc_ops", "e_dynptr_after_drop", 22, ["Expected an initialized dynptr as R1"]),
    ("qdisc_ops", "e_slice_written", 13, ["R0 cannot write into rdonly_mem"]),
    ("qdisc_ops", "e_slice_rdwr", 22, ["the prog does not allow writes to packet data"]),
    ("ops_messages", "e_clones_onto_lent", 22, ["Dynptr has to be an uninitialized dynptr"]),
    # Structs of the kernel
    ("qdisc_ops", "e_reads_sock_unchecked", 13, ["R2 invalid mem access 'rcu_ptr_or_null_'"]),
    ("qdisc_ops", "e_reads_beyond_packet", 13, ["access beyond struct sk_buff at off 4096 size 8"]),
    ("qdisc_ops", "e_reads_variable", 13, ["R4 is ptr_sk_buff invalid variable offset: off=0, var_off=(0x28; 0x7)"]),
    ("ops_messages", "r_reads_hole", 22, ["struct Qdisc doesn't have field at offset 276"]),
    ("qdisc_ops", "e_writes_len", 13, ["no write support to sk_buff at off 112",
     "R1 cannot write into ptr_sk_buff at off=112 size=4"]),
    ("qdisc_ops", "e_writes_qlen_inside", 13, ["no write support to Qdisc at off 209",
     "R1 cannot write into ptr_Qdisc at off=209 size=1"]),
    ("qdisc_ops", "e_writes_cb_over_end", 13, [
     "write access at off 66 with size 4 beyond the member of sk_buff ended at 68",
     "R1 cannot write into ptr_sk_buff at off=66 size=4"]),
    ("qdisc_ops", "e_writes_device", 13, ["only read is supported",
     "R3 cannot write into ptr_net_device at off=56 size=4"]),
    # What is returned
    ("qdisc_ops", "d_one", 22, ["At program exit the register R0 has smin=1 smax=1 should have been in [0, 0]"]),
    ("qdisc_ops", "d_qdisc", 22, ["At program exit the register R0 is not a known value (trusted_ptr_)"]),
    ("qdisc_ops", "d_packet_offset", 13, ["dereference of modified ptr_ ptr R0 off=8 disallowed"]),
    # The whole program
    ("ops_messages", "e_lends_packet", 22, ["access beyond struct (anon) at off 0 size 88",
     "Caller passes invalid args into func#1 ('glob')"]),
    ("no_gpl", "dequeue", 22, ["cannot call kernel function from non-GPL compatible program"]),
    ("no_gpl", "init", 22, ["struct ops programs must have a GPL compatible license"]),
    ("qdisc_ops", "o_change", 524, ["attach to unsupported member change of struct Qdisc_ops"]),
    ("qdisc_ops", "o_peek", 524, ["attach to unsupported member peek of struct Qdisc_ops"]),
]


@cache
def programs(name: str) -> dict[str, Program]:
    path = OBJECTS / f"{name}.o"
    return dict(load(path if path.exists() else BROKEN / path.name).programs)


@pytest.mark.parametrize(("name", "program", "errno", "lines"), SAID, ids=[f"{row[0]}-{row[1]}" for row in SAID])
def test_message(name: str, program: str, errno: int, lines: list[str]) -> None:
    verdict = verify(programs(name)[program], linux((7, 2)))
    assert verdict.errno == errno
    assert re.sub(r"#\d{4,}", "#", verdict.message).splitlines() == lines
    assert set(lines) <= set(re.sub(r"#\d{4,}", "#", verdict.log).splitlines())


def test_no_program_is_listed_twice() -> None:
    assert len({row[:2] for row in SAID}) == len(SAID)
