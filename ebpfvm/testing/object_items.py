"""Objects as pytest collects them: each test that an object carries in declaration tags is one item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.testing.tagged_programs import FAILED, SKIPPED, TaggedObject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ebpfvm.testing.tagged_programs import TaggedResult, TaggedTest


class NotAsExpected(AssertionError):
    """A test of an object failed."""

    def __init__(self, result: TaggedResult) -> None:
        super().__init__(result.reason)
        self.result = result


class ObjectFile(pytest.File):
    """An object whose programs have declaration tags."""

    def collect(self) -> Iterable[pytest.Item]:
        """Return an item for each test."""
        found = TaggedObject(self.path, kernel=self.config.getoption("bpf_kernel"))
        for test in found.tests:
            yield TestOfProgram.from_parent(self, name=test.name, found=found, test=test)


class TestOfProgram(pytest.Item):
    """One test of an object."""

    __test__ = False  # not a class of tests

    def __init__(self, *, found: TaggedObject, test: TaggedTest, **rest: Any) -> None:
        super().__init__(**rest)
        self.found, self.tagged = found, test

    def runtest(self) -> None:
        """Run the test.

        Raises:
            NotAsExpected: it failed.
        """
        result = self.found.run(self.tagged)
        if result.status == SKIPPED:
            pytest.skip(result.reason)
        if result.status == FAILED:
            raise NotAsExpected(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what differs, with the end of the verifier's log."""
        if not isinstance(excinfo.value, NotAsExpected):
            return super().repr_failure(excinfo, style)
        return excinfo.value.result.shown()

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the object, the line of C, and the name of the test."""
        return self.path, self.tagged.line - 1 if self.tagged.line else None, self.name
