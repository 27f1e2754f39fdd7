"""Records what kernels print: writes the questions, one JSON object a line, and keeps the answers.

    python -m tests.golden.logs.record questions > questions.jsonl
    python -m tests.golden.logs.record keep 7.2 < answers.jsonl

Whatever answers has to load each program with bpf(2) and add `log` to the object. `insns` has maps by their index in
`maps` and kernel functions by their index in `kfuncs`; numbers are bpf(2)'s, bytes are in hexadecimal.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import TYPE_CHECKING, Any

from ebpfvm.btf.encode import encode as encode_btf
from ebpfvm.dialects.linux import linux
from ebpfvm.isa.insn import encode
from ebpfvm.testing.oracle import _without_externs
from tests.golden.logs.probes import probes
from tests.golden.logs.recorded import write

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.object import MapSpec, Program

_DIALECT = linux((7, 2))
_LEVELS = (1, 2, 4, 5)


def question(name: str, program: Program, level: int) -> dict[str, Any]:
    """One load of one program."""
    index = {number: at for at, number in enumerate(program.kfuncs)}
    insns = [insn._replace(imm=index[insn.imm]) if insn.code == 0x85 and insn.src == 2 else insn
             for insn in program.insns]
    asked: dict[str, Any] = {"name": name, "log_level": level, "insns": encode(insns).hex(), "type": program.type,
                             "license": program.license, "prog_flags": program.flags,
                             "maps": [_map(spec) for spec in program.maps], "kfuncs": list(program.kfuncs.values())}
    return asked | (_records(program, program.btf) if program.btf is not None else {})


def _records(program: Program, btf: Btf) -> dict[str, str]:
    """Types, functions and lines; the texts of the lines are put behind the strings of the types."""
    data = encode_btf(_without_externs(btf))
    texts = sorted({text for line in program.line_info for text in (line.file, line.text)})
    start, length = struct.unpack_from("<II", data, 16)
    assert len(data) == struct.unpack_from("<I", data, 4)[0] + start + length
    places, more = {}, b""
    for text in texts:
        places[text] = length + len(more)
        more += text.encode() + b"\0"
    lines = [struct.pack("<4I", line.insn_off, places[line.file], places[line.text], line.line << 10 | line.column)
             for line in program.line_info]
    return {"btf": (data[:20] + struct.pack("<I", length + len(more)) + data[24:] + more).hex(),
            "func_info": b"".join(struct.pack("<II", info.insn_off, info.type_id) for info in program.func_info).hex(),
            "line_info": b"".join(lines).hex()}


def _map(spec: MapSpec) -> dict[str, Any]:
    kind = _DIALECT.map_type(spec.type)
    made: dict[str, Any] = {"type": next(number for number, item in _DIALECT.map_types.items() if item is kind),
                            "key": spec.key_size, "value": spec.value_size, "entries": spec.max_entries,
                            "flags": spec.map_flags, "name": spec.name}
    if spec.btf is not None and spec.value_type:
        made |= {"btf": encode_btf(_without_externs(spec.btf)).hex(), "key_type": spec.key_type,
                 "value_type": spec.value_type}
    if spec.data is not None:
        made |= {"contents": {"00000000": spec.data.hex()}, "frozen": bool(spec.map_flags & 0x80)}
    return made | ({"inner": _map(spec.inner)} if spec.inner is not None else {})


def main() -> None:
    """See the module."""
    if sys.argv[1] == "questions":
        for name, program in probes().items():
            for level in _LEVELS:
                print(json.dumps(question(name, program, level)))
        return
    found: dict[str, dict[str, str]] = {}
    for line in sys.stdin:
        answer = json.loads(line)
        found.setdefault(answer["name"], {})[str(answer["log_level"])] = answer["log"]
    write(sys.argv[2], found)


if __name__ == "__main__":
    main()
