"""BTF (BPF Type Format) as data: the types of an object.

`parse` reads the `.BTF` section (and a kernel's own types), `parse_ext` the `.BTF.ext` section. `Btf` answers queries,
`special_fields` finds kptrs, locks and the like in a type, and `encode` and `BtfBuilder` write BTF. The records are in
`ebpfvm.btf.types`, CO-RE matching in `core`, C output in `c_declarations`.
"""

from __future__ import annotations

from ebpfvm.btf.encode import BtfBuilder, encode
from ebpfvm.btf.ext import BtfExt, parse_ext
from ebpfvm.btf.fields import BtfRecord, Field, record_of, special_fields
from ebpfvm.btf.parse import parse
from ebpfvm.btf.types import Btf, Kind, Linkage

__all__ = ["Btf", "BtfBuilder", "BtfExt", "BtfRecord", "Field", "Kind", "Linkage", "encode", "parse", "parse_ext",
           "record_of", "special_fields"]
