"""The number of bytes that a call reads or writes through a pointer to the stack.

Sources: bpf_helper_stack_access_bytes, bpf_kfunc_stack_access_bytes of kernel/bpf/verifier.c, Linux 7.2. Sizes are
positive for reads and negative for writes; 0 means that the argument is not followed, and UNKNOWN everything from there
to the end of the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind
from ebpfvm.contract.args import Arg
from ebpfvm.errors import LoadError
from ebpfvm.verifier.passes.const_regs import MAP, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract.args import ArgSpec
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc, KfuncParam
    from ebpfvm.verifier.machine.env import Env, Map
    from ebpfvm.verifier.passes.const_regs import Value

UNKNOWN = None
FRAME = 512
_DYNPTR = 16
_SIZES = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
_PLAIN = {"char": 1, "bool": 1, "u8": 1, "s8": 1, "u16": 2, "s16": 2, "int": 4, "unsigned int": 4, "u32": 4,
          "s32": 4, "long": 8, "unsigned long": 8, "u64": 8, "s64": 8, "__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8,
          "__s32": 4, "__s64": 8}


def of_helper(env: Env, helper: Helper | None, at: int, regs: Sequence[Value | None]) -> int | None:
    """Return the bytes that a helper accesses through argument `at`.

    Args:
        helper: None for one that the program type does not have.
        at: number of the register, 1 to 5.
        regs: what is known about the registers at the call.
    """
    if helper is None:
        return UNKNOWN
    if at > len(helper.args):
        return UNKNOWN
    spec = helper.args[at - 1]
    if spec.kind in (Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
        size: int | None = _of_map(env, helper, at, spec, regs)
    elif spec.kind is Arg.PTR_TO_MEM:
        size = spec.size or _of_memory(helper, at, spec, regs)
    elif spec.kind is Arg.PTR_TO_DYNPTR:
        size = _DYNPTR
    else:
        # The context of a callback: the helper does not look at it, and the callback is analysed separately.
        size = 0 if spec.kind is Arg.PTR_TO_STACK else UNKNOWN
    return -size if size and spec.uninit else size


def _of_map(env: Env, helper: Helper, at: int, spec: ArgSpec, regs: Sequence[Value | None]) -> int | None:
    def size(used: Map) -> int:
        return used.key_size if spec.kind is Arg.PTR_TO_MAP_KEY else used.value_size

    which = next((index + 1 for index, item in enumerate(helper.args[:at - 1]) if item.kind is Arg.CONST_MAP_PTR), 0)
    value = regs[which] if which else None
    if value is not None and value[0] == MAP and 0 <= value[2] < len(env.maps):
        return size(env.maps[value[2]])
    sizes = [size(used) for used in env.maps] + [size(used.inner) for used in env.maps if used.inner is not None]
    return max(sizes, default=0) or UNKNOWN


def _of_memory(helper: Helper, at: int, spec: ArgSpec, regs: Sequence[Value | None]) -> int | None:
    if at >= len(helper.args) or helper.args[at].kind not in _SIZES:
        return UNKNOWN
    size = number(regs[at + 1])
    if size is not None:
        return size
    return 0 if spec.uninit else FRAME


def of_kfunc(env: Env, kfunc: Kfunc | None, at: int, regs: Sequence[Value | None]) -> int | None:
    """Return the bytes that a kfunc accesses through argument `at`."""
    if kfunc is None:
        return UNKNOWN
    if at > len(kfunc.params):
        return 0
    param = kfunc.params[at - 1]
    if not param.pointers:
        return 0
    behind = kfunc.params[at] if at < len(kfunc.params) else None
    if param.struct == "bpf_dynptr":
        size: int | None = _DYNPTR
    elif behind is not None and behind.suffixes & {"sz", "szk"}:
        size = number(regs[at + 1])
        if size is None:
            return FRAME
    else:
        size = _pointed_to(env, param)
    if size and ((at == 1 and "iter_new" in kfunc.flags) or "uninit" in param.suffixes):
        return -size
    return size


def _pointed_to(env: Env, param: KfuncParam) -> int | None:
    if param.pointers > 1:
        return 8
    if param.type in _PLAIN:
        return _PLAIN[param.type]
    if env.dialect.types is None or not param.struct:
        return UNKNOWN
    types = env.dialect.types()
    found = types.find(param.struct, Kind.STRUCT)
    try:
        return types.size_of(found) or UNKNOWN if found is not None else UNKNOWN
    except LoadError:
        return UNKNOWN
