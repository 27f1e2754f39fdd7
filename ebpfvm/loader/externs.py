"""What an object expects from the kernel: kfuncs, kernel symbols and configuration values.

The loader does not depend on a kernel. So kfuncs and symbols only get numbers here, in libbpf's order (`cmp_externs`,
tools/lib/bpf/libbpf.c, 7.2), and configuration values a place in the read-only map `.kconfig`. `ebpfvm.loading`
resolves the names and fills the map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.loader.data import BPF_F_RDONLY_PROG, KCONFIG, internal_name
from ebpfvm.loader.map_definitions import MapDef
from ebpfvm.loader.object import MapSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.elf import Elf
    from ebpfvm.loader.map_definitions import MapTable

_TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate


@dataclass(frozen=True, slots=True)
class Externs:
    """The undefined symbols of an object.

    Attributes:
        ids: name -> number, starting at 1.
        weak: names that may stay unresolved.
        described: names that BTF describes in `.ksyms`.
        kconfig: name -> byte offset in the map `.kconfig`.
        kconfig_map: key of that map in the object's map table.
    """

    ids: Mapping[str, int]
    weak: frozenset[str]
    described: frozenset[str]
    kconfig: Mapping[str, int]
    kconfig_map: str = ""


def collect_externs(elf: Elf, btf: Btf | None, object_name: str, config: Mapping[str, int | str],
                    table: MapTable) -> Externs:
    """Assign numbers to the undefined symbols, and add the map `.kconfig` to `table` if the object needs it.

    Args:
        btf: the BTF that `layout_kconfig` returned.

    Raises:
        UsageError: a value of `config` does not fit its variable.
    """
    undefined = {s.name: s for s in elf.symbols if s.section == 0 and s.name and s.bind != "LOCAL"}
    weak = frozenset(name for name, symbol in undefined.items() if symbol.bind == "WEAK")
    if btf is None:
        return Externs(_numbered(undefined), weak, frozenset(), {})
    described = frozenset(btf[info.type].name for info in _rows(btf, ".ksyms"))
    sec_id = btf.find(KCONFIG, t.Kind.DATASEC)
    if sec_id is None:
        return Externs(_numbered(undefined), weak, described, {})
    datasec = btf[sec_id]
    assert isinstance(datasec, t.Datasec)
    for info in datasec.vars:
        var = btf[info.type]
        if isinstance(var, t.Var) and var.name in config:
            put_value(btf, var, info.size, config[var.name])  # so that a bad value is reported at once
    key = internal_name(object_name, KCONFIG)
    spec = MapSpec("array", 4, datasec.size, 1, BPF_F_RDONLY_PROG, key, btf=btf, value_type=sec_id,
                   data=bytes(datasec.size))
    table.add(MapDef(key, spec, -1, 0, datasec.size))
    places = {btf[info.type].name: info.offset for info in datasec.vars}
    return Externs(_numbered(undefined, places), weak, described, places, key)


def _numbered(undefined: Iterable[str], kconfig: Iterable[str] = ()) -> dict[str, int]:
    """Return numbers starting at 1: configuration values by their offset, then all others by name."""
    first = [name for name in kconfig if name in undefined]
    return {name: number for number, name in enumerate([*first, *sorted({*undefined} - {*first})], 1)}


def layout_kconfig(btf: Btf) -> Btf:
    """Return the BTF with the size and the offsets of `.kconfig`, which no ELF section provides.

    Raises:
        LoadError: a configuration variable has no size.
    """
    sec_id = btf.find(KCONFIG, t.Kind.DATASEC)
    return btf if sec_id is None else btf.replaced({sec_id: _layout(btf)})


def _rows(btf: Btf, section: str) -> tuple[t.SecInfo, ...]:
    sec_id = btf.find(section, t.Kind.DATASEC)
    found = btf[sec_id] if sec_id is not None else None
    return found.vars if isinstance(found, t.Datasec) else ()


def _layout(btf: Btf) -> t.Datasec:
    """Return `.kconfig` with offsets, sorted by widest alignment, then smallest size, then name."""
    rows = []
    for info in _rows(btf, KCONFIG):
        var = btf[info.type]
        if not isinstance(var, t.Var):
            raise LoadError(f"BTF type {info.type} is not a variable", section=KCONFIG)
        size = btf.size_of(var.type)
        if size > 4096:
            raise LoadError(f"a configuration value of {size} bytes makes no sense", section=KCONFIG, symbol=var.name)
        rows.append((-btf.align_of(var.type), size, var.name, info.type))
    offset, placed = 0, []
    for negated, size, _, type_id in sorted(rows):
        offset += -offset % -negated
        placed.append(t.SecInfo(type_id, offset, size))
        offset += size
    return t.Datasec(KCONFIG, offset, tuple(placed))


def put_value(btf: Btf, var: t.Var, size: int, value: int | str) -> bytes:
    """Return the bytes of one configuration value: a number, "y", "n", "m", or a string for a char array.

    Raises:
        UsageError: the variable cannot hold the value.
    """
    found = btf.resolved(var.type)
    if isinstance(found, t.Array) and isinstance(value, str):
        return value.strip('"').encode()[:size - 1].ljust(size, b"\0") if size else b""
    if isinstance(value, str) and value in _TRISTATE:
        is_char = isinstance(found, t.Int) and found.size == 1 and not found.is_bool
        value = ord(value) if is_char else _TRISTATE[value]
    try:
        return int(value).to_bytes(size, "little", signed=int(value) < 0)
    except (ValueError, OverflowError):
        raise UsageError(f"the value {value!r} does not fit {var.name}, which has {size} bytes") from None
