"""Programs with what kernels said of them: rows of `tests/data/kernel_words.jsonl`.

A row holds the program (instructions, maps, kernel functions by name, BTF) and for each version errno and last line of
the log. `to_row` writes the program's part; a kernel's answer is added by whoever asks one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpfvm.btf import encode as encode_btf
from ebpfvm.btf import parse as parse_btf
from ebpfvm.isa.insn import decode, encode
from ebpfvm.loader.object import FuncInfo, MapSpec, Program

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

FILE = Path(__file__).parents[2] / "data" / "kernel_words.jsonl"
VERSIONS = {"6.18": (6, 18), "7.2": (7, 2)}


def rows() -> list[dict[str, Any]]:
    """Return all rows."""
    return [json.loads(line) for line in FILE.read_text().splitlines()]


def to_row(name: str, program: Program) -> dict[str, Any]:
    """Return the program's part of a row."""
    row: dict[str, Any] = {"name": name, "type": program.type, "insns": encode(program.insns).hex()}
    if program.attach:
        row["attach"] = program.attach
    if program.flags:
        row["flags"] = program.flags
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
    return row


def _map_row(spec: MapSpec, btf: Btf | None) -> dict[str, Any]:
    row: dict[str, Any] = {"type": spec.type, "shape": [spec.key_size, spec.value_size, spec.max_entries,
                                                       spec.map_flags]}
    if spec.btf is not None and spec.value_type:
        assert spec.btf == btf
        row["types"] = [spec.key_type, spec.value_type]
    if spec.inner is not None:
        row["inner"] = _map_row(spec.inner, btf)
    return row


def from_row(row: dict[str, Any]) -> Program:
    """Return the program of a row."""
    btf = parse_btf(bytes.fromhex(row["btf"])) if "btf" in row else None
    maps = tuple(_spec(item, f"m{at}", btf) for at, item in enumerate(row.get("maps", ())))
    kfuncs = {int(number): kfunc for number, kfunc in row.get("kfuncs", {}).items()}
    infos = tuple(FuncInfo(*pair) for pair in row.get("functions", ()))
    return Program("prog", tuple(decode(bytes.fromhex(row["insns"]))), row["type"], "", row.get("attach", ""),
                   row.get("license", "GPL"), maps, kfuncs, {}, btf, infos, flags=row.get("flags", 0))


def _spec(row: dict[str, Any], name: str, btf: Any) -> MapSpec:
    inner = _spec(row["inner"], name + "i", btf) if "inner" in row else None
    key, value = row.get("types", (0, 0))
    return MapSpec(row["type"], *row["shape"], name=name, inner=inner, btf=btf if value else None, key_type=key,
                   value_type=value)
