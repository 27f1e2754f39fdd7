"""Kinds of actions and filters declare themselves; what is wrong with a declaration is an error that names it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest

from ebpfvm.errors import InternalError
from ebpfvm.sched.tc.act_gact import GACT
from ebpfvm.sched.tc.act_skbedit import SKBEDIT, Skbedit
from ebpfvm.sched.tc.action import Action
from ebpfvm.sched.tc.action_kind import ActionKind
from ebpfvm.sched.tc.actions import ACTIONS
from ebpfvm.sched.tc.block import TcfProto
from ebpfvm.sched.tc.cls_basic import BASIC, FW, Fw
from ebpfvm.sched.tc.filter_kind import FilterKind
from ebpfvm.sched.tc.filters import FILTERS
from tests.house.tree import modules


class Still(Action):
    """Does nothing, not even that."""

    kind = "gact"


class Blind(TcfProto):
    """Sees nothing."""

    kind = "fw"


def test_every_declared_kind_is_in_its_list() -> None:
    """If this fails: add the kind to the list in tc/actions.py or tc/filters.py."""
    found = [value for name in modules() if name.startswith("ebpfvm.sched.tc.")
             for value in vars(import_module(name)).values() if isinstance(value, ActionKind | FilterKind)]
    assert {kind.name for kind in found if isinstance(kind, ActionKind)} == set(ACTIONS)
    assert {kind.name for kind in found if isinstance(kind, FilterKind)} == set(FILTERS)


@pytest.mark.parametrize(("kind", "change", "message"), [
    (GACT, {"cls": Skbedit}, "action kind 'gact': its class Skbedit says kind = 'skbedit'"),
    (GACT, {"cls": Still}, "action kind 'gact': class Still does not define act()"),
    (GACT, {"rules": SKBEDIT.rules}, "action kind 'gact': none of its rules begins with the word 'gact'"),
    (BASIC, {"cls": Fw}, "filter kind 'basic': its class Fw says kind = 'fw'"),
    (FW, {"cls": Blind}, "filter kind 'fw': class Blind does not define classify()"),
    (FW, {"rules": GACT.rules}, "filter kind 'fw': the first of its rules is not for `options`")])
def test_what_a_kind_lacks(kind: ActionKind | FilterKind, change: dict[str, object], message: str) -> None:
    with pytest.raises(InternalError) as caught:
        replace(kind, **change)  # type: ignore[arg-type]
    assert str(caught.value) == message
