"""Programs with what kernels said of them: rows of `kernel_words.jsonl` and `refusals.jsonl` in tests/data.

A row holds the program (instructions, maps, kernel functions by name, BTF) and for each version errno and the last
lines of the log: one, or all that belong to the message. `to_row` writes the program's part; a kernel's answer is added
by whoever asks one. Where the last line is our own, of what is not supported, the row says "ours": true. The second
file has a program for each text of a refusal. "property" is the id of the property that a refused program violates; it
is one id, or an object with one for each version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpfvm.btf import encode as encode_btf
from ebpfvm.btf import parse as parse_btf
from ebpfvm.isa.insn import decode, encode
from ebpfvm.loader.object import FuncInfo, LineInfo, MapSpec, Program

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

DATA = Path(__file__).parents[2] / "data"
FILES = (DATA / "kernel_words.jsonl", DATA / "refusals.jsonl")
VERSIONS = {"6.18": (6, 18), "7.2": (7, 2)}


def rows() -> list[dict[str, Any]]:
    """Return all rows."""
    return [json.loads(line) for path in FILES for line in path.read_text().splitlines()]


def last_lines(said: str, recorded: str) -> str:
    """Return as many lines at the end of what was said as there are in the record. The two states that follow a loop
    without end are no part of a message."""
    lines = [line for line in said.splitlines() if not line.startswith(("cur state: ", "old state: "))]
    return "\n".join(lines[-1 - recorded.count("\n"):])


def to_row(name: str, program: Program) -> dict[str, Any]:
    """Return the program's part of a row."""
    row: dict[str, Any] = {"name": name, "type": program.type, "insns": encode(program.insns).hex()}
    if program.attach:
        row["attach"] = program.attach
    if program.attach_type:
        row["attach_type"] = program.attach_type
    if program.struct_ops is not None:
        row["member"] = list(program.struct_ops)
    if program.flags:
        row["flags"] = program.flags
    if program.sleepable:
        row["sleepable"] = True
    if program.license != "GPL":
        row["license"] = program.license
    btf = next((item.btf for item in (program, *program.maps) if item.btf is not None), None)
    if program.maps:
        row["maps"] = [_map_row(spec, btf) for spec in program.maps]
    if program.kfuncs:
        row["kfuncs"] = {str(number): kfunc for number, kfunc in program.kfuncs.items()}
    if btf is not None and (program.func_info or any(spec.btf for spec in program.maps)):
        row["btf"] = encode_btf(btf).hex()
        row["functions"] = [[info.insn_off, info.type_id] for info in program.func_info]
    if program.line_info:
        row["lines"] = [info.insn_off for info in program.line_info]
    return row


def _map_row(spec: MapSpec, btf: Btf | None) -> dict[str, Any]:
    row: dict[str, Any] = {"type": spec.type, "shape": [spec.key_size, spec.value_size, spec.max_entries,
                                                       spec.map_flags]}
    if spec.btf is not None and spec.value_type:
        assert spec.btf == btf
        row["types"] = [spec.key_type, spec.value_type]
    if spec.inner is not None:
        row["inner"] = _map_row(spec.inner, btf)
    if spec.data is not None:
        row["data"] = spec.data.hex()
    return row


def from_row(row: dict[str, Any]) -> Program:
    """Return the program of a row."""
    btf = parse_btf(bytes.fromhex(row["btf"])) if "btf" in row else None
    maps = tuple(_spec(item, f"m{at}", btf) for at, item in enumerate(row.get("maps", ())))
    kfuncs = {int(number): kfunc for number, kfunc in row.get("kfuncs", {}).items()}
    infos = tuple(FuncInfo(*pair) for pair in row.get("functions", ()))
    lines = tuple(LineInfo(slot, "prog", "prog", 1, 1) for slot in row.get("lines", ()))
    return Program("prog", tuple(decode(bytes.fromhex(row["insns"]))), row["type"], "", row.get("attach", ""),
                   row.get("license", "GPL"), maps, kfuncs, {}, btf, infos, lines, flags=row.get("flags", 0),
                   sleepable=row.get("sleepable", False), attach_type=row.get("attach_type", ""),
                   struct_ops=tuple(row["member"]) if "member" in row else None)


def _spec(row: dict[str, Any], name: str, btf: Any) -> MapSpec:
    inner = _spec(row["inner"], name + "i", btf) if "inner" in row else None
    key, value = row.get("types", (0, 0))
    return MapSpec(row["type"], *row["shape"], name=name, inner=inner, btf=btf if value else None, key_type=key,
                   value_type=value, data=bytes.fromhex(row["data"]) if "data" in row else None)
