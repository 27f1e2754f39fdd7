"""The note of which file declares what is current, and everything that is declared is whole."""

from __future__ import annotations

import pytest

from ebpfvm import dialects, funcs, maps
from ebpfvm.contract import Helper, Kfunc, MapType
from ebpfvm.dialects import where_declared
from ebpfvm.dialects.declared import Declarations, all_noted, declared
from ebpfvm.errors import InternalError
from scripts import where_declared as script


def test_the_note_is_current() -> None:
    assert script.PLACE.read_text(encoding="utf-8") == script.written(), "run `python scripts/where_declared.py`"


def test_everything_is_whole() -> None:
    dialects.check()


def test_a_wrong_note_is_only_slower() -> None:
    wrong = {"trees": "bpf_redirect", "no_such_file": "bpf_loop"}
    found = Declarations(funcs, Helper, wrong, variants=True)
    every = declared(funcs, Helper, variants=True)
    for name in ("bpf_redirect", "bpf_loop", "bpf_map_lookup_elem"):
        assert Declarations(funcs, Helper, wrong, variants=True)[name] is every[name]
    assert dict(found) == dict(every) and "bpf_ktime_get_ns" in found and "bpf_nothing" not in found


@pytest.mark.parametrize("rows", [where_declared.KFUNCS | {"more": ""}, {"lists": ""}])
def test_a_file_that_is_not_noted_or_not_there(rows: dict[str, str]) -> None:
    assert not all_noted(funcs, rows)
    assert all_noted(funcs, where_declared.KFUNCS) and all_noted(maps, where_declared.MAP_TYPES)


def test_a_name_is_found_without_the_other_files() -> None:
    assert Declarations(maps, MapType, where_declared.MAP_TYPES)["queue"].name == "queue"
    assert Declarations(funcs, Kfunc, where_declared.KFUNCS)["bpf_throw"].name == "bpf_throw"


def test_a_variant_that_is_missing() -> None:
    found = Declarations(funcs, Helper, where_declared.HELPERS, variants=True)
    assert found.variant("bpf_sk_assign__sk_lookup").name == "bpf_sk_assign"
    with pytest.raises(InternalError, match="helper bpf_loop__none is offered, and the file that declares bpf_loop do"):
        found.variant("bpf_loop__none")
