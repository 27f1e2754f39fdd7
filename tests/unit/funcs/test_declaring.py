"""Wrong contracts are errors when the module is imported."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ebpfvm.contract import Arg, Ret, RetSpec, contract_only, helper, kfunc, kfunc_only
from ebpfvm.contract.args import (
    Anything,
    Ctx,
    Func,
    Integer,
    KptrXchgDest,
    Length,
    MapPtr,
    Mem,
    SpinLock,
    UninitMapValue,
)
from ebpfvm.dialects.helpers import HELPERS, NAMES
from ebpfvm.errors import Fault, InternalError
from tests.unit.funcs.world import World


def test_a_helper_is_its_signature() -> None:
    @helper(gpl_only=True, pkt_access=True, cap="bpf")
    def bpf_sample__variant(env: object, ctx: Ctx, data: Mem, flags: Anything) -> Integer:
        """Documented."""
        return 0

    assert bpf_sample__variant.name == "bpf_sample"
    assert [spec.kind for spec in bpf_sample__variant.args] == [Arg.PTR_TO_CTX, Arg.PTR_TO_MEM, Arg.ANYTHING]
    assert bpf_sample__variant.args[1].rdonly and bpf_sample__variant.ret.kind is Ret.INTEGER
    assert bpf_sample__variant.gpl_only and bpf_sample__variant.pkt_access and bpf_sample__variant.cap == "bpf"
    assert bpf_sample__variant.doc == "Documented."


def bpf_g(env: object) -> Integer:
    return 0


def test_missing_contracts_are_refused() -> None:
    with pytest.raises(InternalError, match="parameter 'x' has no contract"):
        @helper()
        def bpf_a(env: object, x: int) -> Integer:
            return 0
    with pytest.raises(InternalError, match="result has no contract"):
        @helper()
        def bpf_b(env: object, x: Anything) -> int:
            return 0
    with pytest.raises(InternalError, match="bad contract"):
        contract_only("bpf_c", Anything, ret=int)
    with pytest.raises(InternalError, match="an argument has no contract"):
        contract_only("bpf_d", int, ret=Integer)
    with pytest.raises(InternalError, match="bad contract"):
        contract_only("bpf_e", *[Anything] * 6, ret=Integer)
    with pytest.raises(InternalError, match="kfunc f: flag 'no_such_flag' is not known; there are: acquire, "):
        kfunc_only("void f(void)", "no_such_flag")
    with pytest.raises(InternalError, match="kfunc 'f': this is no prototype"):
        kfunc_only("f")
    with pytest.raises(InternalError, match="kfunc f: there is no option 'moves'; there are: role, callback"):
        kfunc_only("void f(void)", moves=True)  # type: ignore[misc]
    with pytest.raises(InternalError, match="helper bpf_g: there is no option 'sleeps'; there are: gpl_only, "):
        helper(sleeps=True)(bpf_g)  # type: ignore[misc]
    with pytest.raises(InternalError, match="takes 0 arguments, not 1"):
        @kfunc("void f(int x)")
        def f(env: object) -> int:
            return 0


def test_prototypes() -> None:
    parsed = kfunc_only("int bpf_x(const struct sk_buff *skb, void *buf__opt, u32 buf__szk, bool (less)(void *a), "
                        "struct bpf_dynptr *p__uninit)", "sleepable", role="dynptr_new", dynptr="skb", callback="sync")
    skb, buf, size, less, dynptr = parsed.params
    assert (skb.struct, skb.pointers) == ("sk_buff", 1)
    assert buf.suffixes == {"opt"} and size.suffixes == {"szk"} and size.pointers == 0
    assert less.type == "func" and dynptr.suffixes == {"uninit"}
    assert parsed.flags == {"sleepable"} and parsed.body is None


_LESS = "bool (less)(void *a)"


@pytest.mark.parametrize(("prototype", "flags", "options", "says"), [
    ("void bpf_x(u64 n)", ["release"], {}, "releases a reference, and takes no pointer"),
    ("int bpf_x(void *p)", ["acquire"], {}, "acquires a reference, and gives no pointer"),
    ("int bpf_x(void *p)", ["ret_null"], {}, "may give NULL, and gives no pointer"),
    ("int bpf_x(void *p)", [], {"ret_untrusted": True}, "its result is untrusted, and it gives no pointer"),
    ("int bpf_x(void *p)", ["iter_new"], {}, "is an iterator's, and does not take it first"),
    ("int bpf_x(struct bpf_iter_num *i)", ["iter_new", "iter_next"], {}, "more than one of an iterator's"),
    ("int bpf_x(struct bpf_iter_num *i)", ["iter_new"], {"role": "rcu_lock"}, "its role is 'rcu_lock'"),
    ("int bpf_x(struct sk_buff *skb)", ["kptr_get"], {}, "takes no kptr slot first"),
    (f"int bpf_x({_LESS})", [], {}, "takes a function, and 'callback' or 'role' is missing"),
    (f"int bpf_x({_LESS})", [], {"callback": "sync"}, "takes a function, and 'callback' or 'role' is missing"),
    ("int bpf_x(u64 n)", [], {"role": "no_such"}, "role 'no_such' is not known; there are: 'obj_new'"),
    ("int bpf_x(u64 n)", [], {"callback": "later"}, "callback 'later' is not known; there are: 'sync', 'async'"),
    ("int bpf_x(u64 n)", [], {"role": "graph_put"}, "role is 'graph_put', and its prototype has no list or tree"),
    ("int bpf_x(struct bpf_rb_root *r)", [], {}, "its prototype has a list or tree, and its role is ''"),
    ("int bpf_x(struct bpf_res_spin_lock *l)", [], {}, "its prototype has a bpf_res_spin_lock, and its role is ''"),
    ("void bpf_x(u64 *f__irq_flag)", [], {"role": "rcu_lock"}, "has a flag of interrupts, and its role is 'rcu_lock'"),
    ("void bpf_x(void *p__alloc)", ["release"], {}, "has a reference to give back, and its role is ''"),
    ("int bpf_x(struct bpf_dynptr *p__uninit)", [], {}, "its prototype has a dynptr to make, and its role is ''"),
    ("int bpf_x(struct bpf_dynptr *p__uninit)", [], {"role": "dynptr_new"}, "'dynptr' does not say of which kind"),
    ("int bpf_x(u64 n)", [], {"dynptr": "skb"}, "dynptr is 'skb', and it makes none"),
    ("void bpf_x(struct sk_buff *p, u64 n)", ["release"], {"counts": True}, "only counts, and does not acquire or"),
    ("void bpf_x(struct sk_buff *p)", [], {"counts": True}, "only counts, and does not acquire or release"),
])
def test_a_kfunc_that_contradicts_its_prototype_is_refused(prototype: str, flags: list[str], options: dict[str, Any],
                                                           says: str) -> None:
    with pytest.raises(InternalError, match=re.escape("kfunc bpf_x")) as caught:
        kfunc_only(prototype, *flags, **options)
    assert says in str(caught.value)


@pytest.mark.parametrize(("args", "ret", "options", "says"), [
    ([Func], Integer, {}, "takes a function, and 'callback' does not say when it runs"),
    ([Anything], Integer, {"callback": "sync"}, "has a callback, and takes no function"),
    ([Func], Integer, {"callback": "sync"}, "has a callback, and no role that says what it is given"),
    ([Anything], Integer, {"memory_to": (2,)}, "gives memory to a callback, and has none"),
    ([Func], Integer, {"callback": "sync", "role": "loop", "context_to": 2}, "passes on a context, and takes none"),
    ([Anything], Integer, {"map_op": "lookup"}, "map_op is 'lookup', and it takes no map"),
    ([MapPtr], Integer, {"map_op": "seek"}, "map_op 'seek' is not known; there are: 'lookup'"),
    ([Ctx], Integer, {"role": "tail_call"}, "role is 'tail_call', and it takes no map"),
    ([MapPtr], Integer, {"role": "set_timer"}, "role is 'set_timer', and it takes no timer"),
    ([SpinLock], Integer, {}, "takes a lock, and its role is ''"),
    ([KptrXchgDest], Integer, {}, "takes a kptr to exchange, and its role is ''"),
    ([Anything], Length, {}, "its result is within a size, and it takes none"),
    ([Anything], RetSpec(Ret.INTEGER, acquire=True), {}, "acquires a reference, and gives no pointer"),
    ([Anything], Integer, {"role": "cast"}, "casts a pointer, and gives none"),
])
def test_a_helper_that_contradicts_its_signature_is_refused(args: list[object], ret: object, options: dict[str, Any],
                                                            says: str) -> None:
    with pytest.raises(InternalError, match="helper bpf_x") as caught:
        contract_only("bpf_x", *args, ret=ret, **options)
    assert says in str(caught.value)


def test_every_helper_of_linux_is_declared() -> None:
    assert sorted(HELPERS) == list(range(1, 212))
    assert [HELPERS[number].name for number in (1, 2, 12, 194, 211)] == [
        "bpf_map_lookup_elem", "bpf_map_update_elem", "bpf_tail_call", "bpf_kptr_xchg", "bpf_cgrp_storage_delete"]
    assert len(set(NAMES)) == 211
    assert HELPERS[88].args[1] == UninitMapValue.__metadata__[0]


def test_running_a_contract_is_a_fault() -> None:
    with pytest.raises(Fault, match="helper bpf_send_signal is not supported by ebpfvm"):
        World().call("bpf_send_signal", 9)
    with pytest.raises(Fault, match="kfunc bpf_key_put is not supported by ebpfvm"):
        World().call("bpf_key_put", 0)
