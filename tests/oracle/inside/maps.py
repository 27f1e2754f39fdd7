"""Guest: which maps the kernel creates, and what operations on their elements answer."""

from __future__ import annotations

import os
import struct

import bpf
import raw

LOOKUP, UPDATE, DELETE, NEXT_KEY, LOOKUP_DELETE = 1, 2, 3, 4, 21
COMMANDS = {"lookup": LOOKUP, "delete": DELETE, "next_key": NEXT_KEY, "lookup_and_delete": LOOKUP_DELETE}
MOST_KEYS = 20


def answer(request: dict) -> dict:
    """`maps`: errno of each definition; with `operations` ([name, key, value, flags]): their answers on the first."""
    if "operations" not in request:
        return {"errnos": [errno_of(spec) for spec in request["maps"]]}
    fds: list[int] = []
    try:
        fd = raw.make_map(request["maps"][0], fds)
        words = {name: struct.pack("<I", 9999 if spec is None else raw.make_map(spec, fds))
                 for name, spec in request.get("words", {}).items()}
        return {"answers": play(fd, request["maps"][0], request["operations"], words)}
    finally:
        for fd in fds:
            os.close(fd)


def errno_of(spec: dict) -> int:
    fds: list[int] = []
    try:
        raw.make_map(spec, fds)
        return 0
    except OSError as error:
        return error.errno or 0
    finally:
        for fd in fds:
            os.close(fd)


def play(fd: int, spec: dict, operations: list, words: dict[str, bytes]) -> list:
    """The answers (negative errno, 0, or hexadecimal bytes), then all keys, then what ended the walk over them."""
    found = []
    for name, key, value, flags in operations:
        if name == "update":
            found.append(element(fd, UPDATE, key, words.get(value) or bytes.fromhex(value), flags)[0])
            continue
        result, data = element(fd, COMMANDS[name], key if key is not None or name != "delete" else "")
        size = spec["key"] if name == "next_key" else spec["value"]
        found.append(data[:size].hex() if result >= 0 and name != "delete" else result)
    keys: list[str] = []
    key, result = None, 0
    while len(keys) < MOST_KEYS:
        result, data = element(fd, NEXT_KEY, key)
        if result < 0:
            break
        key = data[:spec["key"]].hex()
        keys.append(key)
    return [*found, sorted(keys), min(result, 0)]


def element(fd: int, command: int, key: str | None, value: bytes = b"", flags: int = 0) -> tuple[int, bytes]:
    keys, values = bpf.buffer(bytes.fromhex(key or "")), bpf.buffer(value.ljust(1 << 16, b"\0"))
    where = 0 if command == DELETE else bpf.address(values)
    result, errno, _ = bpf.call(command, struct.pack("<IIQQQ", fd, 0, bpf.address(keys) if key is not None else 0,
                                                     where, flags))
    return (result if result >= 0 else -errno), values.raw
