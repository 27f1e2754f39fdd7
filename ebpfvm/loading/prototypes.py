"""Compare how a program declares a kernel function with the kernel's own prototype.

Source: bpf_object__resolve_ksym_func_btf_id and bpf_core_types_are_compat, tools/lib/bpf, Linux 7.2. Only kinds count:
a number is any number, and a struct is any struct, but one that is only declared (`struct sk_buff;`) is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Func, FuncProto, Kind, Ptr

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.kfunc import Kfunc, KfuncParam
    from ebpfvm.loader.object import Program

_KINDS = {"struct": Kind.STRUCT, "union": Kind.UNION, "enum": Kind.ENUM, "void": Kind.VOID, "func": Kind.FUNC_PROTO}
_UNCHECKED = frozenset({"prog", "ign"})  # what the kernel itself passes has changed its type


def mismatch(program: Program, kfunc: Kfunc) -> str:
    """Return which part of a program's prototype of a kernel function does not fit, "" if all of it does."""
    btf = program.btf
    number = btf.find(kfunc.name, Kind.FUNC) if btf is not None else None
    func = btf[number] if btf is not None and number else None
    proto = btf[func.type] if btf is not None and isinstance(func, Func) else None
    if btf is None or not isinstance(proto, FuncProto):
        return ""
    if len(proto.params) != len(kfunc.params):
        return f"it has {len(proto.params)} parameters, the kernel's {len(kfunc.params)}"
    pairs = [(item.type, param, f"parameter {at}") for at, (item, param) in
             enumerate(zip(proto.params, kfunc.params, strict=True), 1)]
    for type_id, param, what in (*pairs, (proto.return_type, kfunc.ret, "the result")):
        if not param.suffixes & _UNCHECKED and not _alike(btf, type_id, param):
            return f"{what} is of another kind than the kernel's {param.type}{' *' * bool(param.pointers)}"
    return ""


def _alike(btf: Btf, type_id: int, param: KfuncParam) -> bool:
    for _ in range(param.pointers):
        found = btf.resolved(type_id)
        if not isinstance(found, Ptr):
            return False
        type_id = found.type
    wanted = _KINDS.get(param.type.split(" ")[0], Kind.INT)
    kind = btf.resolved(type_id).kind
    return kind == wanted or {kind, wanted} == {Kind.ENUM, Kind.ENUM64}
