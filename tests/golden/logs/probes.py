"""The probe programs: small texts in `probes/*.txt`, one for each thing that the log has something to say about, and
compiled ones in `objects`, with lines of C, named maps and types.

`== name: type words` begins a program; the words are "btf" (its functions have types), "kfunc" (the same, of the only
function), "strict" (BPF_F_STRICT_ALIGNMENT) and "proprietary". `-- name static : result parameters` begins another
function. Their maps have no names, as in a kernel that was given none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ebpfvm.loader import MapSpec, Program, load
from tests.unit.verifier.build import Fn, build

HERE = Path(__file__).parent
MAPS = (MapSpec("array", 4, 16, 2), MapSpec("hash", 8, 24, 8), MapSpec("prog_array", 4, 4, 4),
        MapSpec("ringbuf", 0, 0, 4096), MapSpec("array_of_maps", 4, 4, 2, inner=MapSpec("array", 4, 16, 2)),
        MapSpec("array", 4, 64, 1))
_TYPES = {"tc": "sched_cls", "xdp": "xdp", "socket": "socket_filter"}


def probes() -> dict[str, Program]:
    """All of them, by name."""
    found: dict[str, Program] = {}
    for path in sorted((HERE / "probes").glob("*.txt")):
        for text in ("\n" + path.read_text()).split("\n== ")[1:]:
            head, _, body = text.partition("\n")
            name, _, words = head.partition(": ")
            assert name not in found, name
            found[name] = _program(words.split(), body)
    for path in sorted((HERE / "objects").glob("*.o")):
        found |= {f"{path.stem}.o {name}": program for name, program in load(path).programs.items()}
    return found


def _program(words: list[str], body: str) -> Program:
    main, *others = body.split("\n-- ")
    functions = [Fn("prog", main, ("ptr",)), *(_function(text) for text in others)]
    program = build(*functions, type=_TYPES[words[0]], maps=MAPS)
    if not {"btf", "kfunc"} & set(words):
        program = replace(program, btf=None, func_info=())
    return replace(program, flags=int("strict" in words), license="" if "proprietary" in words else "GPL")


def _function(text: str) -> Fn:
    head, _, body = text.partition("\n")
    names, _, types = head.partition(": ")
    name, *static = names.split()
    result, *params = types.split() or ["int", "int"]
    return Fn(name, body, tuple(params), result, bool(static))
