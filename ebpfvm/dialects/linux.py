"""Mainline Linux: 7.2, and the differences of other versions."""

from __future__ import annotations

from functools import cache, partial

from ebpfvm.contract import Dialect
from ebpfvm.contract.rules import rules_of
from ebpfvm.dialects import helpers, kfuncs, maptypes, progtypes
from ebpfvm.dialects.kernel_config import kernel_config
from ebpfvm.dialects.kernel_types import kernel_names, kernel_types
from ebpfvm.dialects.offers import OFFERS
from ebpfvm.dialects.struct_names import DESTRUCTORS, struct_names
from ebpfvm.dialects.struct_ops import STRUCT_OPS

# Since 6.4 "kptr" means a referenced pointer (commit cb4158ce8ec8); before, "kptr_ref" did.


def linux(version: tuple[int, int] = (7, 2)) -> Dialect:
    """Return the dialect of a version of mainline Linux.

    Raises:
        UsageError: the rules of this version are not known.
    """
    rules_of(version)
    return _linux(version)


@cache
def _linux(version: tuple[int, int]) -> Dialect:
    rules, offers = rules_of(version), OFFERS[version]
    structs = {name: item for name, item in STRUCT_OPS.items() if name not in offers.lacks_structs}
    return Dialect("linux", rules, helpers.offered(offers), kfuncs.offered(offers, rules), maptypes.offered(offers),
                   progtypes.offered(offers), partial(kernel_types, version),
                   partial(struct_names, version), offers.destructors or DESTRUCTORS, offers.unmodelled,
                   partial(kernel_names, version), kernel_config(version), struct_ops=structs,
                   absent_ops=offers.lacks_structs, absent_kfuncs=kfuncs.absent(offers),
                   absent_types=offers.lacks_types)
