"""Examples in Markdown: how they are marked, and how they are run.

===========================  =========================================================================================
```console                   lines after "$ " are commands, the others are what they print (standard output and
                             errors together); a line "..." stands for any lines, "..." inside of a line for any text
```c NAME.bpf.c              a whole file: written, compiled, and each of its programs verified; lines
                             "// expect: TEXT" say that it is refused, with that text in the message
```c body                    statements of an enqueue program, compiled behind pifo.h
```c from PATH               an excerpt, which has to stand in that file word for word
```tc NAME, ```python NAME   a file that later examples of the page use
```python                    doctest if it holds ">>>", else run as it is
===========================  =========================================================================================

Everything of a page runs in one folder of its own in which `samples` is the checkout's.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebpfvm.cli.main import main

ROOT = Path(__file__).parents[3]
CLANG = "clang-19"
FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function",
         "-I", "samples/include", "-I", "samples/rfc", "-fdebug-compilation-dir=.")
BODY = """#include "pifo.h"
SEC("sch_bpf/enqueue")
int body(__unused struct sch_bpf_ctx *ctx)
{{
{}
	return SCH_BPF_DROP;
}}
LICENSE("Dual MIT/GPL");
"""
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, its text and line in the page."""

    lang: str
    words: str
    text: str
    line: int


@dataclass
class Step:
    """A command of a console block, and what it should print."""

    command: str
    output: list[str] = field(default_factory=list)


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page that name a language."""
    return [Block(found[1], found[2].strip(), found[3], text.count("\n", 0, found.start()) + 1)
            for found in _BLOCK.finditer(text)]


def steps(text: str) -> list[Step]:
    """The commands of a console block; a backslash at the end of a line continues it."""
    found: list[Step] = []
    continued = False
    for line in text.splitlines():
        if continued:
            found[-1].command = found[-1].command[:-1] + line.strip()
        elif line.startswith("$ "):
            found.append(Step(line[2:]))
        elif found:
            found[-1].output.append(line)
        continued = bool(found) and not found[-1].output and found[-1].command.endswith("\\")
    return found


def matches(expected: list[str], printed: str) -> bool:
    """Does `printed` look like `expected`? Blanks at the ends of lines do not count, nor do empty lines at the end."""
    pattern = ""
    for line in expected:
        pattern += "(?:[^\n]*\n)*?" if line.strip() == "..." else (
            "[^\n]*".join(re.escape(part) for part in line.rstrip().split("...")) + "[ \t]*\n")
    while printed.endswith("\n\n"):
        printed = printed[:-1]
    if printed and not printed.endswith("\n"):
        printed += "\n"
    return re.fullmatch(pattern + "\n*", printed) is not None


class Page:
    """Runs the examples of one page in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = 0
        (folder / "samples").symlink_to(ROOT / "samples")

    def run(self, block: Block) -> str:
        """Run a block; "" or what is wrong with it."""
        if block.lang == "console":
            return next((wrong for wrong in map(self._step, steps(block.text)) if wrong), "")
        if block.lang == "c":
            return self._c(block)
        if block.lang == "python" and not block.words:
            return self._python(block)
        if block.words and block.lang in ("tc", "python"):
            (self.folder / block.words).write_text(block.text)
        return ""

    # ---- console ------------------------------------------------------------------------------------------

    def _step(self, step: Step) -> str:
        printed = self._command(step.command)
        if step.output and not matches(step.output, printed):
            return f"$ {step.command}\nprinted:\n{printed}\nexpected:\n" + "\n".join(step.output)
        if not step.output and self.status:
            return f"$ {step.command}\nstatus {self.status}:\n{printed}"
        return ""

    def _command(self, command: str) -> str:
        words = shlex.split(command, comments=True)
        if words[:1] == ["ebpfvm"] and not set("|<>") & set(command):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                try:
                    self.status = main(words[1:])
                except SystemExit as leaving:
                    self.status = int(leaving.code or 0)
            return out.getvalue()
        if words == ["echo", "$?"]:
            return f"{self.status}\n"
        if words[0] == "clang-19":
            return self._clang(words[1:])
        if words[0] == "cat":
            return "".join((self.folder / word).read_text() for word in words[1:])
        self.status = 127
        return f"the tests do not know the command {words[0]}\n"

    def _clang(self, words: list[str]) -> str:
        done = subprocess.run([CLANG, *words], cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.status = done.returncode
        return done.stdout + done.stderr

    # ---- C ------------------------------------------------------------------------------------------------

    def _c(self, block: Block) -> str:
        word, _, path = block.words.partition(" ")
        if word == "from":
            return "" if block.text in (ROOT / path).read_text() else f"this does not stand in {path}"
        name = "body.bpf.c" if word == "body" else word
        if not name.endswith(".bpf.c"):
            return "C blocks say what they are: a NAME.bpf.c, `body`, or `from PATH`"
        (self.folder / name).write_text(BODY.format(block.text) if word == "body" else block.text)
        wrong = self._clang([*FLAGS, "-c", name, "-o", name.replace(".bpf.c", ".o")])
        return f"{name}: {wrong}" if wrong else self._verify(name.replace(".bpf.c", ".o"), block.text)

    def _verify(self, name: str, text: str) -> str:
        from ebpfvm.api import dialect_of, load
        from ebpfvm.verifier import verify
        expected = re.findall(r"// expect: (.*)", text)
        for program in load(str(self.folder / name)).programs.values():
            verdict = verify(program, dialect_of(program))
            if verdict.ok == bool(expected) or not all(line in verdict.message for line in expected):
                return f"{program.name}: {verdict}"
        return ""

    # ---- Python -------------------------------------------------------------------------------------------

    def _python(self, block: Block) -> str:
        space: dict[str, Any] = {"__name__": "example"}
        if ">>>" not in block.text:
            exec(compile(block.text, f"line {block.line}", "exec"), space)
            return ""
        out: list[str] = []
        test = doctest.DocTestParser().get_doctest(block.text, space, "example", None, block.line)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=out.append)
        return "".join(out)


def needs_clang(block: Block) -> bool:
    """Does a block need a compiler?"""
    compiled = block.lang == "c" and not block.words.startswith("from ")
    return compiled or (block.lang == "console" and "clang-19" in block.text)


def has_clang() -> bool:
    """Is there one?"""
    return shutil.which(CLANG) is not None
