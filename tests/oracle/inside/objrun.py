"""Guest: BPF_PROG_TEST_RUN of a program of an object, with maps set before and read after."""

from __future__ import annotations

import base64

import bpf
import libbpf

SHOWN = 1024


def answer(request: dict) -> dict:
    """{"object": base64, "name":, "program":, "maps": {name: {key: value}}, "runs": [{"data":, "ctx":, "repeat":}]}"""
    path = "/tmp/object.o"
    with open(path, "wb") as out:
        out.write(base64.b64decode(request["object"]))
    obj = libbpf.open_object(path, request["name"])
    if not obj:
        return {"error": "cannot be opened", "errno": libbpf.errno(), "libbpf": list(libbpf.messages)}
    try:
        named = {libbpf.name(p): p for p in libbpf.programs(obj)}
        program = named.get(request["program"]) if request.get("program") else next(iter(named.values()), None)
        if program is None:
            return {"error": f"no such program; there are {', '.join(named)}"}
        if not request.get("load_all"):
            for other in named.values():
                libbpf.bpf_program__set_autoload(other, other == program)
        failed = libbpf.bpf_object__load(obj)
        if failed:
            return {"error": "not loaded", "errno": -failed, "libbpf": list(libbpf.messages)[-6:]}
        maps = {libbpf.map_name(m): m for m in libbpf.maps(obj)}
        for name, entries in request.get("maps", {}).items():
            for key, value in entries.items():
                bpf.update(libbpf.bpf_map__fd(maps[name]), bytes.fromhex(key), bytes.fromhex(value))
        fd = libbpf.bpf_program__fd(program)
        runs = [
            bpf.test_run(fd, _bytes(run.get("data", "00" * 64)), _bytes(run.get("ctx")), run.get("repeat", 1))
            for run in request["runs"]
        ]
        return {"program": libbpf.name(program), "runs": runs, "maps": {name: _contents(m) for name, m in maps.items()}}
    finally:
        libbpf.bpf_object__close(obj)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _contents(found: int) -> dict[str, str] | None:
    if bpf.MAP_TYPES[libbpf.bpf_map__type(found)] not in ("hash", "array", "lru_hash", "lpm_trie"):
        return None
    fd, key_size, value_size = (
        libbpf.bpf_map__fd(found),
        libbpf.bpf_map__key_size(found),
        libbpf.bpf_map__value_size(found),
    )
    entries = ((key, bpf.lookup(fd, key, value_size)) for key in bpf.keys(fd, key_size, SHOWN))
    return {key.hex(): value.hex() for key, value in entries if value is not None}
