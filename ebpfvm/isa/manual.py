"""Generate the tables of instructions in Markdown, for `ebpfvm doc isa` and docs/reference/assembler.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.isa.syntax import OPERANDS, PSEUDO, SYNTAX
from ebpfvm.isa.table import ROWS, all_kinds

if TYPE_CHECKING:
    from ebpfvm.isa.table import Row

BEGIN: Final = "<!-- made by `ebpfvm doc isa`; do not edit below -->"

_TITLES: Final = {"alu": "Arithmetic", "addr_space_cast": "Address spaces", "percpu": "Address spaces",
                  "jmp": "Conditional jumps", "ja": "Jumps", "may_goto": "Jumps", "gotox": "Jumps", "call": "Calls",
                  "callx": "Calls", "exit": "Calls", "ldx": "Loads", "st": "Stores", "ld_abs": "Packet loads",
                  "ld_ind": "Packet loads", "ld_imm64": "64-bit immediates", "atomic": "Atomic operations",
                  "load_acquire": "Atomic operations", "store_release": "Atomic operations"}
all_kinds(_TITLES, "the tables of `ebpfvm doc isa`, ebpfvm/isa/manual.py (_TITLES)")
_SHOWN: Final = {"dst": "D", "src": "S", "imm": "IMM", "himm": "IMM", "uimm": "IMM", "off": "+OFF", "hoff": "+ OFF",
                 "poff": "+OFF", "jump": "+N", "hjump": "+N", "from": "FROM", "to": "TO", "hfrom": "FROM",
                 "hto": "TO", "index": " + IMM", "next": "OFF"}


def _shown(template: str, row: Row) -> str:
    values = _SHOWN | {"name": "NUMBER", "value": "NUMBER"}
    src = dict(row.fixed).get("src", 0)
    if row.kind == "ld_imm64" and src in PSEUDO:
        values["value"] = PSEUDO[src].format(imm="N", next="OFF", jump="+N")
    if row.kind == "call":
        values["name"] = "kfunc[id:N]" if src else "NUMBER"
    return "`" + template.format(**values).replace("|", "\\|") + "`"


def _encoding(row: Row) -> str:
    fixed = ", ".join(f"{field} {value:#x}" if field == "imm" else f"{field} {value}" for field, value in row.fixed
                      if value or row.kind in ("call", "ld_imm64"))
    return f"`{row.code:02x}`" + (f" {fixed}" if fixed else "")


def _line(row: Row) -> str:
    syntax = SYNTAX[row.name]
    meaning = "`" + row.meaning.replace("|", "\\|") + "`" if row.meaning else ""
    cells = (row.name, _encoding(row), _shown(syntax.llvm, row), _shown(syntax.kernel, row), _shown(syntax.plain, row),
             meaning, f"v{row.since}" if row.since < 5 else "later")
    return "| " + " | ".join(cells) + " |"


def isa_tables() -> str:
    """Return all instructions by family: encoding, the three spellings, meaning, and the first `-mcpu` level."""
    assert OPERANDS.keys() <= _SHOWN.keys() | {"name", "value"}
    parts = [BEGIN]
    for title in dict.fromkeys(_TITLES.values()):
        parts += ["", f"### {title}", "", "| name | code | llvm | kernel | plain | value or condition | since |",
                  "|---|---|---|---|---|---|---|"]
        parts += [_line(row) for row in ROWS if _TITLES[row.kind] == title]
    return "\n".join(parts) + "\n"
