"""Lines in the forms of tc's manual pages and of scripts, and what becomes of each.

`tests/data/tc_lines.txt` has sections that begin with `## title`; each is run in a namespace of its own, where every
line has what the lines before it set up. A line that is rejected is followed by `  ! ` and the message without its
place. Run as a program, this writes the messages anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA: Final = Path(__file__).parents[2] / "data" / "tc_lines.txt"
_PLACE: Final = re.compile(r"line \d+, column \d+: ")
# Lists of what was expected are cut, because they change with each new kind.
_LISTED: Final = re.compile(r"(expected (?:a kind of \w+ \()?)[\w, -]{60,}(?:or [\w-]+)?")
_ASSIGNMENT: Final = re.compile(r"(?:export )?\w+=")


class CollectedLine(NamedTuple):
    """A line of a section, and the message that it is rejected with, "" if it works."""

    text: str
    message: str


def sections() -> Iterator[tuple[str, list[CollectedLine]]]:
    """Yield each section: its title and its lines."""
    for section in DATA.read_text(encoding="utf-8").split("## ")[1:]:
        title, _, body = section.partition("\n")
        lines: list[CollectedLine] = []
        for text in body.replace("\\\n", "\\\n\0").split("\n"):
            if text.startswith("  ! "):
                lines[-1] = lines[-1]._replace(message=text[4:])
            elif text.startswith("\0"):
                lines[-1] = CollectedLine(f"{lines[-1].text}\n{text[1:]}", "")
            elif text:
                lines.append(CollectedLine(text, ""))
        yield title, lines


def outcomes(lines: list[CollectedLine]) -> Iterator[CollectedLine]:
    """Yield the lines of a section with the messages that they have now."""
    net = Namespace(Kernel())
    for name, kind in (("eth0", "dummy"), ("eth1", "dummy"), ("ifb0", "ifb")):
        net.add_device(name, kind, up=True)
    before: list[str] = []
    for line in lines:
        try:
            run_script("\n".join([*before, line.text]), net)
        except ScriptError as error:
            yield line._replace(message=_LISTED.sub(r"\1...", _PLACE.sub("", str(error), count=1)))
        else:
            yield line._replace(message="")
            before += [line.text] if _ASSIGNMENT.match(line.text) else []


def main() -> None:
    """Write the file with the messages of now, and print how many lines work."""
    parts, works, total = [], 0, 0
    for title, lines in list(sections()):
        parts.append(f"## {title}\n")
        for line in outcomes(lines):
            total, works = total + 1, works + (not line.message)
            parts.append(line.text + "\n" + (f"  ! {line.message}\n" if line.message else ""))
        parts.append("\n")
    DATA.write_text("".join(parts).rstrip("\n") + "\n", encoding="utf-8")
    print(f"{works} of {total} lines work")


if __name__ == "__main__":
    main()
