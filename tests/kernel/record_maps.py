"""Record what this machine's kernel says of each definition of `map_grid`: `python -m tests.kernel.record_maps`.

Writes tests/data/map_creation_VERSION.json. Maps are made one at a time and closed at once. Needs the right to call
bpf(2). The record of 7.2 was made in a guest that knows neither BTF nor map_extra: what it was not asked is null.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from ebpfvm.dialects.linux import linux
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.oracle import Oracle, bpf, kernel_version
from ebpfvm.testing.oracle import _fields as fields
from tests.kernel.map_grid import GOOD, inner_questions, questions, spec_of, typed_questions, typed_spec

DATA = Path(__file__).parents[1] / "data"


class Asker:
    """Makes maps and says what came of it."""

    def __init__(self) -> None:
        self.oracle = Oracle(linux((6, 18)))
        self.numbers = {item.name: number for number, item in self.oracle.dialect.map_types.items()}
        self.inner: dict[str, int] = {}

    def __call__(self, spec: MapSpec) -> int:
        """The kernel's errno, 0 if it made the map."""
        fd = self._create(spec)
        if fd >= 0:
            os.close(fd)
        return max(-fd, 0)

    def _create(self, spec: MapSpec) -> int:
        attr = [(0, "I", self.numbers[str(spec.type)]), (4, "I", spec.key_size), (8, "I", spec.value_size),
                (12, "I", spec.max_entries), (16, "I", spec.map_flags), (64, "Q", spec.map_extra)]
        if spec.inner is not None:
            if str(spec.inner) not in self.inner:
                self.inner[str(spec.inner)] = self._create(spec.inner)
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


def main() -> None:
    """Ask everything and write the file."""
    ask = Asker()
    found: dict[str, Any] = {
        "kernel": platform.release(),
        "plain": {type: [ask(spec_of(question)) for question in questions(type)] for type in GOOD},
        "typed": [ask(typed_spec(question)) for question in typed_questions()],
        "inner": [ask(spec) for spec in inner_questions()]}
    major, minor = kernel_version()
    path = DATA / f"map_creation_{major}_{minor}.json"
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {sum(map(len, found['plain'].values())) + len(found['typed']) + len(found['inner'])} answers")


if __name__ == "__main__":
    main()
