"""The vocabulary for declaring what a kernel offers: helpers, kfuncs, map types, program types, dialects.

Each of them is *one decorated object*: its typed signature is the verifier's contract, its body is the run time, and
its docstring is the documentation. Nothing registers itself globally: a dialect lists what it offers.

Whatever else the verifier and the engines must know is stated by an option or a role (`ebpfvm.contract.roles`); they
never test for a name. A declaration that contradicts itself is an error when its file is imported.
"""

from __future__ import annotations

from ebpfvm.contract.args import Arg, ArgSpec, Ret, RetSpec
from ebpfvm.contract.dialect import Dialect
from ebpfvm.contract.helper import Helper, contract_only, helper
from ebpfvm.contract.kfunc import Kfunc, KfuncParam, kfunc, kfunc_only
from ebpfvm.contract.maptype import MapType
from ebpfvm.contract.progtype import CtxField, ProgType

__all__ = ["Arg", "ArgSpec", "CtxField", "Dialect", "Helper", "Kfunc", "KfuncParam", "MapType", "ProgType", "Ret",
           "RetSpec", "contract_only", "helper", "kfunc", "kfunc_only"]
