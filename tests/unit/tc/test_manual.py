"""docs/reference/tc.md: the examples run and print what the page says. Every word of the grammars is explained there or
in docs/reference/qdiscs.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.api import script_programs
from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import open_engine
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.grammar import QDISC_KINDS, command_grammar, qdisc_grammar
from ebpfvm.sched.tc.grammar_filter import FILTER_KINDS, filter_grammar
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

ROOT = Path(__file__).parents[3]
MANUAL = (ROOT / "docs" / "reference" / "tc.md").read_text()
QDISCS_PAGE = (ROOT / "docs" / "reference" / "qdiscs.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)


def lines(text: str) -> list[str]:
    """A text without the blanks that `tc` leaves at the ends of lines."""
    return [line.rstrip() for line in text.splitlines()]


def test_the_examples_run_and_print_what_stands_below_them() -> None:
    kernel = Kernel(rfc6())
    net = Namespace(kernel)
    net.load_program = script_programs(kernel, open_engine("interp"), unverified=True)
    run_script("ip link add eth0 type dummy; ip link add eth1 type dummy; ip link add ifb0 type ifb\n"
               "ip link set eth0 up; ip link set eth1 up; ip link set ifb0 up", net)
    printed: list[str] = []
    for kind, text in BLOCKS:
        if kind == "tc":
            printed = run_script(text, net, folder=str(ROOT))
        elif kind == "error":
            with pytest.raises(ScriptError) as caught:
                run_script(text, net)
            printed = [str(caught.value)]
        elif kind == "output":
            assert [line.rstrip() for line in printed] == lines(text)
        elif kind == "python":
            exec(text, {})
    assert [kind for kind, _ in BLOCKS].count("tc") == 14


def test_every_keyword_is_explained() -> None:
    known = set(re.findall(r"[\w-]+|[()]|-\w+|802\.\w+", MANUAL + QDISCS_PAGE))
    grammars = [command_grammar(), *map(qdisc_grammar, QDISC_KINDS), *map(filter_grammar, FILTER_KINDS)]
    words = {symbol[1:-1] for grammar in grammars for text, _ in grammar.rules for symbol in text.split()
             if symbol.startswith("'")}
    assert sorted(words - known - {"AND", "OR", "NOT"}) == []
    assert {*QDISC_KINDS, *FILTER_KINDS} <= known
