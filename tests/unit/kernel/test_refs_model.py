"""References counted in one integer against a model that lists the holder of each reference."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errors import Fault
from ebpfvm.kernel import PROGRAM, RefCounted, Refs
from ebpfvm.kernel.refs import CTX_HOLDER

HOLDERS = (PROGRAM, CTX_HOLDER, "qdisc 1:", "map pifo", "map other", "link eth0")
OBJECT = st.integers(0, 3)
HOLDER = st.sampled_from(HOLDERS)
STEP = st.one_of(st.tuples(st.just("add"), HOLDER),
                 st.tuples(st.sampled_from(("acquire", "release")), OBJECT, HOLDER),
                 st.tuples(st.just("move"), OBJECT, HOLDER, HOLDER),
                 st.tuples(st.sampled_from(("give", "take")), OBJECT, st.sampled_from(HOLDERS[2:])),
                 st.tuples(st.just("exit"), st.integers(0, 3)), st.tuples(st.just("live")))


class Item(RefCounted):
    """A counted object that says when it is destroyed."""

    destroyed = 0

    def destroy(self) -> None:
        self.destroyed += 1


class ListedRefs:
    """The model: what `Refs` must do, with a list of names for each object."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []

    def held(self) -> int:
        return sum(names.count(PROGRAM) for names in self.lists)

    def apply(self, step: tuple) -> str:
        """Apply a step and return the kind of its fault, "" for none."""
        if step[0] == "add":
            self.lists.append([step[1]])
            return ""
        if step[0] == "exit":
            return self._exit(step[1])
        if step[0] == "live" or step[1] >= len(self.lists):
            return ""
        names = self.lists[step[1]]
        if step[0] == "acquire":
            if not names:
                return "use-after-free"
            names.append(step[2])
            return ""
        old, new = {"release": (step[2], ""), "move": step[2:], "give": (PROGRAM, step[2]),
                    "take": (step[2], PROGRAM)}[step[0]]
        if old not in names:
            return "double-free"
        names.remove(old)
        names += [new] if new else []
        return ""

    def _exit(self, before: int) -> str:
        held = self.held()
        for names in reversed(self.lists):
            while self.held() > before and PROGRAM in names:
                names[names.index(PROGRAM)] = "leaked by p"
        return "leak" if held > before else ""


def real(refs: Refs, items: list[Item], step: tuple) -> str:
    """Apply a step to the real thing and return the kind of its fault, "" for none."""
    try:
        if step[0] == "add":
            items.append(Item())
            refs.add(items[-1], step[1])
        elif step[0] == "exit":
            refs.program_exit(step[1], "p")
        elif step[0] == "live":
            refs.live()
        elif step[1] < len(items):
            getattr(refs, step[0])(items[step[1]], *step[2:])
    except Fault as fault:
        return fault.kind
    return ""


@given(st.lists(STEP, max_size=60))
def test_counts_faults_and_live_objects_are_those_of_the_lists(steps: list[tuple]) -> None:
    refs, items, model = Refs(), [], ListedRefs()
    for step in steps:
        assert real(refs, items, step) == model.apply(step)
        assert refs.held == model.held()
        for item, names in zip(items, model.lists, strict=True):
            assert (Counter(refs.names(item)), item.users) == (Counter(names), len(names))
            assert (item.destroyed, bool(item.refs)) == ((0, True) if names else (1, False))
        assert refs.live() == [item for item, names in zip(items, model.lists, strict=True) if names]


def test_a_holder_may_have_more_references_than_there_are_map_elements() -> None:
    refs, item = Refs(), Item()
    refs.add(item, "qdisc 1:")
    for _ in range(1 << 17):
        refs.acquire(item)
        refs.give(item, "map pifo")
    assert item.users == (1 << 17) + 1 and refs.names(item)[:2] == ["qdisc 1:", "map pifo"]
    with pytest.raises(Fault, match="does not hold; held by qdisc 1:, map pifo"):
        refs.release(item, "link eth0")


def test_layers_are_named_before_maps_and_maps_before_programs() -> None:
    refs, item = Refs(), Item()
    refs.add(item)
    refs.acquire(item)
    refs.give(item, "map pifo")
    refs.acquire(item, CTX_HOLDER)
    refs.acquire(item, "qdisc 1:")
    assert refs.names(item) == ["qdisc 1:", "map pifo", PROGRAM, CTX_HOLDER]


def test_freed_objects_are_forgotten_while_others_live() -> None:
    refs, kept = Refs(), Item()
    refs.add(kept, "qdisc 1:")
    for _ in range(10_000):
        item = Item()
        refs.add(item)
        refs.release(item)
    assert len(refs.born) < 600 and refs.live() == [kept]
