"""Findings as files: assembler text with comments that say everything else about the program, its inputs, and verdicts.

`ebpfvm asm` reads such a file, and `read` returns the whole case, so that it can be judged and run again.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.btf.encode import encode as encode_btf
from ebpfvm.btf.parse import parse as parse_btf
from ebpfvm.dialects import linux, rfc6
from ebpfvm.errors import EbpfvmError, LoadError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.disasm import disassemble
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.object import FuncInfo, MapSpec, Program
from ebpfvm.testing.campaign import Case
from ebpfvm.testing.runs import Given

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA: Final = "ebpfvm.case/1"
_WIDE: Final = 110
_SPEC: Final = ("type", "key_size", "value_size", "max_entries", "map_flags", "name", "map_extra", "key_type",
                "value_type")


def text_of(case: Case, title: str, answers: Mapping[str, str]) -> str:
    """Return a case as the text of a file.

    Args:
        title: what was found, in one line.
        answers: name of a verifier or an engine -> what it says.
    """
    lines = [f"# {line}" for line in [title, *(f"{name}: {' '.join(text.split())}" for name, text in answers.items())]]
    text = json.dumps(_about(case), separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    lines += [f"# type {case.program.type} {case.program.attach}".rstrip(),
              f"# kernel {case.dialect.name} {'.'.join(map(str, case.dialect.version))}"]
    lines += [f"# map {index}: {spec.type} key {spec.key_size} value {spec.value_size} entries {spec.max_entries}"
              for index, spec in enumerate(case.program.maps)]
    lines += [f"#! {SCHEMA}", *(f"#! {packed[at:at + _WIDE]}" for at in range(0, len(packed), _WIDE))]
    return "\n".join([*lines, disassemble(case.program.insns).rstrip("\n"), ""])


def read(path: Path) -> Case:
    """Return the case of a file; instructions that were edited are taken as they are now.

    Raises:
        LoadError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        marked = [line[2:].strip() for line in text.splitlines() if line.startswith("#!")]
        if not marked or marked[0] != SCHEMA:
            raise LoadError(f"is no case: the line '#! {SCHEMA}' is missing", path=str(path))
        about = json.loads(zlib.decompress(base64.b64decode("".join(marked[1:]))))
        code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        return _case(about, code)
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"cannot be read: {getattr(error, 'strerror', '') or error}", path=str(path)) from error
    except LoadError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, EbpfvmError) as error:
        raise LoadError(f"is no case that can be read: {error}", path=str(path)) from error


def _about(case: Case) -> dict[str, Any]:
    program = case.program
    every = [program.btf, *(spec.btf for spec in program.maps)]
    btfs = list({id(btf): btf for btf in every if btf is not None}.values())
    place = {id(btf): index for index, btf in enumerate(btfs)}
    return {
        "program": {name: getattr(program, name) for name in ("name", "type", "attach", "section", "license", "flags",
                                                              "sleepable", "struct_ops", "attach_type")},
        "btfs": [encode_btf(btf).hex() for btf in btfs], "btf": place.get(id(program.btf)),
        "functions": [[info.insn_off, info.type_id] for info in program.func_info],
        "kfuncs": {str(number): name for number, name in program.kfuncs.items()},
        "maps": [_map(spec, place) for spec in program.maps],
        "dialect": [case.dialect.name, *case.dialect.version],
        "inputs": [{"data": given.data.hex(), "fields": given.fields,
                    "maps": {str(index): {key.hex(): value.hex() for key, value in items.items()}
                             for index, items in given.maps.items()}} for given in case.inputs]}


def _map(spec: MapSpec, btfs: Mapping[int, int]) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in _SPEC} | {
        "btf": btfs.get(id(spec.btf)), "inner": _map(spec.inner, btfs) if spec.inner is not None else None,
        "data": spec.data.hex() if spec.data is not None else None}


def _case(about: dict[str, Any], code: str) -> Case:
    btfs = {None: None} | {index: parse_btf(bytes.fromhex(text)) for index, text in enumerate(about["btfs"])}
    words = dict(about["program"])
    place = words.pop("struct_ops")

    def spec(row: dict[str, Any]) -> MapSpec:
        made = MapSpec(**{name: row[name] for name in _SPEC}, inner=spec(row["inner"]) if row["inner"] else None,
                       data=bytes.fromhex(row["data"]) if row["data"] is not None else None)
        return replace(made, btf=btfs[row["btf"]])
    program = Program(
        insns=tuple(assemble(code)), maps=tuple(map(spec, about["maps"])), btf=btfs[about["btf"]],
        kfuncs={int(number): name for number, name in about["kfuncs"].items()},
        func_info=tuple(FuncInfo(*row) for row in about["functions"]),
        struct_ops=tuple(place) if place is not None else None, **words)
    name, major, minor = about["dialect"]
    dialect = (rfc6 if name.startswith("rfc") else linux)((major, minor))
    inputs = tuple(Given(bytes.fromhex(row["data"]), row["fields"], {
        int(index): {bytes.fromhex(key): bytes.fromhex(value) for key, value in items.items()}
        for index, items in row["maps"].items()}) for row in about["inputs"])
    return Case(program, dialect, inputs)
