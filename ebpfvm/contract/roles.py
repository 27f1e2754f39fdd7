"""Roles, by which the verifier and the engines recognise functions with special rules, instead of by name.

A kernel selects the functions with rules of their own by number or by BTF id (check_helper_call, check_kfunc_call).
Here a declaration states its role, so that two functions with the same rule (bpf_obj_new and bpf_obj_new_impl) state
the same role, and a new function with an existing rule needs no line in the verifier. The verifier has one table from
each role to its rule; a role without a rule is an error when that table is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MapOp = Literal["", "lookup", "lookup_percpu", "update", "delete", "push", "pop", "peek"]
"""What a helper does to its map, if the map's type decides whether the call is accepted."""

Callback = Literal["", "sync", "async"]
"""Whether a function passed to it runs before it returns, or later and without the caller."""

HelperRole = Literal[
    "",
    "tail_call",        # replaces the running program by one from a map of programs
    "tc_classify",      # asks the filters of a queueing discipline; may be given the program's own context
    "walk_map",         # the callback gets map, key, value, context
    "loop",             # the callback gets index, context
    "find_vma",         # the callback gets task, area, context
    "drain",            # the callback gets a dynptr, context
    "set_timer",        # the callback gets map, key, value
    "kptr_xchg",        # swaps a kptr; the new pointer must have the field's type
    "lock", "unlock",   # bpf_spin_lock
    "cast",             # the result is valid as long as the argument's reference (is_ptr_cast_function)
    "local_storage",    # takes no flags
    "format",           # the format string must fit the arguments
    "dynptr_from_mem",  # creates a dynptr of a map value
    "dynptr_data",      # the result is valid as long as the dynptr (is_dynptr_ref_function)
    "dynptr_write",     # moves the packet that the dynptr refers to
]

Expansion = Literal[
    "",
    "push_front", "push_back", "pop_front", "pop_back",  # a list
    "first", "last", "is_first", "is_last", "empty",     # a list or tree
    "unlink",           # removes a node if it is in the list or tree
    "insert_sorted",    # adds a node to a tree
    "put_aside",        # puts a packet on the list of packets to free
    "flow_hash",        # the hash of a packet, which changes nothing else
    "count_sent",       # counts a packet for a qdisc
]
"""What a function does, if an engine may do it by itself on the objects; no two functions of a kind differ."""

KfuncRole = Literal[
    "",
    "obj_new", "percpu_obj_new", "obj_drop", "percpu_obj_drop",
    "refcount_acquire",
    "graph_put",        # transfers an owned object to a list or tree
    "graph_take",       # removes a node, which the program then owns
    "graph_look",       # returns a node that stays in its list or tree
    "graph_ask",        # only returns an answer
    "rcu_lock", "rcu_unlock", "preempt_disable", "preempt_enable", "irq_save", "irq_restore",
    "res_lock", "res_unlock",
    "dynptr_new",       # creates a dynptr of the kind that the declaration names
    "dynptr_clone", "dynptr_slice", "dynptr_slice_rdwr",
    "cast_to_context", "cast_to_struct",
    "init_work",        # initialises a work queue with the map that contains it
    "set_work",         # sets the callback of a work queue
    "throw", "trap",
]

DynptrKind = Literal["", "skb", "xdp", "skb_meta"]

LISTS_AND_TREES = frozenset({"bpf_list_head", "bpf_rb_root", "bpf_list_node", "bpf_rb_node"})


def known(what: str, value: str, words: Any) -> None:
    """Raise InternalError if a declaration uses a word that a `Literal` does not list."""
    if value not in words.__args__:  # what get_args() returns, without its checks, which every start would pay for
        there = ", ".join(repr(word) for word in get_args(words) if word)
        raise InternalError(f"{what} {value!r} is not known; there are: {there}")


def options_known(what: str, options: Iterable[str], words: type) -> None:
    """Raise InternalError if a declaration is given an option that is none of a `TypedDict`'s."""
    for option in options:
        if option not in words.__annotations__:
            raise InternalError(f"{what}: there is no option {option!r}; there are: {', '.join(words.__annotations__)}")


def complete(roles: Any, rules: Mapping[str, object], where: str) -> None:
    """Raise InternalError if a role has no rule, or a rule has no role."""
    words = set(get_args(roles)) - {""}
    missing, strange = sorted(words - set(rules)), sorted(set(rules) - words)
    if missing:
        raise InternalError(f"role {missing[0]!r} has no rule in {where}")
    if strange:
        raise InternalError(f"{where} has a rule for role {strange[0]!r}, which ebpfvm.contract.roles does not know")


def contradictions(what: str, claims: Iterable[tuple[bool, bool, str]]) -> None:
    """Raise InternalError at the first (said, true, text) whose statement is not true."""
    for said, true, text in claims:
        if said and not true:
            raise InternalError(f"{what}: {text}")
