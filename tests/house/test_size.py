"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast

from tests.house.tree import ROOT, modules, parsed, python_files, shown

FILE_LINES = 800
FUNCTION_LINES = 80
PUBLIC_NAMES = 15


def test_no_file_is_too_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{shown(path)}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in python_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert too_long == []


def test_the_package_offers_few_names() -> None:
    for node in parsed(ROOT / "ebpfvm" / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert len(ast.literal_eval(node.value)) <= PUBLIC_NAMES


def test_every_module_says_what_it_is_and_postpones_annotations() -> None:
    bare = []
    for path in modules().values():
        tree = parsed(path)
        if not tree.body:
            continue
        if ast.get_docstring(tree) is None:
            bare.append(f"{shown(path)}: no docstring")
        if len(tree.body) > 1 and not path.samefile(ROOT / "ebpfvm" / "_version.py"):
            futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
            if not futures:
                bare.append(f"{shown(path)}: no `from __future__ import annotations`")
    assert bare == []
