"""How docstrings are written: as sentences, and those of functions with a verb in the imperative first.

Whatever a docstring says, "Return whether ..." and "Raise ..." can be read without the code. ruff (D400, D401) knows
only some verbs; `verbs.txt` has all that are in use, one per line. A docstring may begin with a new one: add it there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOT, modules, parsed

VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text(encoding="utf-8").split())
PLY = {"ebpfvm/isa/asm_grammar.py", "ebpfvm/isa/asm_tokens.py", "sched/tc/lexer.py"}


def _described(path: Path) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield what has a docstring, its place and the docstring's first paragraph."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text.partition("\n\n")[0]


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


EVERY = [item for path in modules().values() if str(path.relative_to(ROOT)) not in PLY for item in _described(path)]


def test_the_first_paragraph_is_a_sentence_and_no_question() -> None:
    assert not [place for _, place, text in EVERY if not re.search(r"[.:](``)?$", text)]


def test_a_function_is_described_with_a_verb_first() -> None:
    wrong = [f"{place}: {text}" for node, place, text in EVERY
             if isinstance(node, ast.FunctionDef) and not _is_property(node) and re.split(r"\W", text)[0] not in VERBS]
    assert not wrong, "begin with a verb in the imperative (verbs.txt)"
