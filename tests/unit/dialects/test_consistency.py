"""Lists that contradict each other are errors when `ebpfvm.dialects` is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from ebpfvm.contract import Dialect
from ebpfvm.dialects import consistency, helpers, kfuncs, linux
from ebpfvm.dialects.built import BUILT
from ebpfvm.errors import InternalError

DECLARED = consistency.Declared(frozenset(helpers.BY_NAME), frozenset(kfuncs.BY_NAME), frozenset(BUILT),
                                helpers.OFFERED_TO_NOBODY)


def changed(table: str, name: str, **changes: Any) -> Dialect:
    """Linux, with one thing that it offers changed."""
    entries = dict(getattr(linux(), table))
    number = next(number for number, item in entries.items() if item.name == name)
    entries[number] = replace(entries[number], **changes)
    return linux().derive(**{table: MappingProxyType(entries)})


def without(table: str, name: str) -> Dialect:
    return linux().derive(**{table: {number: item for number, item in getattr(linux(), table).items()
                                     if item.name != name}})


PROBLEMS: dict[str, tuple[Callable[[], Dialect], str]] = {
    "a map type takes a helper that is none": (
        lambda: changed("map_types", "ringbuf", funcs=frozenset({"bpf_ringbuf"})),
        "map type ringbuf: its 'funcs' list bpf_ringbuf, which is no helper of this kernel (linux)"),
    "a map type takes a helper without a map": (
        lambda: changed("map_types", "ringbuf", funcs=frozenset({"bpf_ringbuf_submit"})),
        "map type ringbuf: its 'funcs' list bpf_ringbuf_submit, which takes no map (linux)"),
    "no map type takes a helper": (
        lambda: changed("map_types", "ringbuf", funcs=frozenset({"bpf_ringbuf_query"})),
        "helper bpf_ringbuf_output takes a map, and no map type lists it in its 'funcs' (linux)"),
    "a program type may call what is no helper": (
        lambda: changed("prog_types", "xdp", helpers=linux().prog_type("xdp").helpers | {"bpf_redirekt"}),
        "program type xdp may call bpf_redirekt, which is no helper of linux"),
    "a kfunc that is said not to be modelled": (
        lambda: linux().derive(unmodelled=frozenset({"bpf_throw"})),
        "kfunc bpf_throw is declared, and ebpfvm/dialects/unmodelled.py says it is not modelled"),
    "a helper without a number": (
        lambda: without("helpers", "bpf_get_prandom_u32"),
        "helper bpf_get_prandom_u32 is declared, and it has no number: put its name into ebpfvm/dialects/helpers.py"),
    "a map type without a number": (
        lambda: without("map_types", "bloom_filter"),
        "map type bloom_filter is declared, and it has no number: put its name into ebpfvm/dialects/maptypes.py"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_lists_that_contradict_each_other(problem: str) -> None:
    make, says = PROBLEMS[problem]
    with pytest.raises(InternalError) as caught:
        consistency.check([make()], DECLARED._replace(
            helpers=DECLARED.helpers - {"bpf_skb_tc_classify"}, kfuncs=frozenset(linux().kfuncs),
            map_types=DECLARED.map_types - {"rbtree", "rbtree_of_maps"}))
    assert str(caught.value) == says


def test_a_helper_that_is_offered_to_nobody_and_to_somebody() -> None:
    names = DECLARED._replace(helpers=frozenset(), kfuncs=frozenset(linux().kfuncs), map_types=frozenset(),
                              offered_to_nobody=frozenset({"bpf_redirect"}))
    with pytest.raises(InternalError, match="helper bpf_redirect is offered to a program type, and to nobody"):
        consistency.check([linux()], names)


def test_a_version_that_names_what_nobody_declares() -> None:
    names = DECLARED._replace(helpers=DECLARED.helpers - {"bpf_loop", "bpf_skb_tc_classify"},
                              kfuncs=frozenset(linux().kfuncs), map_types=frozenset())
    with pytest.raises(InternalError, match=r"Linux 7.2 \(ebpfvm/dialects/offers.py\) names helper bpf_loop, and no"):
        consistency.check([linux()], names)
