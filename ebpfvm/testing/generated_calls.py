"""Calls in random programs: helpers by their contracts, functions, callbacks, and objects that must be released."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.args import Arg, Ret
from ebpfvm.testing.builder import NUM, RegKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract import Dialect, Helper, ProgType
    from ebpfvm.contract.args import ArgSpec
    from ebpfvm.testing.writer import Writer

_BUFFER: Final = -128  # stack buffer for memory arguments
_SIZE: Final = 32
_DYNPTR: Final = -144
_KINDS: Final = frozenset({Arg.CONST_MAP_PTR, Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE, Arg.PTR_TO_MEM, Arg.CONST_SIZE,
                           Arg.CONST_SIZE_OR_ZERO, Arg.PTR_TO_CTX, Arg.ANYTHING, Arg.DONTCARE})
# Need more than their contract says: formats, a map of another type, or they end the program's business.
_LEFT_OUT: Final = frozenset({"bpf_trace_printk", "bpf_trace_vprintk", "bpf_snprintf", "bpf_tail_call",
                              "bpf_perf_event_output", "bpf_skb_under_cgroup", "bpf_dynptr_from_mem",
                              "bpf_map_lookup_elem", "bpf_strtol", "bpf_strtoul", "bpf_get_cgroup_classid"})
_MAPS_OF: Final = {"bpf_map_update_elem": (0, 1, 2, 6, 7), "bpf_map_delete_elem": (1, 7, 0, 6),
                   "bpf_map_push_elem": (3,), "bpf_map_pop_elem": (3,), "bpf_map_peek_elem": (3,),
                   "bpf_ringbuf_output": (4,), "bpf_ringbuf_query": (4,), "bpf_map_lookup_percpu_elem": (5,)}


def _offered(dialect: Dialect, type: ProgType) -> tuple[tuple[int, Helper], ...]:
    found = []
    for number, item in sorted(dialect.helpers.items()):
        item = type.variants.get(item.name, item)
        fits = item.body is not None and item.name in type.helpers and item.name not in _LEFT_OUT
        known = all(arg.kind in _KINDS for arg in item.args) and item.ret.kind in (Ret.INTEGER, Ret.VOID)
        maps = any(arg.kind is Arg.CONST_MAP_PTR for arg in item.args)
        if fits and known and (not maps or item.name in _MAPS_OF) and not item.might_sleep:
            found.append((number, item))
    return tuple(found)


_offers: dict[tuple[str, tuple[int, int], str], tuple[tuple[int, Helper], ...]] = {}  # saves repeated work


def offered(w: Writer) -> tuple[tuple[int, Helper], ...]:
    """Return the helpers that random programs call with arguments derived from the contract."""
    key = w.dialect.name, w.dialect.version, w.type.name
    if key not in _offers:
        _offers[key] = _offered(w.dialect, w.type)
    return _offers[key]


def helper(w: Writer) -> None:
    """Write a call of a helper with arguments that fit."""
    number, item = w.random.choice(offered(w))
    # The context of the RFC's qdisc is not a packet; pointers to packets take its place.
    wanted = RegKind("skb" if w.type.name == "qdisc" else "ctx")
    context = next((reg for reg in (6, 7, 8, 9) if w.known.regs.get(reg) == wanted), None)
    if context is None and any(arg.kind is Arg.PTR_TO_CTX for arg in item.args):
        return
    saved = [reg for reg in (7, 8, 9) if w.known.regs.get(reg, NUM).name == "num" and reg in w.known.regs]
    which = w.random.choice(_MAPS_OF.get(item.name, (0,)))
    for at, arg in enumerate(item.args, 1):
        _argument(w, at, arg, which, saved, context)
    w.call(number)
    if item.ret.kind is Ret.INTEGER:
        w.known.regs[0] = NUM
    if item.changes_packet:
        w.invalidate("pkt", "end")


def _argument(w: Writer, at: int, arg: ArgSpec, which: int, saved: Sequence[int], context: int | None) -> None:
    spec = w.shared.maps[which]
    if arg.kind is Arg.CONST_MAP_PTR:
        w.set64(at, which, 1)
    elif arg.kind is Arg.PTR_TO_CTX:
        assert context is not None
        w.mov(at, context)
    elif arg.kind in (Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
        _buffer(w, spec.key_size if arg.kind is Arg.PTR_TO_MAP_KEY else spec.value_size)
        w.address(at, _BUFFER)
    elif arg.kind is Arg.PTR_TO_MEM:
        _memory(w, at, arg)
    elif arg.kind in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO):
        w.set(at, w.random.choice((4, 8, 16, 20, _SIZE)))
        if saved and w.random.random() < 0.3:
            w.mov(at, w.random.choice(saved))
            w.emit(0x57, at, 0, 0, 15)
            w.emit(0x07, at, 0, 0, 1)
            w.known.regs[at] = NUM
    elif saved and w.random.random() < 0.5:
        w.mov(at, w.random.choice(saved))
    else:
        w.set(at, w.random.choice((0, 0, 1, 2, 8, 14, 16, 64, -1)))


def _buffer(w: Writer, size: int) -> None:
    """Initialise `size` bytes of the buffer."""
    numbers = w.holding("num")
    for off in range(_BUFFER, _BUFFER + max(size, 1), 4):
        if not numbers or w.random.random() < 0.8:
            w.emit(0x62, 10, 0, off, w.random.choice((0, 0, 1, 2, 0x01020304)))
        else:
            w.emit(0x63, 10, w.random.choice(numbers), off)
    for off in range(_BUFFER, _BUFFER + _SIZE, 8):
        w.known.slots.pop(off, None)


def _memory(w: Writer, at: int, arg: ArgSpec) -> None:
    base = w.pick("value", "mem")
    if base is not None and base > 5 and w.known.regs[base].room >= _SIZE and w.random.random() < 0.5:
        w.mov(at, base)
        return
    if not arg.uninit or w.random.random() < 0.5:
        _buffer(w, _SIZE)
    w.address(at, _BUFFER)
    if arg.uninit:
        for off in range(_BUFFER, _BUFFER + _SIZE, 8):
            w.known.slots.pop(off, None)


# -- functions ------------------------------------------------------------------------------------------------------


def _child(w: Writer) -> Writer:
    made = type(w)(w.random, w.dialect, w.type, w.attach, w.shared, w.depth + 1)
    made.nested = 2
    w.shared.functions.append(made)
    return made


def function(w: Writer) -> None:
    """Write a call of a function, usually a new one: with numbers, the context, a map value or memory of ours."""
    if w.depth >= (1 if w.type.name == "qdisc" else 2) or len(w.shared.functions) > 4:
        return
    made = _child(w)
    number = len(w.shared.functions) - 1
    for at in (1, 2, 3):
        choice = w.random.randrange(4)
        source = next((reg for reg in (6, 7, 8, 9) if reg in w.known.regs and w.random.random() < 0.5), None)
        if choice == 0 or source is None or w.known.regs[source].name not in ("ctx", "num", "value", "pkt", "mem"):
            _buffer(w, _SIZE)
            w.address(at, _BUFFER)
            made.known.regs[at] = RegKind("stack", _SIZE)
        else:
            w.mov(at, source)
            made.known.regs[at] = w.known.regs[source]
    context = next((at for at in (1, 2, 3) if made.known.regs[at].name == "ctx"), None)
    if context is not None:
        made.mov(6, context)
    made.steps(w.random.randrange(1, 5))
    if made.known.regs.get(0, RegKind("")).name != "num":
        made.set(0, w.random.choice((0, 1, 7)))
    made.emit(0x95)
    w.call(number, 1)
    w.known.regs[0] = NUM
    w.invalidate("pkt", "end")


def callback(w: Writer) -> None:
    """Write bpf_loop or bpf_for_each_map_elem with a function that changes our stack."""
    if w.depth >= 1 or len(w.shared.functions) > 4:
        return
    made = _child(w)
    number = len(w.shared.functions) - 1
    loop = w.random.random() < 0.6
    _buffer(w, _SIZE)
    if loop:
        w.set(1, w.random.choice((0, 1, 4, 20)))
        w.function(2, number)
        w.address(3, _BUFFER)
        w.set(4, 0)
        made.known.regs |= {1: NUM, 2: RegKind("stack", _SIZE)}
        made.mov(7, 2)
        made.known.locked |= {7}
    else:
        which = w.random.choice((0, 1, 2, 7))
        w.set64(1, which, 1)
        w.function(2, number)
        w.address(3, _BUFFER)
        w.set(4, 0)
        spec = w.shared.maps[which]
        made.known.regs |= {2: RegKind("mem", spec.key_size), 3: RegKind("value", spec.value_size, which),
                            4: RegKind("stack", _SIZE)}
        made.known.regs.pop(2)
        made.mov(7, 4)
        made.mov(8, 3)
        made.known.locked |= {7, 8}
    made.steps(w.random.randrange(1, 4))
    made.set(0, w.random.choice((0, 0, 0, 1)))
    made.emit(0x95)
    w.call(181 if loop else 164)
    w.known.regs[0] = NUM
    w.invalidate("pkt", "end")


# -- objects to be released -------------------------------------------------------------------------------------------


def ring(w: Writer) -> None:
    """Reserve a record, fill it and submit it."""
    if w.type.name == "qdisc" or w.depth or w.known.refs or w.nested > 1:
        return
    size = w.random.choice((8, 16, 40))
    w.set64(1, 4, 1)
    w.set(2, size)
    w.set(3, 0)
    w.call(131)
    keep = w.free(saved=True)
    w.mov(keep, 0)
    w.known.regs.pop(keep, None)
    at = w.emit(0x15, keep)

    def body() -> None:
        w.known.regs[keep] = RegKind("mem", size, w.shared.new())
        w.known.refs |= {w.known.regs[keep].of}
        w.known.locked |= {keep}
        for _ in range(w.random.randrange(1, 4)):
            w.random.choice((lambda: w.access(keep), w.alu, w.load, w.variable))()
        w.mov(1, keep)
        w.set(2, 0)
        serial = w.known.regs[keep].of
        w.known.locked -= {keep}
        w.call(w.random.choice((132, 133)))
        w.forget_ref(serial)
        w.known.regs.pop(keep, None)
    w.jump_over(at, body)
    w.known.regs.pop(keep, None)


def dynptr(w: Writer) -> None:
    """Create a dynptr of a map value, read it and write it."""
    base = w.pick("value")
    if base is None or base < 6 or w.known.regs[base].of not in (0, 2) or w.depth:
        return
    room = w.known.regs[base].room
    w.mov(1, base)
    w.set(2, w.random.choice((0, 4, room)))
    w.set(3, 0)
    w.address(4, _DYNPTR)
    w.call(197)
    w.known.regs[0] = NUM
    for off in (_DYNPTR, _DYNPTR + 8):
        w.known.slots.pop(off, None)
    if w.random.random() < 0.7:
        _buffer(w, 8)
        w.address(1, _BUFFER)
        w.set(2, 8)
        w.address(3, _DYNPTR)
        w.set(4, w.random.choice((0, 4, 100)))
        w.set(5, 0)
        w.call(201)
        w.known.regs[0] = NUM
    if w.random.random() < 0.5:
        w.address(1, _DYNPTR)
        w.set(2, 0)
        w.set(3, 4)
        w.call(203)
        w.null_check(RegKind("mem", 4))


def socket(w: Writer) -> None:
    """Look up a socket and release it."""
    context = 6 if w.known.regs.get(6, NUM).name == "ctx" else None
    if context is None or w.type.name == "qdisc" or "bpf_sk_lookup_tcp" not in w.type.helpers:
        return
    if w.depth or w.known.refs or w.nested > 1:
        return
    _buffer(w, 16)
    w.mov(1, context)
    w.address(2, _BUFFER)
    w.set(3, 12)
    w.set(4, -1)
    w.set(5, 0)
    w.call(w.random.choice((84, 85)))
    keep = w.free(saved=True)
    w.mov(keep, 0)
    w.known.regs.pop(keep, None)
    at = w.emit(0x15, keep)

    def body() -> None:
        dst = w.free(avoid=(keep,))
        w.emit(0x61, dst, keep, w.random.choice((4, 8, 16)))
        w.known.regs[dst] = NUM
        w.mov(1, keep)
        w.call(86)
    w.jump_over(at, body)
    w.known.regs.pop(keep, None)
