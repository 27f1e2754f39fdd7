"""Names of the kernel's structs.

A kptr to a struct of such a name points to the kernel's struct, whatever the program declares, because
btf_find_btf_id of btf_parse_kptr looks there first. The list depends on a kernel's configuration.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ebpfvm.dialects.kernel_types import names_by_letter
from ebpfvm.dialects.offers import OFFERS

# Structs with a destructor (register_btf_id_dtor_kfuncs); a map can own only these. nf_conn's comes with its module.
DESTRUCTORS: Final = frozenset({"bpf_cpumask", "bpf_crypto_ctx", "cgroup", "nf_conn", "sk_buff", "task_struct"})


@cache
def struct_names(version: tuple[int, int]) -> frozenset[str]:
    """Return the names of all structs of a kernel version."""
    return (OFFERS[version].destructors or DESTRUCTORS).union(names_by_letter(version)["s"])
