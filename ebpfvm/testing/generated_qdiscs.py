"""Random programs for the RFC's queueing disciplines: packets that are acquired, stored, taken and released."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.errors import UsageError
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.builder import NUM, RegKind
from ebpfvm.testing.generated_packets import direct_access, packet_base

if TYPE_CHECKING:
    from ebpfvm.testing.writer import Writer

_RBTREE: Final = 32
_INDEX: Final = 8  # index of STORE in the program's maps
_KEY: Final = -152
_UPDATE, _LOOKUP, _DELETE, _XCHG = 2, 1, 3, 194


def _store() -> MapSpec:
    builder = BtfBuilder()
    key = builder.integer("unsigned long", 8)
    builder.integer("int", 4, signed=True)
    skb = builder.struct("sk_buff", [("len", builder.integer("unsigned int", 4))])
    value = builder.struct("slot", [("skb", builder.kptr(skb)), ("number", key)])
    return MapSpec(_RBTREE, 8, 16, 16, name="store", btf=builder.btf(), key_type=key, value_type=value)


STORE: Final = _store()
"""An rbtree whose values own a packet: `struct { struct sk_buff __kptr *skb; u64 number; }`."""


def packets(w: Writer) -> None:
    """Write one of a qdisc's operations on packets."""
    if w.nested > 2:
        return w.alu()
    choices = [_take, _take, _peek]
    if w.attach == "enqueue":
        choices += [_put, _put, _field]
    w.random.choice(choices)(w)


def _field(w: Writer) -> None:
    """Read a field of the packet."""
    base = packet_base(w)
    plain = [item for item in w.dialect.prog_type("sched_cls").fields if item.access == "scalar" and item.size == 4]
    if base is None:
        return
    dst = w.free(avoid=(base,))
    w.emit(0x61, dst, base, w.random.choice(plain).off)
    w.known.regs[dst] = NUM


def _key(w: Writer) -> None:
    if w.random.random() < 0.6:
        w.emit(0x7A, 10, 0, _KEY, w.random.randrange(4))
    else:
        w.emit(0x7B, 10, w.number(), _KEY)


def _element(w: Writer) -> None:
    """Set R0 to the element of the key, or NULL."""
    w.set64(1, _INDEX, 1)
    w.address(2, _KEY)
    w.call(_LOOKUP)


def _release(w: Writer, reg: int) -> None:
    w.mov(1, reg)
    w.call(w.shared.kfunc("bpf_skb_release"), 2)
    w.invalidate("pkt", "end")


def _saved(w: Writer, count: int) -> list[int] | None:
    found = [reg for reg in (7, 8, 9) if reg not in w.known.locked]
    return w.random.sample(found, count) if len(found) >= count else None


def _put(w: Writer) -> None:
    """Acquire the packet, create an element, and swap the packet into its slot."""
    regs = _saved(w, 1)
    if regs is None or w.known.regs.get(6, NUM).name != "ctx":
        return
    packet = regs[0]
    _key(w)
    w.emit(0x79, 1, 6)
    w.call(w.shared.kfunc("bpf_skb_acquire"), 2)
    w.mov(packet, 0)
    w.known.regs.pop(packet, None)
    for off in (_KEY - 16, _KEY - 8):
        w.emit(0x7A, 10, 0, off, 0)
    w.set64(1, _INDEX, 1)
    w.address(2, _KEY)
    w.address(3, _KEY - 16)
    w.set(4, w.random.choice((0, 1)))
    w.call(_UPDATE)
    if w.random.random() < 0.4:
        w.known.regs[packet] = RegKind("skb?", 0, w.shared.new())  # acquired, but not trusted, as helpers require
        w.known.locked |= {packet}
        w.random.choice((lambda: direct_access(w), w.alu, w.store))()
        w.known.locked -= {packet}
    _element(w)
    at = w.emit(0x15, 0)

    def stored() -> None:
        w.emit(0xBF, 1, 0)
        w.emit(0xBF, 2, packet)
        w.call(_XCHG)
        w.known.regs.pop(packet, None)
        old = w.emit(0x15, 0)
        w.jump_over(old, lambda: _release(w, 0))
    w.either(at, stored, lambda: _release(w, packet))
    w.known.regs.pop(packet, None)
    w.invalidate("skb", "pkt", "end")


def _take(w: Writer) -> None:
    """Take the packet out of an element, read it, and send, store or release it."""
    regs = _saved(w, 1)
    if regs is None:
        return
    packet = regs[0]
    _key(w)
    _element(w)
    at = w.emit(0x15, 0)

    def found() -> None:
        w.emit(0xBF, 1, 0)
        w.set(2, 0)
        w.call(_XCHG)
        w.mov(packet, 0)
        w.known.regs.pop(packet, None)
        if w.random.random() < 0.5:
            w.set64(1, _INDEX, 1)
            w.address(2, _KEY)
            w.call(_DELETE)
        empty = w.emit(0x15, packet)
        w.jump_over(empty, lambda: _use(w, packet))
    w.jump_over(at, found)
    w.known.regs.pop(packet, None)
    w.invalidate("pkt", "end")


def _use(w: Writer, packet: int) -> None:
    w.known.regs[packet] = RegKind("skb", 0, w.shared.new())
    w.known.locked |= {packet}
    for _ in range(w.random.randrange(3)):
        w.random.choice((lambda: direct_access(w), w.alu, w.load, lambda: _field(w)))()
    w.known.locked -= {packet}
    if w.attach == "dequeue" and w.random.random() < 0.5 and w.known.regs.get(6, NUM).name == "ctx":
        w.emit(0x7B, 6, packet, 0)
    else:
        _release(w, packet)
    w.known.regs.pop(packet, None)


def _peek(w: Writer) -> None:
    """Acquire another reference to the packet in a slot, or just read its number."""
    try:
        w.dialect.kfuncs["bpf_skb_kptr_get"]
    except (KeyError, UsageError):
        return
    regs = _saved(w, 1)
    if regs is None:
        return
    packet = regs[0]
    _key(w)
    _element(w)
    at = w.emit(0x15, 0)

    def found() -> None:
        if w.random.random() < 0.5:
            dst = w.free(avoid=(0,))
            w.emit(0x79, dst, 0, 8)
            w.known.regs[dst] = NUM
        w.emit(0xBF, 1, 0)
        w.call(w.shared.kfunc("bpf_skb_kptr_get"), 2)
        w.mov(packet, 0)
        empty = w.emit(0x15, packet)

        def body() -> None:
            _field(w)
            _release(w, packet)
        w.jump_over(empty, body)
    w.jump_over(at, found)
    w.known.regs.pop(packet, None)
