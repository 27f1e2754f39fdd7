"""Emit calls: helpers and kfuncs with arguments converted in advance where they are known, local functions, tail calls.

The contract determines what an argument becomes, as in `kernel.convert`; if nothing is known about an argument, the
converter of that module converts it at run time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract.args import Arg, Ret
from ebpfvm.engine import common
from ebpfvm.engine.steps import operand
from ebpfvm.engine.translate import emit_graph, emit_held, emit_maps, emit_objects
from ebpfvm.engine.translate.emit_keys import key_bytes
from ebpfvm.engine.translate.emit_memory import atom_value, constant_index
from ebpfvm.engine.translate.frame import extent
from ebpfvm.engine.translate.ranges import NumRange, PtrRange, slot_at
from ebpfvm.engine.translate.register_uses import argument_count
from ebpfvm.engine.translate.statements import assign, effect, effect_to
from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.convert import OBJECTS, converters, param_converter
from ebpfvm.kernel.emulated import FRAME_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc, KfuncParam
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row

_CUT = f" & {U64_MAX:#x}"
OF_FLOW: Final = "FLOW"  # what the names begin with of helpers whose result follows from the packet's flow
_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def emit(em: CodeWriter, row: Row, insn: Insn) -> None:
    """Emit the call at `em.pc`."""
    for register in range(6):
        em.swaps.pop(register, None)
    if row.op == "call_local":
        _local(em)
        return
    helper, kfunc = em.unit.helper(em.pc), em.unit.kfunc(em.pc)
    if helper is not None and helper.role == "tail_call":
        _tail(em)
    elif helper is not None and helper.body is not None:
        _helper(em, helper)
    elif kfunc is not None and kfunc.body is not None:
        _kfunc(em, kfunc)
    else:
        _missing(em, insn)


def _missing(em: CodeWriter, insn: Insn) -> None:
    """Emit a fault for a function without a body, or for none at all; it is raised when the function is called."""
    try:
        _, call = common.callee(em.unit.prog, insn)
    except Fault as fault:
        em.fail(fault)
        return
    em.names[f"H{em.pc}"] = call
    em.add(effect_to("r0", f"H{em.pc}(ENV)", em.pc))


def _local(em: CodeWriter) -> None:
    target = em.unit.target(em.pc)
    used = argument_count(em.unit, target)
    text = "".join(f", {em.reg(n).text}" for n in range(1, used + 1))
    em.calls = True
    em.add(effect_to("r0", f"f{target}(ticks{text})", em.pc))


def _tail(em: CodeWriter) -> None:
    em.calls = True
    em.names.update(TAIL=common.tail_call, NO_TAIL=common.NO_TAIL)
    args = ", ".join(em.reg(n).text for n in (1, 2, 3))
    em.add(assign(f"t_{em.pc}", f"TAIL(ENV, {args})", em.pc)._replace(pure=False))
    em.add(effect(f"if t_{em.pc} != NO_TAIL: return t_{em.pc}", em.pc))
    em.add(assign("r0", f"{common.NO_SUCH_PROGRAM:#x}", em.pc))


def _helper(em: CodeWriter, helper: Helper) -> None:
    if emit_graph.helper(em, helper):
        return
    pc, origin = em.pc, em.facts.defined.get(em.pc)
    if helper.tells_time:
        em.names["KERNEL"] = em.unit.prog.kernel
        em.add(assign("r0", "KERNEL.clock", pc))
        return
    em.calls |= not helper.bare and any(spec.kind in (Arg.PTR_TO_FUNC, Arg.PTR_TO_CTX) for spec in helper.args)
    if helper.map_op == "lookup" and origin is not None and emit_maps.find(em, helper, _argument):
        return
    if emit_maps.overwrite(em, helper, _argument) or emit_objects.swap(em, helper):
        return
    if origin is not None and origin.inner is not None and emit_maps.find_inner(em, helper, _argument):
        return
    text = emit_maps.operation(em, helper, _argument) or _exchange(em, helper)
    if text is None:
        args = "".join(f", {_argument(em, helper, n)}" for n in range(len(helper.args)))
        name = f"{OF_FLOW if helper.of_flow else ''}H{pc}"
        em.names[name] = helper.body
        text = f"{name}({'None' if helper.bare else 'ENV'}{args})"
    cut = _CUT if helper.ret.kind in (Ret.INTEGER, Ret.VOID) else ""
    if origin is None:
        em.add(effect_to("r0", text, pc, cut))
        return
    em.add(effect_to(f"b_{origin.name}", text, pc, cut))
    em.describe(origin)
    em.set(0, operand(f"b_{origin.name}"))


def _exchange(em: CodeWriter, helper: Helper) -> str | None:
    """Return the call of bpf_kptr_xchg on a slot whose region is known."""
    slot = em.state.regs[1]
    if helper.role != "kptr_xchg" or not isinstance(slot, PtrRange):
        return None
    if slot.origin.kind != "plain" or slot.lo != slot.hi:
        return None
    em.names["EXCHANGE"] = em.unit.prog.kernel.exchange
    return f"EXCHANGE(g_{slot.origin.name}, {constant_index(slot.origin, slot.lo)}, {em.reg(2).text})"


def _argument(em: CodeWriter, helper: Helper, n: int) -> str:
    """Return helper argument `n`, converted."""
    spec, value = helper.args[n], em.state.regs[n + 1]
    convert = converters(helper.args)[n]
    if convert is None:
        return em.reg(n + 1).text
    if spec.kind is Arg.CONST_MAP_PTR:
        found = emit_maps.object_name(em, value)
        if found is not None:
            return found
    area = extent(em.unit, helper.args, n, em.state)
    if area is not None and area.copied:
        if isinstance(value, NumRange) and value.lo == value.hi == 0 and spec.maybe_null:
            return "b''"
        may_be_null = spec.maybe_null and not (isinstance(value, PtrRange) and not value.origin.maybe_null)
        text = _copy(em, value, area.size) if not may_be_null else None
        if text is not None:
            return text
    if spec.kind is Arg.PTR_TO_CTX and isinstance(value, PtrRange) and not value.lo and not value.hi \
            and value.origin.kind == "object":
        return f"o_{value.origin.name}"
    # The converter of a key or value needs the map too, that of memory the size after it.
    needed = {n, n + 1} | {i for i, other in enumerate(helper.args) if other.kind is Arg.CONST_MAP_PTR}
    return _convert(em, convert, n, {n} if spec.kind in (Arg.CONST_MAP_PTR, Arg.PTR_TO_CTX) else needed)


def _convert(em: CodeWriter, convert: Callable[..., Any], n: int, needed: set[int]) -> str:
    """Return the run-time conversion of argument `n` (from 0) by a converter that reads the arguments in `needed`."""
    em.names[f"C{em.pc}_{n}"] = convert
    regs = ", ".join(em.reg(i + 1).text if i in needed else "0" for i in range(5))
    return f"C{em.pc}_{n}(ENV, ({regs}))"


def _copy(em: CodeWriter, value: object, size: int) -> str | None:
    """Return `size` bytes at a known place as a `bytes`; None if run-time conversion is needed."""
    if not size:
        return "b''"
    if not isinstance(value, PtrRange) or value.origin.layout is not None:
        return None
    origin = value.origin
    if value.lo != value.hi:
        return None
    if origin.kind == "key":
        return key_bytes(em, value, size)
    if origin.kind == "fp":
        return _packed(em, slot_at(value), size)
    if origin.shape is not None or origin.checked:
        return f"g_{origin.name}.read({constant_index(origin, value.lo)}, {size})"
    if origin.start is None:
        return f"bytes(d_{origin.name}[i_{origin.name} + {value.lo}:i_{origin.name} + {value.lo + size}])"
    data = f"D{origin.region.id}" if origin.kind == "const" else f"d_{origin.name}"
    return f"bytes({data}[{origin.start + value.lo}:{origin.start + value.lo + size}])"


def _packed(em: CodeWriter, off: int, size: int) -> str:
    """Return bytes of the frame, gathered from the variables of its slots, or sliced from its memory."""
    slots = [slot for slot in em.frame.atoms if off <= slot[0] < off + size]
    if not slots and em.frame.memory and off >= -FRAME_SIZE:
        return f"bytes(d_f[{512 + off}:{512 + off + size}])"
    layout, values, at = "<", [], off
    for start, width in slots:
        layout += f"{start - at}x" * (start > at) + _FORMATS[width]
        values.append(atom_value(em, (start, width)))
        at = start + width
    layout += f"{off + size - at}x" * (at < off + size)
    consts = [value.const for value in values]
    if all(const is not None for const in consts):
        # By name, because bytes of a program in the text could look like one of the translator's names.
        name = f"BYTES_{em.pc}_{-off}"
        em.names[name] = struct.pack(layout, *consts)
        return name
    name = f"PACK_{layout[1:]}"
    em.names[name] = struct.Struct(layout).pack
    return f"{name}({', '.join(value.text for value in values)})"


def _kfunc(em: CodeWriter, kfunc: Kfunc) -> None:
    if emit_objects.count(em, kfunc) or emit_graph.kfunc(em, kfunc):
        return
    pc, origin = em.pc, em.facts.defined.get(em.pc)
    em.calls = True
    args = "".join(f", {_parameter(em, param, n)}" for n, param in enumerate(kfunc.params))
    em.names[f"H{pc}"] = kfunc.body
    text = f"H{pc}(ENV{args})"
    if origin is None:
        em.add(effect_to("r0", text, pc, _CUT))
        return
    em.add(effect_to(f"b_{origin.name}", text, pc))
    em.describe(origin)
    em.set(0, operand(f"b_{origin.name}"))


def _parameter(em: CodeWriter, param: KfuncParam, n: int) -> str:
    convert = param_converter(param, n)
    if convert is None:
        return em.reg(n + 1).text
    value = em.state.regs[n + 1]
    held = emit_held.argument(em, n + 1)
    if held is not None and param.pointers == 1 and param.struct in OBJECTS:
        return held
    if param.pointers == 1 and param.struct in OBJECTS and isinstance(value, PtrRange) \
            and value.origin.kind == "object" and not value.lo and not value.hi:
        return f"o_{value.origin.name}"
    return _convert(em, convert, n, {n})
