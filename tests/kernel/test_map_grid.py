"""All questions about maps put to the running kernel, if its rules are known: what is recorded is what it says."""

from __future__ import annotations

import pytest

from ebpfvm.contract.mapcreate import creation_refusal
from ebpfvm.contract.rules import DESCRIBED
from ebpfvm.dialects.linux import linux
from ebpfvm.testing.oracle import kernel_version, why_not
from tests.kernel.map_grid import GOOD, questions, spec_of
from tests.kernel.map_ops import TYPES
from tests.kernel.record_maps import Asker, operations
from tests.unit.maps.test_creation import depends_on_the_build
from tests.unit.maps.test_operations import played

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def ask() -> Asker:
    reason = why_not()
    if reason or kernel_version() not in DESCRIBED:
        pytest.skip(reason or f"the rules of Linux {kernel_version()} are not known")
    return Asker()


@pytest.mark.parametrize("type", GOOD)
def test_definitions(ask: Asker, type: str) -> None:
    dialect, wrong = linux(kernel_version()), []
    for question in questions(type):
        refusal = creation_refusal(spec_of(question), dialect)
        said = ask(spec_of(question))
        if (refusal.errno if refusal is not None else 0) != said and not depends_on_the_build(question):
            wrong.append((question, said, refusal))
    assert wrong == []


def test_operations(ask: Asker) -> None:
    said = operations(ask)
    assert [type for type in TYPES if played(type, kernel_version()) != said[type]] == []
