"""Check the lists of a kernel against each other; see `ebpfvm.dialects.check`.

Each declaration has already been checked on its own (`ebpfvm.contract`). This module checks pairs: a number and its
function, a map type and the helpers that accept it, a program type and the functions that it may call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.dialects.offers import OFFERS
from ebpfvm.errors import InternalError
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ebpfvm.contract import Dialect, Helper, ProgType
    from ebpfvm.dialects.offers import Offers


class Declared(NamedTuple):
    """The names of everything that the files of ebpfvm declare, and of the helpers that no program type may have."""

    helpers: frozenset[str]
    kfuncs: frozenset[str]
    map_types: frozenset[str]
    offered_to_nobody: frozenset[str] = frozenset()


def check(dialects: Iterable[Dialect], declared: Declared) -> None:
    """Raise InternalError if the lists contradict each other, or a declaration is in none of them."""
    kernels = tuple(dialects)
    _used("helper", declared.helpers, (item.name for kernel in kernels for item in kernel.helpers.values()),
          "it has no number: put its name into ebpfvm/dialects/helpers.py")
    _used("map type", declared.map_types, (item.name for kernel in kernels for item in kernel.map_types.values()),
          "it has no number: put its name into ebpfvm/dialects/maptypes.py")
    _used("kfunc", declared.kfuncs, (name for kernel in kernels for name in kernel.kfuncs),
          "no kernel has it: see ebpfvm/dialects/kfuncs.py")
    offered = frozenset[str]().union(*(kind.helpers.union(*kind.attach_helpers.values())
                                       for kernel in kernels for kind in kernel.prog_types.values()))
    _used("helper", declared.helpers - declared.offered_to_nobody, offered,
          "no program type may call it: put its name into one of the sets of ebpfvm/dialects/helpers.py")
    for name in sorted(offered & declared.offered_to_nobody):
        raise InternalError(f"helper {name} is offered to a program type, and to nobody (ebpfvm/dialects/helpers.py)")
    for version, offers in OFFERS.items():
        _differences(f"Linux {version[0]}.{version[1]} (ebpfvm/dialects/offers.py)", offers, declared)
    for kernel in kernels:
        for name in sorted(kernel.unmodelled & set(kernel.kfuncs)):
            raise InternalError(f"kfunc {name} is declared, and ebpfvm/dialects/unmodelled.py says it is not modelled")
        by_name = {item.name: item for item in kernel.helpers.values()}
        _maps(kernel, by_name)
        for kind in kernel.prog_types.values():
            _callable(kernel, kind, by_name)


def _differences(version: str, offers: Offers, declared: Declared) -> None:
    """Raise InternalError if the differences of a version name something that is not declared."""
    for name in sorted((offers.lacks | offers.without_code) - declared.kfuncs):
        raise InternalError(f"{version} names kfunc {name}, and no file in ebpfvm/funcs declares it")
    for name in sorted({*offers.helper_args, *offers.helper_results} - declared.helpers):
        raise InternalError(f"{version} names helper {name}, and no file in ebpfvm/funcs declares it")


def _used(what: str, names: Iterable[str], used: Iterable[str], otherwise: str) -> None:
    left = sorted(set(names) - set(used))
    if left:
        raise InternalError(f"{what} {left[0]} is declared, and {otherwise}")


def _maps(kernel: Dialect, helpers: Mapping[str, Helper]) -> None:
    """Check helpers that take a map against the map types that name them."""
    takers = {name for name, item in helpers.items() if any(spec.kind is Arg.CONST_MAP_PTR for spec in item.args)}
    taken: set[str] = set()
    for kind in kernel.map_types.values():
        taken |= kind.funcs
        for name in sorted(kind.funcs - takers):
            why = "takes no map" if name in helpers else "is no helper of this kernel"
            raise InternalError(f"map type {kind.name}: its 'funcs' list {name}, which {why} ({kernel.name})")
    for name in sorted(takers - taken):
        raise InternalError(f"helper {name} takes a map, and no map type lists it in its 'funcs' ({kernel.name})")


def _callable(kernel: Dialect, kind: ProgType, helpers: Mapping[str, Helper]) -> None:
    """Check the names of the functions that a program type may call."""
    listed = kind.helpers.union(*kind.attach_helpers.values(), kind.variants)
    for name in sorted(listed - set(helpers)):
        raise InternalError(f"program type {kind.name} may call {name}, which is no helper of {kernel.name}")
