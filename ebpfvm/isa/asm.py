"""The assembler: instructions from text.

It reads three dialects (`ebpfvm.isa.syntax`): LLVM's pseudo-C, pasted logs of the kernel and listings of bpftool, and
the mnemonics of user-space virtual machines. The first instruction determines the dialect, unless `.dialect NAME` does.

Statements end at the end of the line, and in pseudo-C also at `;`. Comments are `//`, `/* */` and `#`, lines that begin
with `;`, and in kernel text everything after `;`. Labels are `name:`, and the numeric `1:` of `goto 1b` and `goto 1f`.
Directives that produce no code (`.globl`, `.type`, ...) and the contents of data sections are skipped, so that the
output of `clang -S` can be read as it is; `.8byte NUMBER` produces a slot with arbitrary bits.

From a test of the conformance suite (`-- asm`, `-- mem`, `-- result`), only the section `-- asm` is read.

In kernel text, the offsets before the instructions determine their places: a log may show them in any order and repeat
them, and the lines between them (states, C source) are skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, get_args

from ebpfvm.errors import LoadError
from ebpfvm.ints import S64_MIN, U64_MAX
from ebpfvm.isa.asm_grammar import grammar
from ebpfvm.isa.asm_resolve import AsmError, AsmSource, Item, Line, Resolver
from ebpfvm.isa.asm_tokens import SyntaxTrouble
from ebpfvm.isa.mnemonics import plain_words
from ebpfvm.isa.syntax import Dialect
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.isa.insn import Insn

__all__ = ["AsmError", "assemble"]

_COMMENT: Final = re.compile(r"//.*|/\*.*?\*/")
_HASH: Final = re.compile(r"(?<![\w>])#.*|\s#(?!\d).*|#\s.*")
_PREFIX: Final = re.compile(r"^\s*(?:\d+ )?\s*(?P<place>\d+):(?:\s+[.\d]{10})?\s*\((?P<op>[0-9a-f]{2})\)\s*")
_BARE_OPCODE: Final = re.compile(r"^\s*\((?P<op>[0-9a-f]{2})\)\s*")
_ADDRESS: Final = re.compile(r"^\s*[0-9a-f]+:\s+(?:(?:[0-9a-f]{2} ){7,15}[0-9a-f]{2}(?=\s)\s*)?(?=\S)")
_OBJDUMP_NOISE: Final = re.compile(r"^\s*(?:\S+:\s+file format .*|Disassembly of section .*|[0-9a-f]+:\s+R_BPF_\S+.*"
                                   r"|[0-9a-f]{16}\s+<(?P<label>[^>]+)>:\s*|<(?P<label2>[^>]+)>:\s*)$")
_STATE: Final = re.compile(r"(?<!\s)\s+(?:;.*|\d+:\s+(?:frame\d+:\s+)?R\d+\S*=.*|//.*|!!.*)?$")
_LABEL: Final = re.compile(r"^\s*(?P<name>[A-Za-z_.$][\w.$@]*|\d+):(?=\s|$)")
_DIRECTIVE: Final = re.compile(r"^\s*(?P<word>\.[a-z_0-9]+)\b(?!:)\s*(?P<rest>.*)$")
_LLVM_LOOK: Final = re.compile(r"^(?:[rRwW]\d+\s*(?:s?[-+*/|&<>%^]*=)|\*\s*\(|if\s|gotol?\b|lock\s*\*"
                               r"|callx?\s+[+-]|store_release\s*\()")
_PLAIN_LOOK: Final = re.compile(r"^(?:lock\s+)?(?:fetch\s+)?[a-z_][a-z_0-9]*\s+(?:[%\[]|r\d+\b|local\b)|^ja\s")
_PLAIN_HEAD: Final = re.compile(r"(?:lock\s+)?(?:fetch\s+)?([a-z_]\w*)(?=\s|$)")
_SHARED_WORDS: Final = frozenset({"exit", "call", "callx", "goto", "gotol", "gotox", "may_goto"})
_PLACE_DIGITS: Final = 9
_SILENT: Final = frozenset({".globl", ".global", ".type", ".size", ".p2align", ".align", ".balign", ".file", ".loc",
                            ".ident", ".addrsig", ".addrsig_sym", ".local", ".weak", ".hidden", ".protected",
                            ".extern", ".comm", ".set", ".cfi_startproc", ".cfi_endproc", ".cfi_sections",
                            ".end", ".bss"})
_DATA_SECTIONS: Final = (".debug", ".BTF", ".maps", "license", "maps", ".rodata", ".data", ".bss", ".llvm")
_DIALECT_NAMES: Final[dict[str, Dialect]] = {"llvm": "llvm", "kernel": "kernel", "bpftool": "kernel", "plain": "plain",
                                             "mnemonic": "plain", "ubpf": "plain", "rbpf": "plain"}


def assemble(text: str, *, dialect: Dialect | None = None, helpers: Mapping[str, int] | None = None,
             maps: Mapping[str, int] | None = None, path: str = "<text>") -> tuple[Insn, ...]:
    """Return the instructions that `text` describes.

    Args:
        text: the program; the module's docstring describes its form.
        dialect: "llvm", "kernel" or "plain" (default: the first instruction determines it).
        helpers: helper name -> number, for calls by name.
        maps: map name -> index, for 64-bit immediates that name a map (source register 1).
        path: name of the text in messages.

    Raises:
        AsmError: the text is malformed; with line, column, the line itself and a caret below the place.
    """
    if dialect is not None and dialect not in get_args(Dialect):
        raise LoadError(f"unknown dialect {dialect!r}; expected llvm, kernel or plain", path=path)
    source = AsmSource(path, dialect, dialect is not None)
    if dialect is None and re.search(_PREFIX.pattern, text, re.M):
        source.dialect = "kernel"
    for number, line in enumerate(_without_block_comments(_section(text)).split("\n"), 1):
        _read_line(source, number, line.rstrip("\r"))
    _place(source)
    resolver = Resolver(source, helpers or {}, maps or {})
    return tuple(insn for item in source.items for insn in resolver.encode(item))


def _without_block_comments(text: str) -> str:
    """Replace `/* ... */` by blanks, so that lines and columns stay the same."""
    return re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)


def _section(text: str) -> str:
    """Return the `-- asm` section of a test of the conformance suite, with other lines blank; other text unchanged."""
    if not re.search(r"^-- asm\s*$", text, re.M):
        return text
    inside, lines = False, []
    for line in text.split("\n"):
        if line.startswith("-- "):
            inside = line.rstrip() == "-- asm"
        lines.append(line if inside and not line.startswith("-- ") else "")
    return "\n".join(lines)


def _blank(text: str, end: int) -> str:
    return " " * end + text[end:]


def _read_line(source: AsmSource, number: int, whole: str) -> None:
    noise = _OBJDUMP_NOISE.match(whole)
    if noise:
        label = noise["label"] or noise["label2"]
        if label:
            _define(source, label, Line(number, whole, whole, "llvm"))
        return
    prefix = _PREFIX.match(whole) or _BARE_OPCODE.match(whole)
    if prefix:
        _read_kernel_line(source, number, whole, prefix)
        return
    if whole.lstrip().startswith(";") or (source.dialect == "kernel" and not _is_statement(whole)):
        return
    text = whole if whole.lstrip().startswith(".") else _blank(whole, _address_end(whole))
    for part in _statements(source, text):
        _read_statement(source, number, part, whole)


def _address_end(whole: str) -> int:
    """Return where the address and raw bytes of llvm-objdump end; 0 if there are none, as before a numeric label."""
    match = _ADDRESS.match(whole)
    return match.end() if match and re.match(r"^\s*\d+:\s*(?:[0-9a-f]{2} ){7}|^\s*\d+:\t", whole) else 0


def _is_statement(whole: str) -> bool:
    """Return whether a line of kernel text without opcode is an instruction, label or directive, not part of a log."""
    text = whole.strip()
    looks = _LLVM_LOOK.match(text) or _LABEL.fullmatch(text) or _DIRECTIVE.match(text)
    return bool(looks) or text == "exit" or text.startswith(("call ", "may_goto ", "gotox "))


def _read_kernel_line(source: AsmSource, number: int, whole: str, prefix: re.Match[str]) -> None:
    if not source.fixed_dialect:
        source.dialect = "kernel"
    text = _blank(_STATE.sub("", whole + " "), prefix.end())
    opcode = int(prefix["op"], 16)
    if opcode == 0x18 and not text.rstrip().endswith("]") and not re.search(r"\bll\s*$|\[", text):
        text = text.rstrip() + " ll"
    place = prefix.groupdict().get("place")
    line = Line(number, text, whole, source.dialect or "kernel", None, opcode)
    if place and len(place) > _PLACE_DIGITS:
        raise source.error(f"instruction offset {place[:20]}... is too great", line, prefix.start("place"))
    line = replace(line, place=int(place) if place else None)
    if text.strip():
        _add(source, line)


def _statements(source: AsmSource, text: str) -> Iterator[str]:
    """Yield the statements of a line, each padded to its column."""
    text = _COMMENT.sub(lambda match: " " * len(match[0]), text)
    text = _HASH.sub("", text)
    if source.dialect == "kernel":
        text = text.partition(";")[0]
    start = 0
    for part in text.split(";"):
        yield " " * start + part
        start += len(part) + 1


def _read_statement(source: AsmSource, number: int, text: str, whole: str) -> None:
    while (label := _LABEL.match(text)) is not None:
        if not source.in_data:
            _define(source, label["name"], Line(number, text, whole, "llvm"), label.start("name"))
        text = _blank(text, label.end())
    if not text.strip():
        return
    directive = _DIRECTIVE.match(text)
    if directive:
        _directive(source, directive, Line(number, text, whole, source.dialect or "llvm"))
        return
    if source.in_data:
        return
    if source.dialect is None:
        source.dialect = _detect(text)
    _add(source, Line(number, text, whole, source.dialect or "llvm"))


def _detect(text: str) -> Dialect | None:
    """Return the dialect of a statement; None if it is the same in several (`exit`)."""
    text = text.strip()
    if _LLVM_LOOK.match(text):
        return "kernel" if re.search(r"\bpc[+-]\d", text) else "llvm"
    head = _PLAIN_HEAD.match(text)
    known = head is not None and head[1] not in _SHARED_WORDS and head[1] in plain_words()
    return "plain" if known or _PLAIN_LOOK.match(text) else None


def _define(source: AsmSource, name: str, line: Line, column: int = 0) -> None:
    if name.isdigit():
        source.numeric.setdefault(name, []).append(source.pc)
    elif name in source.labels:
        raise source.error(f"label {name!r} is defined twice", line, column)
    else:
        source.labels[name] = source.pc


def _directive(source: AsmSource, match: re.Match[str], line: Line) -> None:
    word, rest = match["word"], match["rest"].strip()
    if word == ".dialect":
        if rest not in _DIALECT_NAMES:
            raise source.error(f"unknown dialect {rest!r}; expected llvm, kernel or plain", line, match.start("rest"))
        source.dialect, source.fixed_dialect = _DIALECT_NAMES[rest], True
    elif word == ".text":
        source.in_data = False
    elif word == ".section":
        flags = re.search(r'"(\w*)"', rest)
        source.in_data = "x" not in flags[1] if flags else rest.startswith(_DATA_SECTIONS)
    elif word in (".data", ".rodata"):
        source.in_data = True
    elif source.in_data or word in _SILENT:
        return
    elif word in (".8byte", ".quad"):
        source.items.append(Item(line, source.pc, None, _slot_value(source, rest, match.start("rest"), line)))
        source.pc += 1
    else:
        raise source.error(f"unknown directive {word}", line, match.start("word"))


def _slot_value(source: AsmSource, text: str, column: int, line: Line) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise source.error("expected a number", line, column) from None
    if not S64_MIN <= value <= U64_MAX:
        raise source.error(f"{text} does not fit in 64 bits", line, column)
    return value & U64_MAX


def _add(source: AsmSource, line: Line) -> None:
    try:
        parsed = grammar("plain" if line.dialect == "plain" else "pseudo_c").parse(line.text)
    except SyntaxTrouble as trouble:
        raise source.error(trouble.message, line, trouble.column) from None
    if line.opcode is not None and parsed.row.code != line.opcode:
        column = line.whole.find("(") + 1
        raise source.error(f"opcode {line.opcode:02x} is not that of the text ({parsed.row.code:02x})", line, column)
    item = Item(line, source.pc, parsed)
    source.items.append(item)
    source.pc += item.slots


def _place(source: AsmSource) -> None:
    """Move the instructions of a log, which come in any order and repeatedly, to the places that their offsets name."""
    placed = [item for item in source.items if item.line.place is not None]
    if not placed:
        return
    if len(placed) < len(source.items):
        stray = next(item for item in source.items if item.line.place is None)
        raise source.error("some instructions have offsets in front and this one has none", stray.line, 0)
    found: dict[int, Item] = {}
    for item in placed:
        pc = item.line.place or 0
        first = found.setdefault(pc, item)
        if first.parsed != item.parsed and not _same_text(first, item):
            raise source.error(f"line {first.line.number} has another instruction at offset {pc}", item.line, 0)
        item.pc = pc
    source.items = [found[pc] for pc in sorted(found)]
    for before, after in zip(source.items, source.items[1:], strict=False):
        if after.pc != before.pc + before.slots:
            raise source.error(f"instruction {before.pc + before.slots} is missing: the text goes from offset "
                               f"{before.pc} to {after.pc} (a log at level 2 lists all)", after.line, 0)


def _same_text(left: Item, right: Item) -> bool:
    return left.line.text.split() == right.line.text.split()
