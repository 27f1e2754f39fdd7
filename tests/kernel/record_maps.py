"""Record what this machine's kernel says of each definition of `map_grid`: `python -m tests.kernel.record_maps`.

Writes tests/data/map_creation_VERSION.json. Maps are made one at a time and closed at once. Needs the right to call
bpf(2). With `--guest`, the kernel of `tests.oracle` is asked instead.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
from dataclasses import replace
from errno import ENOMEM
from pathlib import Path
from typing import Any

from ebpfvm.dialects.linux import linux
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.oracle import Oracle, bpf
from ebpfvm.testing.oracle import _fields as fields
from tests.kernel import map_ops
from tests.kernel.map_grid import GOOD, INNER, inner_questions, questions, spec_of, typed_questions, typed_spec
from tests.oracle.guest import Guest
from tests.oracle.requests import map_of

_LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _LOOKUP_DELETE = 1, 2, 3, 4, 21
DATA = Path(__file__).parents[1] / "data"


class Asker:
    """Makes maps and says what came of it."""

    def __init__(self) -> None:
        self.oracle = Oracle(linux((6, 18)))
        self.numbers = {item.name: number for number, item in self.oracle.dialect.map_types.items()}
        self.inner: dict[str, int] = {}

    def __call__(self, spec: MapSpec) -> int:
        """The kernel's errno, 0 if it made the map."""
        fd = self.create(spec)
        if fd >= 0:
            os.close(fd)
        return max(-fd, 0)

    def create(self, spec: MapSpec) -> int:
        """BPF_MAP_CREATE: a descriptor or a negative errno."""
        attr = [(0, "I", self.numbers[str(spec.type)]), (4, "I", spec.key_size), (8, "I", spec.value_size),
                (12, "I", spec.max_entries), (16, "I", spec.map_flags), (64, "Q", spec.map_extra)]
        if spec.inner is not None:
            if str(spec.inner) not in self.inner:
                self.inner[str(spec.inner)] = self.create(spec.inner)
            if self.inner[str(spec.inner)] < 0:
                return self.inner[str(spec.inner)]
            attr.append((20, "I", self.inner[str(spec.inner)]))
        btf = None
        if spec.btf is not None:
            btf = self.oracle.btf_fd(spec.btf)
            attr += [(48, "I", btf), (52, "I", spec.key_type), (56, "I", spec.value_type)]
        fd = bpf(0, fields(*attr))
        if btf is not None:
            self.oracle.close()
        return fd


class KernelMap:
    """A map of the running kernel, for `map_ops.play`. Values for each CPU are those of the first."""

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self.fd, self.key_size, self.value_size = fd, key_size, value_size

    def _elem(self, command: int, key: bytes | None, value: bytes = b"", flags: int = 0) -> tuple[int, bytes]:
        keys = ctypes.create_string_buffer(key or b"", max(1, len(key or b"")))
        values = ctypes.create_string_buffer(value, 1 << 16)
        attr = fields((0, "I", self.fd), (8, "Q", ctypes.addressof(keys) if key is not None else 0),
                      (16, "Q", 0 if command == _DELETE else ctypes.addressof(values)), (24, "Q", flags))
        return bpf(command, attr), values.raw

    def update(self, key: bytes | None, value: bytes, flags: int) -> int:
        return self._elem(_UPDATE, key, value, flags)[0]

    def delete(self, key: bytes) -> int:
        return self._elem(_DELETE, key)[0]

    def lookup(self, key: bytes | None) -> int | bytes:
        return self._value(self._elem(_LOOKUP, key))

    def lookup_and_delete(self, key: bytes | None) -> int | bytes:
        return self._value(self._elem(_LOOKUP_DELETE, key))

    def next_key(self, key: bytes | None) -> int | bytes:
        result, found = self._elem(_NEXT_KEY, key)
        return found[:self.key_size] if result >= 0 else result

    def _value(self, answer: tuple[int, bytes]) -> int | bytes:
        return answer[1][:self.value_size] if answer[0] >= 0 else answer[0]


def operations(ask: Asker) -> dict[str, list[Any]]:
    """What the kernel answers to the sequences of `map_ops`."""
    inner = [ask.create(INNER), ask.create(replace(INNER, value_size=16))]
    words = {"inner": inner[0].to_bytes(4, "little"), "other": inner[1].to_bytes(4, "little"),
             "none": (9999).to_bytes(4, "little")}
    found = {}
    for type in map_ops.TYPES:
        spec = spec_of(map_ops.question(type))
        fd = ask.create(spec)
        found[type] = map_ops.play(KernelMap(fd, spec.key_size, spec.value_size), type, words)
        os.close(fd)
    return found


def here() -> dict[str, Any]:
    """Ask the running kernel everything."""
    ask = Asker()
    return {"kernel": platform.release(),
            "plain": {type: [ask(spec_of(question)) for question in questions(type)] for type in GOOD},
            "typed": [ask(typed_spec(question)) for question in typed_questions()],
            "inner": [ask(spec) for spec in inner_questions()], "operations": operations(ask)}


def guest() -> dict[str, Any]:
    """Ask the kernel in the virtual machine everything. Lack of memory there is no answer."""
    dialect = linux((7, 2))

    def request(specs: list[MapSpec]) -> dict[str, Any]:
        return {"op": "maps", "maps": [map_of(spec, dialect) | {"exact": True} for spec in specs]}

    words = {"inner": map_of(INNER, dialect), "other": map_of(replace(INNER, value_size=16), dialect), "none": None}
    with Guest() as machine:
        def errnos(specs: list[MapSpec]) -> list[int | None]:
            found = [errno for reply in machine.ask_all(request(specs[at:at + 50]) for at in range(0, len(specs), 50))
                     for errno in reply["errnos"]]
            return [None if errno == ENOMEM else errno for errno in found]

        answers: dict[str, Any] = {
            "plain": {type: errnos([spec_of(question) for question in questions(type)]) for type in GOOD},
            "typed": errnos([typed_spec(question) for question in typed_questions()]),
            "inner": errnos(inner_questions()), "operations": {}}
        for type in map_ops.TYPES:
            ops = [list(op) for op in map_ops.sequence(type)]
            asked = request([spec_of(map_ops.question(type))]) | {"operations": ops, "words": words}
            reply = next(iter(machine.ask_all([asked])))
            answers["operations"][type] = map_ops.shown(type, reply["answers"])
        return {"kernel": next(iter(machine.ask_all([{"op": "shell", "command": "uname -r"}])))["stdout"].strip(),
                **answers}


def main() -> None:
    """Ask everything and write the file."""
    found = guest() if "--guest" in sys.argv else here()
    major, minor = found["kernel"].split(".")[:2]
    path = DATA / f"map_creation_{major}_{minor}.json"
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {sum(map(len, found['plain'].values())) + len(found['typed']) + len(found['inner'])} answers")


if __name__ == "__main__":
    main()
