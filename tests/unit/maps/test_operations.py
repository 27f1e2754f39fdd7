"""Element operations from user space on every map type: what Linux 6.18 and 7.2 answered to the same sequences,
recorded (tests/kernel/map_ops.py, tests/kernel/record_maps.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.maps import make_map
from ebpfvm.maps.perf_event_array import PerfEventArray
from tests.kernel import map_ops
from tests.kernel.map_grid import INNER, spec_of

DATA = Path(__file__).parents[2] / "data"
VERSIONS = ((6, 18), (7, 2))


@cache
def recorded(version: tuple[int, int]) -> Any:
    path = DATA / f"map_creation_{version[0]}_{version[1]}.json"
    return json.loads(path.read_text(encoding="utf-8"))["operations"]


class OurMap:
    """Ours, with errors as negative errno."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def _call(self, name: str, *args: Any) -> Any:
        try:
            found = getattr(self.real, f"sys_{name}")(*args)
        except OSError as error:
            return -int(error.errno or 0)
        return 0 if found is None else found

    def update(self, key: bytes | None, value: bytes, flags: int) -> int:
        return int(self._call("update", key, value, flags))

    def delete(self, key: bytes) -> int:
        return int(self._call("delete", key))

    def lookup(self, key: bytes | None) -> Any:
        found = self._call("lookup", key)
        return found[:self.real.value_size] if isinstance(found, bytes) else found

    def lookup_and_delete(self, key: bytes | None) -> Any:
        found = self._call("lookup_and_delete", key)
        return found[:self.real.value_size] if isinstance(found, bytes) else found

    def next_key(self, key: bytes | None) -> Any:
        return self._call("next_key", key)


def played(type: str, version: tuple[int, int] = (6, 18)) -> list[Any]:
    kernel = Kernel(linux(version))
    kernel.devices[1] = "lo"
    inner, other = make_map(kernel, INNER), make_map(kernel, replace(INNER, value_size=16))
    words = {"inner": inner.id.to_bytes(4, "little"), "other": other.id.to_bytes(4, "little"),
             "none": (999_999).to_bytes(4, "little")}
    made = make_map(kernel, replace(spec_of(map_ops.question(type)), name="m"))
    if isinstance(made, PerfEventArray):
        made.slots.clear()  # no event is open where nobody has opened one
    return map_ops.play(OurMap(made), type, words)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("type", map_ops.TYPES)
def test_operations(type: str, version: tuple[int, int]) -> None:
    ours, said = played(type, version), recorded(version)[type]
    ops: list[Any] = [*map_ops.sequence(type), "keys", "end of keys"]
    assert len(ours) == len(said) == len(ops), "the sequences have changed: record again"
    answers = list(zip(ops, said, ours, strict=True))
    assert [item for item in answers if item[1] != item[2]] == []
