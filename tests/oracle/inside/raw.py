"""Guest: verdict (and runs) of one program given as bare instructions."""

from __future__ import annotations

import json
import os
import struct

import bpf
import kernel_btf

SHOWN = 1024  # entries of a map that are shown after runs
KEPT = 32  # sets of maps that are used again by programs that are only judged
BTFS = 64  # sets of types that are kept
_btfs: dict[str, int] = {}
_kept: dict[str, tuple[list[int], list[int]]] = {}


def answer(request: dict) -> dict:
    """See ask-raw for the fields."""
    fds: list[int] = []
    forget_types()
    try:
        maps = maps_for(request.get("maps", ()), fds, fresh=bool(request.get("runs")))
        btf_fd = 0
        if request.get("btf"):
            btf_fd = types_of(request["btf"])
        struct_ops = request.get("attach_struct")
        fd, errno, log = bpf.load(
            resolved(bytes.fromhex(request["insns"]), maps, request.get("kfuncs", ())),
            request.get("type", "sched_cls"),
            request.get("license", "GPL"),
            request.get("log_level", 1),
            request.get("prog_flags", 0),
            request.get("attach_type", 0),
            kernel_btf.struct(struct_ops) if struct_ops else request.get("attach_btf_id", 0),
            btf_fd,
            bytes.fromhex(request.get("func_info", "")),
            bytes.fromhex(request.get("line_info", "")),
        )
        reply = {"verdict": "reject" if fd is None else "accept", "errno": errno, "log": log}
        if fd is not None:
            fds.append(fd)
            if request.get("runs"):
                reply["runs"] = [
                    bpf.test_run(fd, _bytes(run.get("data", "00" * 64)), _bytes(run.get("ctx")), run.get("repeat", 1))
                    for run in request["runs"]
                ]
                specs = request.get("maps", ())
                reply["maps"] = [contents(map_fd, spec) for map_fd, spec in zip(maps, specs, strict=True)]
        return reply
    finally:
        for fd in fds:
            os.close(fd)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def maps_for(specs: list[dict], fds: list[int], fresh: bool) -> list[int]:
    """Maps of a program, to be closed through `fds` if they are fresh."""
    if fresh or not specs:
        return [make_map(spec, fds) for spec in specs]
    name = json.dumps(specs)
    if name not in _kept:
        if len(_kept) >= KEPT:
            for fd in _kept.pop(next(iter(_kept)))[1]:
                os.close(fd)
        made: list[int] = []  # also the inner maps
        _kept[name] = [make_map(spec, made) for spec in specs], made
    return _kept[name][0]


def types_of(data: str) -> int:
    """Return the descriptor of BTF, loaded once: a program's structs and those of its maps are the same."""
    if data not in _btfs:
        _btfs[data] = bpf.load_btf(bytes.fromhex(data))
    return _btfs[data]


def forget_types() -> None:
    """Close the BTF of earlier questions, and the maps that were made with it."""
    if len(_btfs) <= BTFS:
        return
    for fd in [*_btfs.values(), *(fd for _, made in _kept.values() for fd in made)]:
        os.close(fd)
    _btfs.clear()
    _kept.clear()


def make_map(spec: dict, fds: list[int]) -> int:
    """Create a map; without its BTF where the kernel refuses that, as libbpf does, unless it is to be `exact`."""
    inner = make_map(spec["inner"], fds) if "inner" in spec else 0
    words = (spec["type"], spec["key"], spec["value"], spec["entries"], spec.get("flags", 0), inner)
    more = {"extra": spec.get("extra", 0), "name": spec.get("name", "")}
    types = ()
    if spec.get("btf"):
        types = (types_of(spec["btf"]), spec.get("key_type", 0), spec["value_type"])
    try:
        fd = bpf.create_map(*words, types, **more)
    except OSError:
        if not types or spec.get("exact"):
            raise
        fd = bpf.create_map(*words, **more)
    fds.append(fd)
    for key, value in spec.get("contents", {}).items():
        bpf.update(fd, bytes.fromhex(key), bytes.fromhex(value))
    if spec.get("frozen"):
        bpf.freeze(fd)
    return fd


def contents(fd: int, spec: dict) -> dict[str, str] | None:
    if spec["type"] not in ("hash", "array", "lru_hash", "lpm_trie"):
        return None
    found = ((key, bpf.lookup(fd, key, spec["value"])) for key in bpf.keys(fd, spec["key"], SHOWN))
    return {key.hex(): value.hex() for key, value in found if value is not None}


def resolved(code: bytes, maps: list[int], kfuncs: list[str]) -> bytes:
    """Return code with fds of maps for indices (ld_imm64, src 1 or 2), BTF ids for indices of kfuncs (call, src 2)."""
    out, wide = bytearray(code), False
    for at in range(0, len(code) - 7, 8):
        op, regs, _, imm = struct.unpack_from("<BBhi", code, at)
        if wide:
            wide = False
        elif op == 0x18:
            wide = True
            if regs >> 4 in (1, 2) and 0 <= imm < len(maps):
                struct.pack_into("<i", out, at + 4, maps[imm])
        elif op == 0x85 and regs >> 4 == 2 and 0 <= imm < len(kfuncs):
            struct.pack_into("<i", out, at + 4, kernel_btf.function(kfuncs[imm]))
    return bytes(out)
