"""Guest: the kernel's verdict on each program of an object, loaded with libbpf.

libbpf stops at the first program that is refused. So an object is opened again for what is left, with everything that
has its verdict taken out: as many loads as refusals, plus one.
"""

from __future__ import annotations

import base64
import ctypes
import os

import bpf
import libbpf

LOG_SIZE = 1 << 23
_buffers: list[ctypes.Array] = []


def answer(request: dict) -> dict:
    """Judge {"object": base64, "name":, "log_level":, "register": bool, "only": [names]}.

    Returns:
        {"programs": [...], "struct_ops": [...]}
    """
    path = "/tmp/object.o"
    with open(path, "wb") as out:
        out.write(base64.b64decode(request["object"]))
    known: dict[str, dict] = {}
    level, only = request.get("log_level", 1), set(request.get("only") or ())
    while True:
        obj = libbpf.open_object(path, request["name"])
        if not obj:
            return {"open_errno": libbpf.errno(), "libbpf": list(libbpf.messages), "programs": []}
        try:
            if not _one_load(obj, known, level, only):
                break
        finally:
            libbpf.bpf_object__close(obj)
    reply: dict = {"programs": list(known.values())}
    if request.get("register", True) and known and all(x["verdict"] == "accept" for x in known.values()) and not only:
        reply["struct_ops"] = _register(path, request["name"])
    return reply


def _buffer(index: int) -> ctypes.Array:
    while len(_buffers) <= index:
        _buffers.append(ctypes.create_string_buffer(LOG_SIZE))
    _buffers[index][0] = b"\0"
    return _buffers[index]


def _one_load(obj: int, known: dict[str, dict], level: int, only: set[str]) -> bool:
    """Loads what has no verdict yet; False when nothing more can be learned."""
    every = list(libbpf.programs(obj))
    left = [p for p in every if libbpf.name(p) not in known and (not only or libbpf.name(p) in only)]
    wanted = {libbpf.name(p) for p in left}
    if not left:
        return False
    libbpf.clear_members(obj, {libbpf.name(p) for p in every} - wanted)
    for program in every:
        libbpf.bpf_program__set_autoload(program, libbpf.name(program) in wanted)
    boxes = {}
    for index, program in enumerate(left):
        boxes[program] = _buffer(index)
        libbpf.bpf_program__set_log_buf(program, ctypes.cast(boxes[program], libbpf.POINTER), LOG_SIZE)
        libbpf.bpf_program__set_log_level(program, level)
    facts = {
        program: {
            "program": libbpf.name(program),
            "section": libbpf.bpf_program__section_name(program).decode(),
            "type": _type(libbpf.bpf_program__type(program)),
        }
        for program in left
    }
    failed = libbpf.bpf_object__load(obj)
    blamed, by_kernel = _blamed("".join(libbpf.messages)) if failed else (None, False)
    before = len(known)
    for program, fact in facts.items():
        log = boxes[program].value.decode(errors="replace")
        if blamed == fact["program"]:
            known[blamed] = {
                **fact,
                "verdict": "reject" if by_kernel else "not loaded",
                "errno": -failed,
                "log": log,
                "libbpf": _said(),
            }
        elif libbpf.bpf_program__fd(program) >= 0 or (log and failed):
            known[fact["program"]] = {**fact, "verdict": "accept", "errno": 0, "log": log}
    if failed and len(known) == before:  # the object itself was refused, before any program
        for fact in facts.values():
            known[fact["program"]] = {**fact, "verdict": "not loaded", "errno": -failed, "log": "", "libbpf": _said()}
    if not failed:
        for fact in facts.values():
            known.setdefault(
                fact["program"], {**fact, "verdict": "not loaded", "errno": 0, "log": "", "libbpf": _said()}
            )
    return bool(failed)


def _blamed(text: str) -> tuple[str | None, bool]:
    """The program that stopped the load, and whether the kernel refused it (otherwise libbpf could not prepare it)."""
    named = [line for line in text.splitlines() if "prog '" in line]
    refused = [line for line in named if "BPF program load failed" in line]
    if not named:
        return None, False
    return (refused or named)[-1].split("prog '")[1].split("'")[0], bool(refused)


def _said() -> list[str]:
    return [m.strip() for m in libbpf.messages if "BEGIN PROG LOAD LOG" not in m][-6:]


def _type(kind: int) -> str:
    return bpf.PROGRAM_TYPES[kind] if kind < len(bpf.PROGRAM_TYPES) else str(kind)


def _register(path: str, name: str) -> list[dict]:
    """Registers each Qdisc_ops variable and takes it out again: what the kernel's validate() says."""
    found = []
    obj = libbpf.open_object(path, name)
    try:
        tables = [m for m in libbpf.maps(obj) if libbpf.bpf_map__type(m) == libbpf.STRUCT_OPS_MAP]
        if tables and libbpf.bpf_object__load(obj) == 0:
            for table in tables:
                libbpf.messages.clear()
                link = libbpf.bpf_map__attach_struct_ops(table)
                found.append(
                    {
                        "struct_ops": libbpf.map_name(table),
                        "verdict": "accept" if link else "reject",
                        "errno": 0 if link else libbpf.errno(),
                        "libbpf": _said(),
                    }
                )
                if link:
                    libbpf.bpf_link__destroy(link)
    finally:
        libbpf.bpf_object__close(obj)
        os.unlink(path)
    return found
