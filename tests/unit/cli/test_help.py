"""Every `--help` explains each argument and ends with examples, and each example works as it is printed."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpfvm.cli import main, prog
from tests.mutants.__main__ import build_parser as mutants_parser
from tests.oracle.__main__ import build_parser as oracle_parser

ROOT = Path(__file__).parents[3]
OUTSIDE = {"python -m tests.oracle": oracle_parser, "python -m tests.mutants": mutants_parser}


def _with_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _with_subcommands(child)


def _examples(parser: argparse.ArgumentParser) -> list[str]:
    return re.findall(r"(?m)^  (.+)$", parser.format_help().partition("\nexamples:\n")[2].partition("\n\n")[0])


def _status(example: str) -> int:
    found = re.search(r"# exit status (\d+)$", example)
    return int(found[1]) if found else 0


OWN = [*_with_subcommands(main.build_parser()), prog._parser()]
PARSERS = [*OWN, *(parser for build in OUTSIDE.values() for parser in _with_subcommands(build()))]
SHELL = re.compile(r"[|$*]")  # pipes, substitutions and patterns
EXAMPLES = list(dict.fromkeys(example for parser in OWN for example in _examples(parser)))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_help_has_a_description_and_two_or_three_examples(parser: argparse.ArgumentParser) -> None:
    assert parser.description is not None and re.search(r"\w\.(\s|$)", parser.description)
    assert 2 <= len(_examples(parser)) <= 3


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_help_explains_each_argument_and_its_default(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        name = action.option_strings or action.dest
        assert action.help, f"{name} is not explained"
        assert not action.help.endswith("."), f"{name}: a phrase, without a full stop"
        if action.default not in (None, False, [], argparse.SUPPRESS) and action.option_strings:
            assert "default" in action.help, f"{name}: the default is not named"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if not SHELL.search(example)])
def test_the_examples_work(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                           capsys: pytest.CaptureFixture[str]) -> None:
    """They run in a folder that looks like a checkout, so that nothing is written into the real one."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example, comments=True)
    assert words[0] == "ebpfvm"
    assert main.main(words[1:]) == _status(example)
    assert capsys.readouterr().out.strip()
    assert [path.name for path in tmp_path.iterdir()] == ["samples"], "the example leaves a file"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if SHELL.search(example)])
def test_the_examples_for_a_shell_work(example: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    command = tmp_path / "ebpfvm"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ebpfvm "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
                                "TMPDIR": str(tmp_path_factory.mktemp("made"))}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", example.replace("| less", "| cat")], cwd=tmp_path,
                          env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == _status(example), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "ebpfvm"}, "the example leaves a file"


@pytest.mark.parametrize("start", OUTSIDE)
def test_the_examples_that_need_a_guest_or_hours_are_well_formed(start: str) -> None:
    for parser in _with_subcommands(OUTSIDE[start]()):
        for example in _examples(parser):
            command = example[example.index("python -m"):].partition(" < ")[0]
            assert command.startswith(start)
            words = [word for word in shlex.split(command[len(start):]) if word != "programs.jsonl"]
            OUTSIDE[start]().parse_args(words)
            assert all((ROOT / word).exists() for word in words if word.startswith("samples/"))


def test_the_mutants_of_the_example_can_be_listed() -> None:
    words = shlex.split(_examples(mutants_parser())[0])[1:]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"(\S+\.py:\d+.*\n){5}", done.stdout)
