"""The worked example of CONTRIBUTING.md, "Adding a qdisc", works as written, and mistakes are answered as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.unit.adding import blocks, copy_package, messages, run, section

SECTION = section("Adding a qdisc")
CODE = blocks(SECTION)[0]
MESSAGES = messages(SECTION)
SCRIPT = "tc qdisc add dev eth0 root lifo limit 3\ntc qdisc show dev eth0\n"
MISTAKES = {
    "`kind = \"lifo\"` in the class": ("    kind = \"lifo\"\n", ""),
    "a method": ("class Lifo(Fifo)", "class Lifo(Fifo.__mro__[1])"),
    "an option's argument": ("word=\"limit\"", "word=\"length\""),
    "the kind of an option's value": ("value=\"SIZE\"", "value=\"PACKETS\""),
    "what an option means": ("doc=\"packets that may be queued\"", "doc=\"\"")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the example in it."""
    return copy_package(tmp_path_factory.mktemp("copy"))


def simulated(tree: Path, code: str, listed: bool = True) -> str:
    """What a simulation with the kind prints, in a copy with this code in the example's file."""
    folder = tree / "ebpfvm" / "sched" / "qdiscs"
    (folder / "lifo.py").write_text(code, encoding="utf-8")
    (tree / "lifo.tc").write_text(SCRIPT, encoding="utf-8")
    text = (ROOT / "sched" / "qdiscs" / "kinds.py").read_text(encoding="utf-8")
    if listed:
        above = "from ebpfvm.sched.qdiscs.mq import"
        text = text.replace(above, f"from ebpfvm.sched.qdiscs.lifo import LIFO\n{above}").replace("MQ, ", "LIFO, MQ, ")
    (folder / "kinds.py").write_text(text, encoding="utf-8")
    return run(tree, "-m", "ebpfvm", "run", "--tc", "lifo.tc", "--flows", "cbr:rate=8mbit,packets=5", "--rate", "1mbit")


def test_the_example_works(tree: Path) -> None:
    assert simulated(tree, CODE).endswith("\nqdisc lifo 8001: root refcnt 2 limit 3p\n")


def test_the_line_in_the_list_is_missed(tree: Path) -> None:
    assert MESSAGES["the line in the list"] in simulated(tree, CODE, listed=False)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(tree: Path, mistake: str) -> None:
    right, wrong = MISTAKES[mistake]
    assert CODE.count(right) == 1
    assert MESSAGES[mistake] in simulated(tree, CODE.replace(right, wrong))
