"""What shell scripts have around `tc` commands: variables, `sudo`, paths, redirections, `&&` and `|| true`.

>>> from ebpfvm.sched.tc.lexer import Word
>>> words = [Word(text, 1, 1) for text in "sudo /sbin/tc qdisc del dev $DEV root 2>/dev/null || true".split()]
>>> [(" ".join(word.text for word in part.words), part.may_fail) for part in shell_parts(words, Variables(DEV="eth0"))]
[('tc qdisc del dev eth0 root', True)]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.lexer import ScriptError, Word
from ebpfvm.sched.tc.shell_programs import program_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w*|[0-9])|\{(\w+)(?:(:?-)([^{}]*))?\})", re.ASCII)
_REDIRECTION: Final = re.compile(r"(&|[0-9]?)>{1,2}(&[0-9]|.*)", re.ASCII)
_PROGRAM: Final = re.compile(r"(?:/[\w.-]+)+/(tc|ip|bpftool|modprobe|ifconfig|ethtool)", re.ASCII)
_ERRORS: Final = ("2", "&")  # streams that messages go to
_NOTHING: Final = ("true", ":", "/bin/true")
_DECLARING: Final = ("export", "readonly", "local", "declare")
_WITHOUT_EFFECT: Final = ("echo", "printf", "set", *_NOTHING)
_CONTROL: Final = frozenset(("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac",
                             "function", "return", "{", "}"))


class Variables:
    """The variables of a script.

    Args:
        given: values that hold whatever the script assigns.
    """

    def __init__(self, **given: str) -> None:
        self._given = frozenset(given)
        self._values = dict(given)

    def assign(self, name: str, value: str) -> None:
        """Set a variable, unless its value was given from outside."""
        if name not in self._given:
            self._values[name] = value

    def get(self, name: str) -> str | None:
        """Return a variable's value, None if it is not set."""
        return self._values.get(name)


class ShellPart(NamedTuple):
    """A command: its words, and whether the script goes on if the kernel refuses it."""

    words: list[Word]
    may_fail: bool


def shell_parts(words: list[Word], variables: Variables, source: str = "") -> Iterator[ShellPart]:
    """Yield the commands of a line; assignments are noted in `variables` instead.

    Raises:
        ScriptError: a variable is not set, a word controls what the shell does, or `||` is followed by something
            other than `true`, `:` or `exit`.
    """
    parts: list[list[Word]] = [[]]
    joins: list[Word] = []
    for word in words:
        if word.text in ("&&", "||"):
            joins.append(word)
            parts.append([])
        else:
            parts[-1].append(word)
    for number, part in enumerate(parts):
        if number and joins[number - 1].text == "||":
            continue  # what follows was looked at together with what it follows
        forgiven = number < len(joins) and joins[number].text == "||"
        instead = parts[number + 1][0].text if forgiven and parts[number + 1] else ""
        if forgiven and instead not in (*_NOTHING, "exit"):
            raise ScriptError("|| is followed by 'true', ':' or 'exit' here; other commands are not supported by "
                              "ebpfvm", joins[number], source)
        found = _simple([word for old in part for word in _expanded(old, variables, source)], variables)
        if found is not None:
            may_fail = found.may_fail or instead in _NOTHING
            yield from (ShellPart(command, may_fail) for command in _commands(found.words, source))


def _simple(words: list[Word], variables: Variables) -> ShellPart | None:
    """Return a command without what only the shell sees; None if nothing is left of it."""
    kept: list[Word] = []
    silent = False
    pending = ""  # a redirection whose file is the next word
    for word in words:
        redirection = _REDIRECTION.fullmatch(word.text) if not pending else None
        if pending:
            silent = silent or (pending in _ERRORS and word.text == "/dev/null")
            pending = ""
        elif redirection is not None:
            stream = redirection[1] or "1"
            silent = silent or (stream in _ERRORS and redirection[2] == "/dev/null")
            pending = "" if redirection[2] else stream
        else:
            kept.append(word)
    declaring = bool(kept) and kept[0].text in _DECLARING
    assigned = [_ASSIGNED.fullmatch(word.text) for word in kept[declaring:]]
    if assigned and all(assigned):
        for match in assigned:
            assert match is not None
            variables.assign(match[1], match[2])
        return None
    return ShellPart(kept, silent)


def _commands(words: list[Word], source: str) -> Iterator[list[Word]]:
    """Yield the commands that a command stands for, which may be none."""
    if words and words[0].text == "sudo":
        words = words[1:]
        while words and words[0].text.startswith("-"):
            words = words[1:]
    if not words or words[0].text in _WITHOUT_EFFECT:
        return
    first = words[0]
    program = _PROGRAM.fullmatch(first.text)
    if program is not None:
        first = first._replace(text=program[1])
    if first.text in _CONTROL or first.text.endswith("()"):
        raise ScriptError(f"{first.text!r}: what controls a shell is not supported by ebpfvm; write the commands one "
                          "after the other", first, source)
    yield from program_commands([first, *words[1:]], source)


def _expanded(word: Word, variables: Variables, source: str) -> list[Word]:
    """Return a word with the values of its variables; as in a shell, they may become several words, or none."""
    if "$" not in word.text or word.quote == "'":
        return [word]

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        found = variables.get(name)
        if found is None or (not found and match[3] == ":-"):
            found = match[4] if match[3] else found
        if found is None:
            raise ScriptError(f"variable {name!r} is not set: write {name}=VALUE on a line before, or give "
                              f"--define {name}=VALUE", word, source)
        return found

    text = _VARIABLE.sub(value, word.text)
    if "$(" in text:
        raise ScriptError("$(...) is not supported by ebpfvm: write what it stands for", word, source)
    assignment = _ASSIGNED.fullmatch(word.text) is not None
    return [word._replace(text=part) for part in ([text] if word.quote or assignment else text.split())]
