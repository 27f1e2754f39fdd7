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
from tests.golden.logs.probes import probes
from tests.golden.logs.recorded import write

if TYPE_CHECKING:
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
    if program.btf is not None:
        asked["btf"] = encode_btf(program.btf).hex()
        asked["func_info"] = b"".join(struct.pack("<II", *(info.insn_off, info.type_id))
                                      for info in program.func_info).hex()
    return asked


def _map(spec: MapSpec) -> dict[str, Any]:
    kind = _DIALECT.map_type(spec.type)
    made: dict[str, Any] = {"type": next(number for number, item in _DIALECT.map_types.items() if item is kind),
                            "key": spec.key_size, "value": spec.value_size, "entries": spec.max_entries}
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
