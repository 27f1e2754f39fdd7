"""Kernel variables and functions that a program names.

Sources: check_pseudo_btf_id, kernel/bpf/verifier.c; weak externs as libbpf resolves them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind, Var, Void
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, known, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env

# Per-CPU variables, which are the only ones that the kernel's BTF has: name -> struct, or bytes of a number.
_PER_CPU: dict[str, str | int] = {"bpf_prog_active": 4, "runqueues": "rq"}


def value(env: Env, name: str) -> Reg | Refuse:
    """Return what a 64-bit load of the symbol yields, or a refusal."""
    btf = env.program.btf
    if btf is not None and btf.find(name, Kind.FUNC):
        if name in env.dialect.kfuncs:
            return pointer(r.MEM | r.RDONLY, 0)
        absent = name in env.program.weak and env.dialect.lacks_kfunc(name)
        return known(0) if absent else unsupported(f"kernel function {name}")
    number = btf.find(name, Kind.VAR) if btf is not None else None
    found = btf[number] if btf is not None and number else None
    if isinstance(found, Var) and btf is not None and isinstance(btf.resolved(found.type), Void):
        return UNKNOWN_SCALAR  # an address out of the symbol table, or 0
    what = _PER_CPU.get(name)
    if what is None:
        return known(0) if name in env.program.weak else unsupported(f"kernel symbol {name}")
    if isinstance(what, str):
        return pointer(r.BTF_ID | r.PERCPU, StructType(what))
    return pointer(r.BTF_ID | r.PERCPU, StructType("int"), aux=what)


def of_cpu(reg: Reg, flags: int) -> tuple[int, object, int]:
    """Return base type, struct or size, and flags of the result of bpf_per_cpu_ptr and bpf_this_cpu_ptr."""
    if reg.type & r.RCU:  # an object that the program allocated; this is one CPU's part
        return r.BTF_ID, reg.what, r.ALLOC | r.RCU
    if reg.aux:
        return r.MEM, reg.aux, flags
    return r.BTF_ID, reg.what, flags & ~r.RDONLY
