"""Names of the kernel's structs. A kptr to a struct of such a name points to the kernel's, whatever the program says.

`struct_names.txt` has them as the BTF of Linux 6.18 and 7.2 lists them (btf_find_btf_id of btf_parse_kptr looks there
first). Which there are depends on a kernel's configuration; these two are built with most of what there is.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("struct_names.txt")
# Structs with a destructor (register_btf_id_dtor_kfuncs): only these may a map own. nf_conn's comes with its module.
DESTRUCTORS: Final = frozenset({"bpf_cpumask", "bpf_crypto_ctx", "cgroup", "nf_conn", "sk_buff", "task_struct"})


@cache
def struct_names(version: tuple[int, int]) -> frozenset[str]:
    """Return the names of all structs of a kernel version."""
    both, old, new = (line.split() for line in _FILE.read_text().splitlines()[1:])
    return frozenset(both) | frozenset(new if version >= (7, 0) else old) | DESTRUCTORS
