"""Wrong contracts are errors when the module is imported."""

from __future__ import annotations

import pytest

from ebpfvm.contract import Arg, Ret, contract_only, helper, kfunc, kfunc_only
from ebpfvm.contract.args import Anything, Ctx, Integer, Mem, UninitMapValue
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
    with pytest.raises(InternalError, match="bad prototype or flags"):
        kfunc_only("void f(void)", "no_such_flag")
    with pytest.raises(InternalError, match="takes 0 arguments, not 1"):
        @kfunc("void f(int x)")
        def f(env: object) -> int:
            return 0


def test_prototypes() -> None:
    parsed = kfunc_only("int bpf_x(const struct sk_buff *skb, void *buf__opt, u32 buf__szk, bool (less)(void *a), "
                        "struct bpf_dynptr *p__uninit)", "acquire")
    skb, buf, size, less, dynptr = parsed.params
    assert (skb.struct, skb.const, skb.pointers) == ("sk_buff", True, 1)
    assert buf.suffixes == {"opt"} and size.suffixes == {"szk"} and size.pointers == 0
    assert less.type == "func" and dynptr.suffixes == {"uninit"}
    assert parsed.flags == {"acquire"} and parsed.body is None


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
