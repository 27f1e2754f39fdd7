"""`prepare`: fill in everything in a program that depends on the kernel, as libbpf does when it loads a program.

A type that the kernel lacks is not an error yet: the instruction becomes a call of a helper that no kernel has, and the
program is only rejected if a path leads there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ebpfvm.btf import loadable
from ebpfvm.btf.fields import FieldRules
from ebpfvm.btf.local_structs import refused_struct
from ebpfvm.btf.ownership import owns_itself
from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import dataclass, field, fields, replace
from ebpfvm.loader.object import Program
from ebpfvm.loading import kconfig_values, names
from ebpfvm.loading.known import KernelNames
from ebpfvm.loading.mapspecs import complaints, fit_map, unfreeable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo, MapSpec
    from ebpfvm.loading.poison import Poison


@dataclass(frozen=True, slots=True)
class Prepared(Program):
    """A program as the kernel receives it.

    Attributes:
        source: the program that it was prepared from.
        dialect: the kernel that it was prepared for.
        poisoned: slot -> why it must not be reached.
        kernel_ids: whether BTF ids of kernel types in its instructions refer to `dialect.types`.
        notes: assumptions that were made, one sentence each.
    """

    source: Program | None = None
    dialect: Dialect | None = None
    poisoned: Mapping[int, Poison] = field(default_factory=dict)
    kernel_ids: bool = False
    notes: tuple[str, ...] = ()

    def line_at(self, pc: int) -> LineInfo | None:
        """Return the C line that slot `pc` came from, or None; it is known even if the kernel gets no line info."""
        return Program.line_at(self if self.source is None else self.source, pc)


_FIELDS = tuple(item.name for item in fields(Program))


def prepare(program: Program, dialect: Dialect) -> Prepared:
    """Return the program prepared for a kernel.

    Args:
        program: the program as the loader returns it. One that was prepared for this dialect is returned unchanged; one
            that was prepared for another dialect is prepared again from its source.
        dialect: the kernel.

    Raises:
        LoadError: a relocation is malformed, does not fit its instruction, or is ambiguous.
        UsageError: a given configuration value does not fit its variable.
    """
    if isinstance(program, Prepared):
        if program.dialect is dialect:
            return program
        program = _again(program)
    known = KernelNames(dialect)
    notes: list[str] = []
    insns = list(program.insns)
    poisoned = _relocated(program, insns, known) if program.core_relos else {}
    names.bind(program, insns, known)
    parts = {name: getattr(program, name) for name in _FIELDS}
    parts |= {"insns": tuple(insns), "core_relos": (), "maps": kconfig_values.fill(program, dialect, notes)}
    parts["maps"] = tuple(fit_map(spec, dialect) for spec in parts["maps"])
    notes.extend(complaints(parts["maps"]))
    fields = FieldRules(dialect.rules.several_tags, dialect.rules.one_of_each)
    refused = _refusal(program.btf, fields, dialect) if program.btf is not None else ""
    records = program.btf is not None and dialect.rules.fields_at_any_depth
    circle = owns_itself(program.btf, dialect.rules.owns_through_kptrs, fields) if records else ""
    if circle and not refused:
        refused = f"struct {circle} could own itself, which is ELOOP: no object that owns itself would ever be freed"
    owned = unfreeable(parts["maps"], dialect) if dialect.rules.fields_at_any_depth else ""
    if owned and not refused:
        refused = f"a map would own a struct {owned}, which the kernel cannot free"
    if refused and program.type == "struct_ops":
        raise LoadError(f"the kernel refuses the object's types: {refused}; struct_ops programs are not loaded without "
                        "types", path=program.path or None)
    if refused:
        parts |= {"btf": None, "func_info": (), "line_info": (), "maps": tuple(map(_without_types, parts["maps"]))}
        notes.append(f"the kernel refuses the object's types ({refused}), so it is loaded without them")
    return Prepared(**parts, source=program, dialect=dialect, poisoned=poisoned, kernel_ids=bool(program.core_relos),
                    notes=tuple(notes))


def _refusal(btf: Btf, rules: FieldRules, dialect: Dialect) -> str:
    """Return why the kernel refuses an object's types, "" if it does not."""
    names = dialect.struct_names if dialect.rules.fields_at_any_depth else None
    return _well_formed(btf) or _local_structs(btf, rules, names, dialect.destructors)


@lru_cache(maxsize=64)
def _well_formed(btf: Btf) -> str:
    return loadable.why_not(btf)


@lru_cache(maxsize=64)
def _local_structs(btf: Btf, rules: FieldRules, names: Callable[[], frozenset[str]] | None,
                   destructors: frozenset[str]) -> str:
    if names is None:
        return ""
    return refused_struct(btf, rules, lambda name: name not in names() or name in destructors)


def _without_types(spec: MapSpec) -> MapSpec:
    inner = _without_types(spec.inner) if spec.inner is not None else None
    return replace(spec, btf=None, key_type=0, value_type=0, inner=inner)


def _relocated(program: Program, insns: list[Insn], known: KernelNames) -> dict[int, Poison]:
    from ebpfvm.loading.relocate import fit  # most objects for one kernel have no CO-RE records
    return fit(program, insns, known)


def _again(program: Prepared) -> Program:
    """Return the source with the changes made to the prepared program since (its type, other initial values)."""
    assert program.source is not None
    parts = {name: getattr(program, name) for name in _FIELDS}
    for name in ("insns", "core_relos", "btf", "func_info", "line_info"):
        parts[name] = getattr(program.source, name)
    return Program(**parts)


def notes_of(program: Program) -> tuple[str, ...]:
    """Return the assumptions that were made when a program was prepared."""
    return program.notes if isinstance(program, Prepared) else ()
