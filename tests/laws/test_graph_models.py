"""Lists and trees of objects behave as plain Python lists do, and the references are where the objects are."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import log2
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from ebpfvm.kernel.object_graph import Graph
from tests.laws.graph_model import LISTS, TREES, GraphModel, ModelItem, kind
from tests.laws.graph_world import AT, GraphWorld

MANY = 12  # live items, from which on no more are made
KEYS = st.lists(st.integers(0, 3), min_size=3, max_size=5)
NUMBER = st.integers(0, 99)  # chooses one of the items there are
LIST, TREE = st.sampled_from(LISTS), st.sampled_from(TREES)


class GraphMachine(RuleBasedStateMachine):
    """A program's calls, each of which the model follows."""

    @initialize(old=st.booleans())
    def begin(self, old: bool) -> None:
        self.real = GraphWorld()
        self.real.old = old
        self.model = GraphModel(self.real.holders)
        self.live = self.real.world.kernel.refs.live

    def _held(self, number: int) -> ModelItem:
        held = [item for item in self.model.live if item.held]
        return held[number % len(held)]

    def _any(self, number: int) -> ModelItem:
        return self.model.live[number % len(self.model.live)]

    def _some_held(self) -> bool:
        return any(item.held for item in self.model.live)

    # -- objects ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.live) < MANY)
    @rule(key=st.integers(0, 4))
    def new(self, key: int) -> None:
        self.model.new(key, self.real.new(key))

    @precondition(lambda self: len(self.model.live) < MANY)
    @rule(keys=KEYS, head=LIST, tree=TREE)
    def fill(self, keys: list[int], head: str, tree: str) -> None:
        """Put new items into a list and a tree; without this, most lists and trees would hold one."""
        for key in keys:
            self.new(key)
            item = self.model.items[-1]
            self._acquire(item)
            self._push(head, item, front=False)
            self._sort(tree, item)

    @precondition(lambda self: self.model.live)
    @rule(number=NUMBER)
    def acquire(self, number: int) -> None:
        self._acquire(self._any(number))

    def _acquire(self, item: ModelItem) -> None:
        assert self.real.either("refcount_acquire", item.address) == item.address
        item.held += 1

    @precondition(_some_held)
    @rule(number=NUMBER)
    def drop(self, number: int) -> None:
        item = self._held(number)
        assert self.real.either("obj_drop", item.address) == 0
        self.model.drop(item)

    @precondition(lambda self: any(not item.held for item in self.model.live))
    @rule(number=NUMBER, root=st.sampled_from(("", *LISTS, *TREES)))
    def give_away_what_is_not_held(self, number: int, root: str) -> None:
        lent = [item for item in self.model.live if not item.held]
        with pytest.raises(Fault, match="that it does not hold"):
            self._give(lent[number % len(lent)], root)

    def _give(self, item: ModelItem, root: str) -> int:
        if not root:
            return self.real.either("obj_drop", item.address)
        if kind(root) == "tree":
            return self._add(root, item)
        return self.real.either("list_push_back", self.real.root(root), item.address + AT["list"])

    # -- lists --------------------------------------------------------------------------------------------------------

    @precondition(_some_held)
    @rule(head=LIST, number=NUMBER, front=st.booleans())
    def push(self, head: str, number: int, front: bool) -> None:
        self._push(head, self._held(number), front)

    def _push(self, head: str, item: ModelItem, front: bool) -> None:
        name = "list_push_front" if front else "list_push_back"
        result = self.real.either(name, self.real.root(head), item.address + AT["list"])
        done = self.model.put(head, item, 0 if front else len(self.model.roots[head]))
        assert result == (0 if done else -EINVAL)

    @precondition(_some_held)
    @rule(head=LIST, number=NUMBER, other=NUMBER)
    def insert_after(self, head: str, number: int, other: int) -> None:
        item, previous = self._held(number), self._any(other)
        members = self.model.roots[head]
        at = members.index(previous) + 1 if previous in members else None
        result = self.real.call("list_add", self.real.root(head), *(it.address + AT["list"] for it in (item, previous)))
        assert result == (0 if self.model.put(head, item, at) else -EINVAL)

    @rule(head=LIST, front=st.booleans())
    def pop(self, head: str, front: bool) -> None:
        members = self.model.roots[head]
        item = members[0 if front else -1] if members else None
        result = self.real.call("list_pop_front" if front else "list_pop_back", self.real.root(head))
        self._taken(head, item, result)

    @precondition(lambda self: self.model.live)
    @rule(head=LIST, number=NUMBER)
    def unlink(self, head: str, number: int) -> None:
        item = self._any(number)
        result = self.real.call("list_del", self.real.root(head), item.address + AT["list"])
        self._taken(head, item if item in self.model.roots[head] else None, result)

    def _taken(self, root: str, item: ModelItem | None, result: int) -> None:
        assert result == (item.address + AT[kind(root)] if item is not None else 0)
        if item is not None:
            self.model.take(root, item)

    # -- trees --------------------------------------------------------------------------------------------------------

    def _add(self, tree: str, item: ModelItem) -> int:
        return self.real.either("rbtree_add", self.real.root(tree), item.address + AT["tree"], self.real.less)

    @precondition(_some_held)
    @rule(tree=TREE, number=NUMBER)
    def add(self, tree: str, number: int) -> None:
        self._sort(tree, self._held(number))

    def _sort(self, tree: str, item: ModelItem) -> None:
        result = self._add(tree, item)
        assert result == (0 if self.model.sort(tree, item) else -EINVAL)

    @precondition(lambda self: self.model.live)
    @rule(tree=TREE, number=NUMBER)
    def remove(self, tree: str, number: int) -> None:
        item = self._any(number)
        result = self.real.call("rbtree_remove", self.real.root(tree), item.address + AT["tree"])
        self._taken(tree, item if item in self.model.roots[tree] else None, result)

    # -- memory that has lists and trees is freed ---------------------------------------------------------------------

    def _full(self, *names: str) -> bool:
        """Whether there are many items, some of them in the roots of that name: the rule shall not run all the time."""
        return len(self.model.live) >= MANY and any(self.model.roots[f"{kind} {name}"] for kind in AT for name in names)

    @precondition(lambda self: self._full("a", "b"))
    @rule(name=st.sampled_from("ab"))
    def delete_value(self, name: str) -> None:
        self.real.delete_value(name)
        self.model.empty(f"list {name}", f"tree {name}")
        self.real.make_value(name)

    @precondition(lambda self: self._full("of folder"))
    @rule()
    def drop_folder(self) -> None:
        self.real.either("obj_drop", self.real.folder)
        self.model.empty("list of folder", "tree of folder")
        self.real.make_folder()

    # -- what holds after each call -----------------------------------------------------------------------------------

    @invariant()
    def lists_are_in_order(self) -> None:
        for head in LISTS:
            nodes = [item.address + AT["list"] for item in self.model.roots[head]]
            address, call = self.real.root(head), self.real.call
            members = self.real.world.kernel.graph.list_at(address)
            assert [member.ptr + AT["list"] for member in members] == nodes
            assert call("list_empty", address) == (not nodes)
            first, last = nodes[:1] or [0], nodes[-1:] or [0]
            assert [call("list_front", address), call("list_back", address)] == first + last
            nodes = [item.address + AT["list"] for item in self.model.live]
            assert [node for node in nodes if call("list_is_first", address, node)] == [n for n in first if n]
            assert [node for node in nodes if call("list_is_last", address, node)] == [n for n in last if n]

    @invariant()
    def trees_are_in_order_and_balanced(self) -> None:
        for tree in TREES:
            items = self.model.roots[tree]
            found = self.real.nodes(tree)
            assert [node - AT["tree"] for node, _ in found] == [item.address for item in items]
            assert max((depth for _, depth in found), default=0) <= 2 * log2(len(items) + 1)
            address = self.real.root(tree)
            assert self.real.call("rbtree_first", address) == (items[0].address + AT["tree"] if items else 0)
            strangers = [item.address + AT["tree"] for item in self.model.live if item not in items]
            assert not any(self.real.call(f"rbtree_{side}", address, node)
                           for side in ("left", "right") for node in strangers)

    @invariant()
    def references_are_where_the_objects_are(self) -> None:
        refs = self.real.world.kernel.refs
        for item in self.model.live:
            found, owners = self.real.object(item.address), self.model.owners(item)
            assert Counter(refs.names(found)) == owners
            assert (found.users, self.real.key(item.address)) == (owners.total(), item.key)
        assert refs.held == 1 + sum(item.held for item in self.model.live)  # and that to the folder

    @invariant()
    def exactly_what_nobody_holds_is_free(self) -> None:
        live = {found.ptr for found in self.live() if found.type.name == "item"}
        assert live == {item.address for item in self.model.live}
        for item in self.model.items:
            if item.freed_by:
                found = self.real.object(item.address)
                assert (found.refs, found.last_holder) == (0, item.freed_by)

    @invariant()
    def no_object_is_in_two_places_of_a_kind(self) -> None:
        graph = self.real.world.kernel.graph
        for roots in (LISTS, TREES):
            members = [member.serial for root in roots for member in graph.list_at(self.real.root(root))]
            assert len(members) == len(set(members))


RUNS = settings(max_examples=60, stateful_step_count=50)


class TestKfuncs(GraphMachine.TestCase):  # type: ignore[misc, name-defined]
    """The bodies of the kfuncs against the model."""

    settings = RUNS


def _ties_go_left(model: GraphModel, tree: str, item: ModelItem) -> bool:
    return model.put(tree, item, bisect_left([other.key for other in model.roots[tree]], item.key))


def _take_first(graph: Graph, root: Any, index: int, take: Any = Graph.take) -> Any:
    return take(graph, root, 0)


def _release_nothing(graph: Graph, root: Any) -> None:
    root.clear()


@pytest.mark.parametrize(("owner", "name", "wrong"), [
    (GraphModel, "sort", _ties_go_left), (Graph, "take", _take_first), (Graph, "drain", _release_nothing)])
def test_a_wrong_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, wrong: Any) -> None:
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(GraphMachine, settings=settings(RUNS, phases=[Phase.generate]))
