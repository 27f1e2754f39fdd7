"""What shell scripts have around `tc` commands: variables, `sudo`, paths, redirections, `&&` and `|| true`.

>>> from ebpfvm.sched.tc.lexer import Word
>>> words = [Word(text, 1, 1) for text in "sudo /sbin/tc qdisc del dev $DEV root 2>/dev/null || true".split()]
>>> [(" ".join(word.text for word in part.words), part.may_fail) for part in shell_parts(words, {"DEV": "eth0"})]
[('tc qdisc del dev eth0 root', True)]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.lexer import ScriptError, Word

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
_REDIRECTION: Final = re.compile(r"(&|[0-9]?)>{1,2}(&[0-9]|.*)", re.ASCII)
_PROGRAM: Final = re.compile(r"(?:/[\w.-]+)+/(tc|ip|bpftool)", re.ASCII)
_ERRORS: Final = ("2", "&")  # streams that messages go to
_NOTHING: Final = ("true", ":", "/bin/true")


class ShellPart(NamedTuple):
    """A command: its words, and whether the script goes on if the kernel refuses it."""

    words: list[Word]
    may_fail: bool


def shell_parts(words: list[Word], variables: dict[str, str], source: str = "") -> Iterator[ShellPart]:
    """Yield the commands of a line; assignments are noted in `variables` instead.

    Raises:
        ScriptError: a variable is not set, or `||` is followed by something other than `true` or `:`.
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
        if forgiven and not (parts[number + 1] and parts[number + 1][0].text in _NOTHING):
            raise ScriptError("|| is followed by 'true' or ':' here; other commands are not supported by ebpfvm",
                              joins[number], source)
        found = _simple([_expanded(word, variables, source) for word in part], variables)
        if found is not None:
            yield ShellPart(found.words, found.may_fail or forgiven)


def _simple(words: list[Word], variables: dict[str, str]) -> ShellPart | None:
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
    assigned = [_ASSIGNED.fullmatch(word.text) for word in kept]
    if assigned and all(assigned):
        variables.update({match[1]: match[2] for match in assigned if match is not None})
        return None
    if kept and kept[0].text == "sudo":
        kept = kept[1:]
    if not kept:
        return None
    program = _PROGRAM.fullmatch(kept[0].text)
    if program is not None:
        kept[0] = kept[0]._replace(text=program[1])
    return ShellPart(kept, silent)


def _expanded(word: Word, variables: dict[str, str], source: str) -> Word:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise ScriptError(f"variable {name!r} is not set: write {name}=VALUE on a line before", word, source)
        return variables[name]

    return word._replace(text=_VARIABLE.sub(value, word.text)) if "$" in word.text else word
