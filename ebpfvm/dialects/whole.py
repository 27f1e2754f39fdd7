"""Check everything that is declared: this imports all files of helpers, kfuncs and map types."""

from __future__ import annotations

from ebpfvm.contract.rules import DESCRIBED
from ebpfvm.dialects import consistency, helpers, kfuncs, maptypes, progtypes
from ebpfvm.dialects.built import BUILT, map_type
from ebpfvm.dialects.linux import linux
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.loader.sections import section_types


def check_all() -> None:
    """Raise InternalError if something is missing, declared twice or contradicts something else."""
    for name in helpers.NUMBERS.values():
        helpers.helper_named(name)
    kfuncs.check()
    for name in {**BUILT.all(), **dict.fromkeys(maptypes.NAMES.values())}:
        map_type(name)
    progtypes.check(progtypes.PROG_TYPES.values(), section_types())
    consistency.check((*map(linux, DESCRIBED), rfc6()), consistency.Declared(
        frozenset(helpers.BY_NAME.all()), frozenset(kfuncs.BY_NAME.all()), frozenset(BUILT.all()),
        helpers.OFFERED_TO_NOBODY))
