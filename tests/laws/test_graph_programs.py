"""Programs with lists and trees of objects do in both engines what plain Python lists do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ebpfvm.errnos import EINVAL
from tests.laws.graph_model import GraphModel, ModelItem
from tests.laws.graph_programs import HOLDER, ROOTS, both_engines

NOTHING = 100  # what programs return that find no item; items have greater numbers
NAME, END, KEY = st.sampled_from("ab"), st.sampled_from(("front", "back")), st.integers(0, 4)


class ProgramMachine(RuleBasedStateMachine):
    """Runs of programs in both engines, each of which the model follows."""

    @initialize()
    def begin(self) -> None:
        self.engines = both_engines()
        self.model = GraphModel(dict.fromkeys(ROOTS, HOLDER))

    def teardown(self) -> None:
        for engine in both_engines():
            engine.clear()

    def _run(self, name: str, item: ModelItem | None = None) -> int:
        """Run a program, with an item that it makes, in both engines."""
        number, key = (item.address, item.key) if item is not None else (0, 0)
        one, other = (engine.run(name, number, key) for engine in self.engines)
        assert one == other
        return one

    def _item(self, key: int) -> ModelItem:
        self.model.new(key, NOTHING + 1 + len(self.model.items))
        return self.model.items[-1]

    def _taken(self, root: str, index: int) -> ModelItem | None:
        members = self.model.roots[root]
        if not members:
            return None
        item = members[index]
        self.model.take(root, item)
        return item

    @rule(name=NAME, end=END, key=KEY)
    def push(self, name: str, end: str, key: int) -> None:
        item, root = self._item(key), f"list {name}"
        assert self._run(f"push_{end}_{name}", item) == 0
        assert self.model.put(root, item, 0 if end == "front" else len(self.model.roots[root]))

    @rule(name=NAME, end=END)
    def pop(self, name: str, end: str) -> None:
        item = self._taken(f"list {name}", 0 if end == "front" else -1)
        assert self._run(f"pop_{end}_{name}") == (item.address if item is not None else NOTHING)
        if item is not None:
            self.model.drop(item)

    @rule(name=NAME, end=END)
    def look(self, name: str, end: str) -> None:
        members = [item.address for item in self.model.roots[f"list {name}"]] or [NOTHING]
        assert self._run(f"look_{end}_{name}") == members[0 if end == "front" else -1]

    @rule(name=NAME, key=KEY, order=st.sampled_from(("less", "less_in_steps")))
    def add(self, name: str, key: int, order: str) -> None:
        item = self._item(key)
        assert self._run(f"add_{order}_{name}", item) == 0
        assert self.model.sort(f"tree {name}", item)

    @rule(name=NAME)
    def remove_first(self, name: str) -> None:
        item = self._taken(f"tree {name}", 0)
        assert self._run(f"remove_first_{name}") == (item.address if item is not None else NOTHING)
        if item is not None:
            self.model.drop(item)

    @rule(name=NAME)
    def remove_root(self, name: str) -> None:
        """Any item may be the root of a tree, but one must be."""
        root = f"tree {name}"
        numbers = [item.address for item in self.model.roots[root]]
        found = self._run(f"remove_root_{name}")
        if found == NOTHING:
            assert not numbers
            return
        item = self._taken(root, numbers.index(found))
        assert item is not None
        self.model.drop(item)

    @rule(head=NAME, tree=NAME, keys=st.lists(KEY, min_size=1, max_size=4))
    def both(self, head: str, tree: str, keys: list[int]) -> None:
        for key in keys:
            self._both(head, tree, key)

    def _both(self, head: str, tree: str, key: int) -> None:
        item, root = self._item(key), f"list {head}"
        assert self._run(f"both_{head}_{tree}", item) == 0
        item.held += 1
        assert self.model.sort(f"tree {tree}", item)
        assert self.model.put(root, item, len(self.model.roots[root]))

    @rule(head=NAME, tree=NAME)
    def move(self, head: str, tree: str) -> None:
        result, item = self._run(f"move_{head}_{tree}"), self._taken(f"list {head}", -1)
        done = NOTHING if item is None else 0 if self.model.sort(f"tree {tree}", item) else -EINVAL
        assert result == done

    @rule(head=NAME, tree=NAME)
    def move_back(self, head: str, tree: str) -> None:
        result, item = self._run(f"back_{head}_{tree}"), self._taken(f"tree {tree}", 0)
        done = NOTHING if item is None else 0 if self.model.put(f"list {head}", item, 0) else -EINVAL
        assert result == done

    @rule(head=NAME, tree=NAME)
    def leave(self, head: str, tree: str) -> None:
        result, item = self._run(f"leave_{head}_{tree}"), self._taken(f"list {head}", 0)
        if item is None:
            assert result == NOTHING
            return
        sorted_too = item.place["tree"] == f"tree {tree}"
        assert result == sorted_too
        if sorted_too:
            self.model.take(f"tree {tree}", item)
            self.model.drop(item)
        self.model.drop(item)

    @invariant()
    def both_engines_have_what_the_model_has(self) -> None:
        owners = {item.address: (item.key, self.model.owners(item)) for item in self.model.live}
        for engine in self.engines:
            for root, items in self.model.roots.items():
                assert root not in ROOTS or engine.numbers(root) == [item.address for item in items]
            assert engine.owners() == owners
            assert engine.kernel.refs.held == 0


class TestPrograms(ProgramMachine.TestCase):  # type: ignore[misc, name-defined]
    """Programs in both engines against the model."""

    settings = settings(max_examples=60, stateful_step_count=40)


def test_both_engines_verify_what_they_run() -> None:
    for engine in both_engines():
        assert len(engine.programs) == 36
        assert all(run.prog.facts is not None for run in engine.programs.values())
