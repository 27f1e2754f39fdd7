"""`ebpfvm completion`: print the script that completes ebpfvm's command line in a shell.

shtab makes the scripts from the parsers. It was chosen over argcomplete because its scripts are static: a press of TAB
starts no Python, and nothing of ebpfvm has to be importable in the shell's environment. It is needed where a wheel is
built, not where one is installed: the wheel carries the scripts (setup.py).
"""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where each shell looks for scripts of packages, below the prefix of an installation.
SCRIPTS: Final = {"bash": "share/bash-completion/completions/ebpfvm", "zsh": "share/zsh/site-functions/_ebpfvm",
                  "fish": "share/fish/vendor_completions.d/ebpfvm.fish"}
_FILES: Final = ("FILE", "OBJECT", "QDISC", "SCENARIO", "SCRIPT", "RUN")
_FOLDERS: Final = ("DIR", "FOLDER")
_WORD: Final = re.compile("[A-Z]+")
_DESCRIPTION: Final = """Print the script that makes a shell complete commands, options, their values and file names.

  bash  eval "$(ebpfvm completion bash)", in ~/.bashrc
  zsh   eval "$(ebpfvm completion zsh)" after compinit, in ~/.zshrc
  fish  ebpfvm completion fish | source, in ~/.config/fish/config.fish

Shells start faster if the script is kept in a file, as in
~/.local/share/bash-completion/completions/ebpfvm and
~/.config/fish/completions/ebpfvm.fish."""


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(
        subparsers, "completion", brief="print the script that completes ebpfvm's command line in a shell",
        description=_DESCRIPTION, epilog=helptext.examples("ebpfvm completion bash", "ebpfvm completion fish"))
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SCRIPTS), help="bash, zsh or fish")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    try:
        text = completion_script(args.shell)
    except ImportError:
        text = _installed(args.shell)
    print(text)
    return output.GOOD


def completion_script(shell: str) -> str:
    """Return the script for a shell, made from the parsers of all commands.

    Raises:
        ImportError: shtab is not installed.
    """
    import shtab
    parser = import_module("ebpfvm.cli.main").build_parser()
    for action in _arguments(parser):
        word = _WORD.match(action.metavar or "")
        if word is not None and word[0] in _FILES:  # OBJECT[:PROGRAM], FILE|NAME=VALUE
            action.complete = shtab.FILE
        elif word is not None and word[0] in _FOLDERS:
            action.complete = shtab.DIRECTORY
    text: str = shtab.complete(parser, shell)
    return text.rstrip("\n")


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield the arguments of a parser and of its subcommands, which get one line each as their description."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                child = action.choices[choice.dest]
                child.description = choice.help
                yield from _arguments(child)


def _installed(shell: str) -> str:
    """Return the script that was installed with ebpfvm."""
    try:
        for path in files("ebpfvm") or ():
            if path.as_posix().endswith(SCRIPTS[shell]):
                return path.read_text(encoding="utf-8").rstrip("\n")
    except (PackageNotFoundError, OSError):
        pass
    raise UsageError("this copy of ebpfvm came without the scripts, as a checkout does; shtab makes them: "
                     "pip install shtab")
