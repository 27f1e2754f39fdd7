"""A dialect: what one kernel offers, under which numbers, and by which rules, as pure data; see `ebpfvm.dialects`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.offer_table import key_of, names_of
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, TypeVar

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.contract.ops import OpsStruct
    from ebpfvm.contract.progtype import ProgType
    from ebpfvm.contract.rules import Rules

    _T = TypeVar("_T", MapType, ProgType)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kernel offers.

    Attributes:
        name: "rfc6" or "linux".
        rules: the named differences from other kernels, and the version whose rules and messages apply.
        helpers: number -> helper.
        kfuncs: name -> kfunc.
        map_types: number -> map type.
        prog_types: number -> program type.
        types: returns the layouts of kernel structs, None if they are not known.
        struct_names: returns the names of all structs of the kernel, None if only those that kfuncs take are known.
        destructors: structs of the kernel that a map may own through a kptr, since the kernel knows how to free them.
        unmodelled: names of kfuncs that this kernel has and that are not in `kfuncs`.
        type_names: returns (kind, name) of all types and per-CPU variables of the kernel; None if `types` has them all
            (or nothing is known).
        struct_ops: structs of operations that programs may fill, by name.
        absent_ops: structs of operations that other versions of this kernel have.
        absent_kfuncs: kfuncs of other versions that neither this kernel nor a module of it has.
        absent_types: map types and program types of other versions.
        forward_kptrs: a kptr may point to a struct of the kernel that the object only declares.
        config: values of the `__kconfig` variables that programs may read: "CONFIG_HZ", "LINUX_KERNEL_VERSION".
    """

    name: str
    rules: Rules
    helpers: Mapping[int, Helper] = field(default_factory=dict)
    kfuncs: Mapping[str, Kfunc] = field(default_factory=dict)
    map_types: Mapping[int, MapType] = field(default_factory=dict)
    prog_types: Mapping[int, ProgType] = field(default_factory=dict)
    types: Callable[[], Btf] | None = None
    struct_names: Callable[[], frozenset[str]] | None = None
    destructors: frozenset[str] = frozenset()
    unmodelled: frozenset[str] = frozenset()
    type_names: Callable[[], Collection[tuple[int, str]]] | None = None
    config: Mapping[str, int | str] = field(default_factory=dict)
    forward_kptrs: bool = False
    struct_ops: Mapping[str, OpsStruct] = field(default_factory=dict)
    absent_ops: frozenset[str] = frozenset()
    absent_kfuncs: frozenset[str] = frozenset()
    absent_types: frozenset[str] = frozenset()

    @property
    def version(self) -> tuple[int, int]:
        """The version of Linux whose rules and messages apply."""
        return self.rules.version

    def map_type(self, type: str | int) -> MapType:
        """Return the map type of a name or number.

        Raises:
            UsageError: this dialect has no such type.
        """
        self._exists(type, "map type")
        return _find(self.map_types, type, "map type", self.name)

    def prog_type(self, type: str | int) -> ProgType:
        """Return the program type of a name or number.

        Raises:
            UsageError: this dialect has no such type.
        """
        self._exists(type, "program type")
        return _find(self.prog_types, type, "program type", self.name)

    def _exists(self, type: str | int, what: str) -> None:
        """Raise UsageError for a type that only other versions of this kernel have."""
        if type in self.absent_types:
            raise UsageError(f"Linux {self.version[0]}.{self.version[1]} has no {what} {type}")

    def rules_for(self, type: str | int, place: tuple[str, str] | None) -> ProgType:
        """Return the program type of a name or number, for struct_ops as the member of a struct makes it.

        Args:
            place: struct and member that a program of struct_ops fills. The general type, which is not judged, is the
                answer for one that is not modelled.

        Raises:
            UsageError: this dialect has no such type.
        """
        found = self.prog_type(type)
        ops = self.struct_ops.get(place[0]) if place is not None and found.fills else None
        return ops.prog_type(found, place[1]) if ops is not None and place and place[1] in ops.members else found

    def helper(self, number: int, prog_type: ProgType | None = None, attach: str = "") -> Helper | None:
        """Return the helper of a number as a program type sees it, or None if the type or dialect does not offer it.

        Without a type, return the dialect's general contract.
        """
        found = self.helpers.get(number)
        if found is None or prog_type is None:
            return found
        if found.name not in prog_type.helpers and found.name not in prog_type.attach_helpers.get(attach, ()):
            return None
        return prog_type.variants.get(found.name, found)

    def kfunc_structs(self) -> frozenset[str]:
        """Return the names of the kernel structs that its kfuncs acquire or release."""
        return frozenset(param.struct for kfunc in self.kfuncs.values() if kfunc.flags & {"acquire", "release"}
                         for param in (*kfunc.params, kfunc.ret) if param.struct)

    def has_struct(self, name: str) -> bool:
        """Return whether a kptr to a struct of this name points to the kernel's struct, not to the program's."""
        if self.struct_names is not None:
            return name in self.struct_names()
        return name in self.destructors or name in self.kfunc_structs()

    def lacks_kfunc(self, name: str) -> bool:
        """Return whether this kernel is known to have no kfunc of that name."""
        return name not in self.kfuncs and name not in self.unmodelled

    def similar_kfunc(self, name: str) -> str:
        """Return the kfunc whose name is nearest to a misspelt one, "" if none is near."""
        from difflib import get_close_matches  # imported late, because few programs need it
        return next(iter(get_close_matches(name, self.kfuncs, n=1, cutoff=0.8)), "")

    def helper_id(self, name: str) -> int | None:
        """Return the number of a helper in this dialect, or None."""
        return key_of(self.helpers, name)

    def with_types(self, btf: Btf) -> Dialect:
        """Return the same dialect with all types of a kernel, instead of its own table."""
        return replace(self, types=lambda: btf, type_names=None)

    def derive(self, **changes: Any) -> Dialect:
        """Return the same dialect with some attributes replaced."""
        return replace(self, **changes)


def _find(table: Mapping[int, _T], key: str | int, what: str, dialect: str) -> _T:
    if isinstance(key, int):
        if key in table:
            return table[key]
        raise UsageError(f"{what} {key} is not known to dialect {dialect}")
    number = key_of(table, key)
    if number is not None:
        return table[number]
    names = ", ".join(sorted(names_of(table).values()))
    raise UsageError(f"{what} {key!r} is not known to dialect {dialect}; it has: {names}")
