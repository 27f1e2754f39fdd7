from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.errors import UsageError
from ebpfvm.loader import load
from ebpfvm.loader.variables import set_variables, variables

ROOT = Path(__file__).parents[3]
SHAPER = load(ROOT / "samples" / "rfc" / "shaper.o")


def test_variables_are_found_with_their_sections() -> None:
    found = {variable.name: variable for variable in variables(SHAPER)}
    assert set(found) == {"rate", "burst", "limit", "dropped", "throttled", "full_at", "pifo_len", "pifo_seq"}
    assert (found["rate"].size, found["limit"].size, found["limit"].signed) == (8, 4, False)
    assert found["rate"].map.endswith(".rodata")
    assert found["dropped"].map.endswith(".bss")


def test_other_values_reach_map_and_programs_and_leave_the_object_alone() -> None:
    changed = set_variables(SHAPER, {"rate": 1000, "dropped": 7})
    variable = next(variable for variable in variables(SHAPER) if variable.name == "rate")
    for specs in (changed.maps.values(), changed.programs["shaper_enqueue"].maps):
        spec = next(spec for spec in specs if spec.name == variable.map)
        assert spec.data is not None
        assert int.from_bytes(spec.data[variable.offset:variable.offset + 8], "little") == 1000
    assert SHAPER.maps[variable.map].data != changed.maps[variable.map].data
    assert set_variables(SHAPER, {}) is SHAPER


@pytest.mark.parametrize(("values", "message"), [
    ({"speed": 1}, "no global variable 'speed'; it has: .*rate"), ({"limit": 1 << 32}, "4 bytes and cannot be"),
    ({"limit": -1}, "cannot be -1")])
def test_what_does_not_fit_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        set_variables(SHAPER, values)
