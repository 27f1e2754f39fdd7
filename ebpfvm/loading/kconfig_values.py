"""Values of `__kconfig` variables: the given value, that of the kernel, or 0.

Sources: bpf_object__read_kconfig_file and bpf_object__resolve_externs, tools/lib/bpf/libbpf.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Datasec, Var
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.data import KCONFIG
from ebpfvm.loader.externs import put_value

if TYPE_CHECKING:
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec, Program


def fill(program: Program, dialect: Dialect, notes: list[str]) -> tuple[MapSpec, ...]:
    """Return the program's maps, with the values of `.kconfig` filled in.

    Args:
        notes: receives a sentence for each variable that needs a value and has none.

    Raises:
        UsageError: a given value does not fit its variable.
    """
    return tuple(_filled(program, spec, dialect, notes) for spec in program.maps)


def _filled(program: Program, spec: MapSpec, dialect: Dialect, notes: list[str]) -> MapSpec:
    section = spec.btf[spec.value_type] if spec.btf is not None and spec.value_type else None
    if spec.btf is None or not isinstance(section, Datasec) or section.name != KCONFIG:
        return spec
    data = bytearray(section.size)
    values = {**dialect.config, **program.config}
    for info in section.vars:
        var = spec.btf[info.type]
        assert isinstance(var, Var)
        if var.name in values:
            data[info.offset:info.offset + info.size] = put_value(spec.btf, var, info.size, values[var.name])
        elif var.name not in program.weak:
            notes.append(f"no value is known for {var.name}, so it reads as 0; give one with --kconfig "
                         f"{var.name}=VALUE")
    return replace(spec, data=bytes(data))
