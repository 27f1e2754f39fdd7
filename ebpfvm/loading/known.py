"""What is known about a kernel's types and variables by name.

A dialect has the names of all types and the layouts of some; a BTF file has the layouts of all. So a type can be known
with its layout, known by name only, or known to be missing in that kernel.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind, Struct, Union

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.core_match import Target
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect

_NAMED = frozenset({Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.TYPEDEF, Kind.VAR})
_EITHER = {Kind.ENUM: (Kind.ENUM, Kind.ENUM64), Kind.ENUM64: (Kind.ENUM, Kind.ENUM64)}


class KernelNames:
    """The types and variables of a dialect's kernel, looked up by name."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    @cached_property
    def target(self) -> Target | None:
        """The types that programs are relocated to, None if the dialect has none."""
        return _target(self.dialect.types) if self.dialect.types is not None else None

    @property
    def whole(self) -> bool:
        """Whether all types of the kernel are known, as they are from a BTF file."""
        return self.dialect.types is not None and self.dialect.type_names is None

    def lacks(self, kind: Kind, name: str) -> bool:
        """Return whether this kernel is known to have nothing of this kind and name (without its flavour)."""
        from ebpfvm.btf.core_paths import essential_name
        name, kinds = essential_name(name), _EITHER.get(kind, (kind,))
        if self.dialect.type_names is not None:
            return kind in _NAMED and not any((each, name) in self.dialect.type_names() for each in kinds)
        if self.target is None:
            return False
        return not any(self.target.btf.find_all(name, each) for each in kinds)

    def hollow(self, candidate: int) -> bool:
        """Return whether the table only has the name of a type, and not its members."""
        assert self.target is not None
        found = self.target.btf[candidate]
        return not self.whole and isinstance(found, Struct | Union) and not found.members


@lru_cache(maxsize=8)
def _target(types: Callable[[], Btf]) -> Target:
    from ebpfvm.btf.core_match import Target  # nothing is matched for a program without CO-RE records
    return Target(types())
