"""Completion scripts and manual pages, which are made from the parsers and installed with a wheel."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from ebpfvm.cli import completion, main
from ebpfvm.cli.completion import SCRIPTS, completion_script
from ebpfvm.cli.man_pages import man_pages

SHELLS = [shell for shell in SCRIPTS if shutil.which(shell)]  # .ci/run installs all three
LINTS = [command for command in (["mandoc", "-Tlint", "-Wwarning"],
                                 ["groff", "-man", "-ww", "-Tutf8", "-z"]) if shutil.which(command[0])]
# What is typed, and what a press of TAB offers; {bin} is a folder that holds one object.
TYPED = (("ebpfvm veri", {"verify"}), ("ebpfvm run --eng", {"--engine"}), ("ebpfvm samples ", {"list", "path", "copy",
         "build"}), ("ebpfvm run --engine fu", {"fused"}), ("ebpfvm verify {bin}/my_ob", {"{bin}/my_object.o"}),
         ("ebpfvm run x.o --pcap {bin}/my_ob", {"{bin}/my_object.o"}), ("ebpfvm samples copy --to {bin}/fol",
         {"{bin}/folder"}))
BASH = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
        '_shtab_ebpfvm ebpfvm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null;'
        'printf "%s\\n" "${COMPREPLY[@]}"')


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SCRIPTS:
        (folder / shell).write_text(completion_script(shell), encoding="utf-8")
    (folder / "my_object.o").touch()
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return dict(man_pages("2026-01-31"))


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def offered(shell: str, script: Path, typed: str) -> set[str]:
    if shell == "bash":
        words = typed.split(" ")
        return set(output_of("bash", "-c", BASH, str(script), *words).split())
    lines = output_of("fish", "-c", 'source $argv[1]; complete -C $argv[2]', str(script), typed).splitlines()
    return {line.split("\t")[0].rstrip("/") for line in lines}


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "zsh"])
@pytest.mark.parametrize(("typed", "wanted"), TYPED)
def test_a_shell_completes(shell: str, typed: str, wanted: set[str], scripts: Path) -> None:
    assert offered(shell, scripts / shell, typed.format(bin=scripts)) == {word.format(bin=scripts) for word in wanted}


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell == "zsh"])
def test_zsh_takes_the_script(shell: str, scripts: Path) -> None:
    """Completion itself needs a terminal."""
    code = f'autoload -U compinit; compinit -D -u; eval "$(cat {scripts / shell})"; print $_comps[ebpfvm]'
    assert output_of("zsh", "-f", "-c", code) == "_shtab_ebpfvm\n"


def test_fish_shows_one_whole_line_for_each_command(scripts: Path) -> None:
    assert "'verify programs as the kernel'\"'\"'s verifier does'" in (scripts / "fish").read_text(encoding="utf-8")


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "bash"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == completion_script("bash")


class Installed(PurePosixPath):
    def read_text(self, encoding: str) -> str:
        return f"the script at {self} in {encoding}\n"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_without_shtab_the_installed_script_is_printed(shell: str, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    monkeypatch.setattr(completion, "files", lambda name: [Installed(f"../../{path}") for path in SCRIPTS.values()])
    assert main.main(["completion", shell]) == 0
    assert capsys.readouterr().out == f"the script at ../../{SCRIPTS[shell]} in utf-8\n"


def test_without_either_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    monkeypatch.setattr(completion, "files", lambda name: None)
    assert main.main(["completion", "fish"]) == 2
    assert "pip install shtab" in capsys.readouterr().err


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_each_command_has_a_page_that_names_each_of_its_options(pages: dict[str, str]) -> None:
    found = {f"{parser.prog.replace(' ', '-')}.1": parser for parser in parsers(main.build_parser())}
    assert set(pages) == set(found)
    for name, parser in found.items():
        text = pages[name].replace("\\-", "-")
        assert [action.option_strings for action in parser._actions
                if not all(f"\\fB{option}\\fR" in text for option in action.option_strings)] == []
        assert ".SH EXAMPLES" in text
        assert not any(line.startswith("'") for line in text.splitlines())


def test_pages_refer_to_each_other(pages: dict[str, str]) -> None:
    named = {f"{line.split()[1]}.1".replace("\\-", "-") for text in pages.values() for line in text.splitlines()
             if line.startswith(".BR ")}
    assert named == set(pages)


@pytest.mark.parametrize("command", LINTS, ids=lambda command: command[0])
def test_formatters_find_nothing_to_warn_about(command: list[str], pages: dict[str, str], tmp_path: Path) -> None:
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run([*command, *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True,
                          check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
