"""Convert registers to the arguments of a body, according to its contract; both engines use this conversion.

`helper_call` and `kfunc_call` inspect a contract once and return a function of the environment and five numbers, so
that a call at run time costs a few conversions and no decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract.args import Arg, ArgSpec
from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.ctx import SchBpfCtx
from ebpfvm.kernel.skb import SkBuff, XdpBuff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc, KfuncParam
    from ebpfvm.kernel.call_env import CallEnv

    Regs = Sequence[int]
    Converter = Callable[[CallEnv, Regs], Any]
    Call = Callable[..., int]

# Structs that Python objects represent.
OBJECTS: Final = frozenset({"sk_buff", "__sk_buff", "xdp_buff", "xdp_md", "bpf_map", "Qdisc", "net_device"})
# The classes that a body accepts unless it takes any context (`ArgSpec.object`, or the struct of a kfunc's parameter).
_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "skb": (SkBuff,), "xdp": (XdpBuff,), "packet": (SkBuff, XdpBuff), "sk_buff": (SkBuff,), "__sk_buff": (SkBuff,),
    "xdp_buff": (XdpBuff,), "xdp_md": (XdpBuff,)}
_SCALARS: Final = {"u8": (8, False), "u16": (16, False), "u32": (32, False), "unsigned int": (32, False),
                   "s8": (8, True), "s16": (16, True), "s32": (32, True), "int": (32, True), "bool": (8, False)}


def context_object(env: CallEnv, ptr: int) -> Any:
    """Return the object of a context pointer; for a `SchBpfCtx`, its packet, which is what helpers need.

    Raises:
        Fault: the pointer is NULL, or does not point to a context.
    """
    region = env.memory.region(ptr)
    context: Any = env.ctx  # None in a fused run, whose packets come without one
    if context is not None and region is context.region and region.owner is None:
        return context
    found = env.memory.owner(ptr)
    if isinstance(found, SchBpfCtx):
        found = found.packet
    if found is None:
        raise Fault("memory", f"{ptr:#x} points to {region}, where a context or kernel object is needed")
    return found


def _context_converter(i: int, kind: str, nullable: bool) -> Converter:
    """Return a converter for a pointer to a context or kernel object; `kind` says what it must be (`_CLASSES`)."""
    classes = _CLASSES.get(kind)

    def convert(env: CallEnv, r: Regs) -> Any:
        if nullable and not r[i]:
            return None
        found = context_object(env, r[i])
        if classes is not None and not isinstance(found, classes):
            raise Fault("memory", f"{r[i]:#x} points to {env.memory.region(r[i])}, where a packet is needed")
        return found
    return convert


def map_object(env: CallEnv, ptr: int) -> Any:
    """Return the map that a map pointer refers to.

    Raises:
        Fault: it is not a map.
    """
    region = env.memory.region(ptr)
    if region.kind != "map" or ptr != region.base:
        raise Fault("memory", f"{ptr:#x} points to {region}, not to a map")
    return region.owner


def converters(args: Sequence[ArgSpec]) -> list[Converter | None]:
    """Return a converter for each argument, None if the register is passed unchanged."""
    maps = [index for index, spec in enumerate(args) if spec.kind is Arg.CONST_MAP_PTR]
    return [_converter(args, index, maps[0] if maps else None) for index in range(len(args))]


def _converter(args: Sequence[ArgSpec], i: int, map_index: int | None) -> Converter | None:
    spec = args[i]
    kind = spec.kind
    if kind is Arg.CONST_MAP_PTR:
        return lambda env, r: map_object(env, r[i])
    if kind is Arg.PTR_TO_CTX:
        return _context_converter(i, spec.object, spec.maybe_null)
    if kind in (Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE) and map_index is not None and not spec.uninit:
        m = map_index
        if kind is Arg.PTR_TO_MAP_KEY:
            return lambda env, r: env.memory.read(r[i], map_object(env, r[m]).key_size)
        if spec.maybe_null:
            return lambda env, r: env.memory.read(r[i], map_object(env, r[m]).value_size) if r[i] else b""
        return lambda env, r: env.memory.read(r[i], map_object(env, r[m]).value_size)
    if kind is Arg.PTR_TO_MEM and not spec.write and not spec.uninit:
        return _bytes_converter(args, i)
    return None


def _bytes_converter(args: Sequence[ArgSpec], i: int) -> Converter | None:
    spec = args[i]
    if spec.size:
        n = spec.size
        return lambda env, r: env.memory.read(r[i], n) if r[i] or not spec.maybe_null else b""
    if i + 1 < len(args) and args[i + 1].kind in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO):
        return lambda env, r: env.memory.read(r[i], r[i + 1]) if r[i] or not spec.maybe_null else b""
    return None


def helper_call(helper: Helper) -> Call:
    """Return `call(env, r1, r2, r3, r4, r5) -> r0` for a helper; calling one without a body is a Fault."""
    body = helper.body
    if body is None:
        return _unsupported(f"helper {helper.name}")
    return _bind(body, converters(helper.args))


def kfunc_call(kfunc: Kfunc) -> Call:
    """Return `call(env, r1, r2, r3, r4, r5) -> r0` for a kfunc; calling one without a body is a Fault."""
    body = kfunc.body
    if body is None:
        return _unsupported(f"kfunc {kfunc.name}")
    return _bind(body, [param_converter(param, index) for index, param in enumerate(kfunc.params)])


def param_converter(param: KfuncParam, i: int) -> Converter | None:
    """Return the converter of a kfunc's parameter `i` (from 0), None if the register is passed unchanged."""
    if param.pointers == 1 and param.struct in OBJECTS:
        return _context_converter(i, param.struct, param.struct not in _CLASSES or "nullable" in param.suffixes)
    if param.pointers == 0 and param.type in _SCALARS:
        bits, signed = _SCALARS[param.type]
        mask, sign = (1 << bits) - 1, 1 << bits - 1 if signed else 0
        return lambda env, r: ((r[i] & mask) ^ sign) - sign
    return None


def _unsupported(what: str) -> Call:
    def call(env: CallEnv, *regs: int) -> int:
        raise Fault("unsupported", f"{what} is not supported by ebpfvm at run time")
    return call


def _bind(body: Callable[..., int], conv: list[Converter | None]) -> Call:
    """Return a closure for the shape of the arguments: most bodies take few, and many take only numbers."""
    n = len(conv)
    if not any(conv):
        return _bind_numbers(body, n)

    def call(env: CallEnv, *r: int) -> int:
        return body(env, *[r[i] if c is None else c(env, r) for i, c in enumerate(conv)]) & U64_MAX
    return call


def _bind_numbers(body: Callable[..., int], n: int) -> Call:
    if n == 0:
        return lambda env, *r: body(env) & U64_MAX
    if n == 1:
        return lambda env, a, *r: body(env, a) & U64_MAX
    if n == 2:
        return lambda env, a, b, *r: body(env, a, b) & U64_MAX
    return lambda env, *r: body(env, *r[:n]) & U64_MAX
