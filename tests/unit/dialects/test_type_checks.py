"""A program type that is half declared is an error at import, with a message that says where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.contract import ProgType
from ebpfvm.contract.progtype import CtxField
from ebpfvm.dialects import helpers
from ebpfvm.dialects.progtypes import PROG_TYPES, check
from ebpfvm.errors import InternalError
from ebpfvm.loader.sections import section_types

SECTIONS = section_types()
WHOLE = ProgType("flow_meter", "flow_meter_ctx", 8, (CtxField("len", 0, 4), CtxField("mark", 4, 4, write=True)))


@pytest.mark.parametrize(("item", "said"), [
    (replace(WHOLE, fields=()), "'flow_meter' has no context: give it fields"),
    (replace(WHOLE, ctx_size=6), "'flow_meter': 'mark' ends at 8, after the 6 bytes of its context"),
    (replace(WHOLE, helpers=frozenset({"bpf_nothing"})), "'flow_meter' may call the helper 'bpf_nothing', which d"),
    (replace(WHOLE, attach_helpers={"x": frozenset({"bpf_nil"})}), "may call the helper 'bpf_nil', which does"),
], ids=["context", "size", "helper", "hook"])
def test_a_type_that_is_not_whole(item: ProgType, said: str) -> None:
    with pytest.raises(InternalError, match=said):
        check([*PROG_TYPES.values(), item], {*SECTIONS, "flow_meter"})


def test_a_type_that_no_section_names() -> None:
    said = r"'flow_meter' has no section name in ebpfvm/loader/sections.py \(_TABLE\)"
    with pytest.raises(InternalError, match=said):
        check([*PROG_TYPES.values(), WHOLE], SECTIONS)
    check([*PROG_TYPES.values(), WHOLE], {*SECTIONS, "flow_meter"})


def test_a_table_that_names_a_type_which_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helpers.BY_TYPE, "xpd", frozenset())
    with pytest.raises(InternalError, match=r"BY_TYPE of ebpfvm/dialects/helpers.py names the program type 'xpd'"):
        check(PROG_TYPES.values(), SECTIONS)
