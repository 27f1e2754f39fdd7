"""Generate the page that says for each map type, helper and kfunc whether it can be verified and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.rules import DESCRIBED
from ebpfvm.dialects import linux, rfc6
from ebpfvm.verifier.calling.families import modelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.contract import Dialect, Helper, Kfunc, MapType

BEGIN: Final = "<!-- made by `ebpfvm doc functions`; do not edit below -->"
_RUNS, _JUDGED, _REFUSED, _ABSENT = "runs", "judged", "unsupported", ""
_VERSIONS: Final = tuple(DESCRIBED)[::-1]
_KERNELS: Final = (*(f"Linux {major}.{minor}" for major, minor in _VERSIONS), "RFC v6")


def _dialects() -> list[tuple[str, Dialect]]:
    return list(zip(_KERNELS, (*map(linux, _VERSIONS), rfc6()), strict=True))


def _of_map_type(item: MapType | None) -> str:
    if item is None or item.name == "unspec":
        return _ABSENT
    if not item.modelled:
        return _REFUSED
    return _RUNS if item.make is not None else _JUDGED


def _of_helper(item: Helper | None, offered: frozenset[str]) -> str:
    if item is None:
        return _ABSENT
    if not item.modelled or item.name not in offered:
        return _REFUSED
    return _RUNS if item.body is not None or item.in_engine else _JUDGED


def _of_kfunc(item: Kfunc | None, name: str, dialect: Dialect) -> str:
    if item is None:
        return _REFUSED if name in dialect.unmodelled else _ABSENT
    if not modelled(item):
        return _REFUSED
    return _RUNS if item.body is not None else _JUDGED


def functions() -> str:
    """Return the three tables in Markdown."""
    dialects = _dialects()
    maps = [{item.name: item for item in dialect.map_types.values()} for _, dialect in dialects]
    helpers = [{item.name: item for item in dialect.helpers.values()} for _, dialect in dialects]
    offered = [frozenset().union(*(kind.helpers.union(*kind.attach_helpers.values())
                                   for kind in dialect.prog_types.values())) for _, dialect in dialects]
    kfuncs = [(dialect.kfuncs, dialect) for _, dialect in dialects]
    parts = [
        BEGIN, "", "## Map types", "", *_table(_names(maps), lambda name: [
            _of_map_type(table.get(name)) for table in maps]),
        "", "## Helpers", "", *_table(_names(helpers), lambda name: [
            _of_helper(table.get(name), names) for table, names in zip(helpers, offered, strict=True)]),
        "", "## Kernel functions", "", *_table(
            sorted(set().union(*(set(table) | dialect.unmodelled for table, dialect in kfuncs))),
            lambda name: [_of_kfunc(table.get(name), name, dialect) for table, dialect in kfuncs])]
    return "\n".join(parts) + "\n"


def _names(tables: Iterable[dict[str, MapType]] | Iterable[dict[str, Helper]]) -> list[str]:
    """Return all names in the order of their numbers."""
    return [name for name in dict.fromkeys(name for table in tables for name in table) if name != "unspec"]


def _table(names: list[str], cells: Callable[[str], list[str]]) -> list[str]:
    head = " | ".join(_KERNELS)
    rows = [f"| `{name}` | {' | '.join(cells(name))} |" for name in names]
    return [f"| | {head} |", "|---" * (1 + len(_KERNELS)) + "|", *rows]
