"""What types does an object have? BTF (BPF Type Format) as data.

`parse` reads the `.BTF` section, `parse_ext` the `.BTF.ext` section, `Btf` answers questions.
The type records are in `ebpfvm.btf.types`.
"""

from ebpfvm.btf.ext import BtfExt, parse_ext
from ebpfvm.btf.parse import parse
from ebpfvm.btf.types import Btf, Kind, Linkage

__all__ = ["Btf", "BtfExt", "Kind", "Linkage", "parse", "parse_ext"]
