"""Direct packet access in random programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.testing.builder import NUM, RegKind

if TYPE_CHECKING:
    from ebpfvm.contract import CtxField
    from ebpfvm.testing.writer import Writer


def direct_access(w: Writer) -> None:
    """Write a direct packet access after a comparison with the end, perhaps at a variable offset."""
    fields = {item.access: item for item in packet_fields(w)}
    base = packet_base(w)
    if base is None or "pkt" not in fields:
        return
    rnd = w.random
    begin, end = fields["pkt"], fields["pkt_end"]
    if rnd.random() < 0.1 and "pkt_meta" in fields:
        begin, end = fields["pkt_meta"], fields["pkt"]
    pkt = w.free(saved=rnd.random() < 0.5, avoid=(base,))
    stop = w.free(avoid=(base, pkt))
    probe = w.free(avoid=(base, pkt, stop))
    if len({base, pkt, stop, probe}) < 4:
        return
    for reg, item in ((pkt, begin), (stop, end)):
        w.emit(0x79 if item.size == 8 else 0x61, reg, base, item.off)
    for reg in (pkt, stop, probe):
        w.known.regs.pop(reg, None)
    if rnd.random() < 0.3:
        _add_number(w, pkt, (pkt, stop, base))
    room = rnd.choice((1, 4, 8, 14, 20, 34, 54))
    w.emit(0xBF, probe, pkt)
    w.emit(0x07, probe, 0, 0, room)
    code, swap = rnd.choice(((0x2D, False), (0x3D, False), (0xAD, True), (0xBD, True)))
    at = w.emit(code, stop if swap else probe, probe if swap else stop)

    def body() -> None:
        w.known.regs[pkt] = RegKind("pkt", room)
        if begin.access == "pkt":
            w.known.regs[stop] = RegKind("end")
        for _ in range(rnd.randrange(1, 4)):
            if pkt in w.known.regs and w.known.regs[pkt].name == "pkt":
                w.access(pkt)
        w.inner(4)
    w.jump_over(at, body)


def _add_number(w: Writer, pkt: int, kept: tuple[int, ...]) -> None:
    """Add a bounded number to a packet pointer; the registers in `kept` are not changed."""
    number = w.free(avoid=kept)
    w.mov(number, w.number(kept))
    w.emit(0x57, number, 0, 0, w.random.choice((7, 60, 255)))
    w.known.regs.pop(number, None)
    w.emit(0x0F, pkt, number)
    w.known.regs[number] = NUM


def packet_fields(w: Writer) -> tuple[CtxField, ...]:
    """Return the fields that point to packet bytes in the object that `packet_base` returns."""
    fields = w.fields if w.type.name != "qdisc" else w.dialect.prog_type("sched_cls").fields
    return tuple(item for item in fields if item.access in ("pkt", "pkt_end", "pkt_meta"))


def packet_base(w: Writer) -> int | None:
    """Return a register through which `data` and `data_end` can be read."""
    if w.type.name != "qdisc":
        return w.pick("ctx")
    found = w.pick("skb")
    if found is None and w.attach == "enqueue":
        context = w.pick("ctx")
        if context is None:
            return None
        found = w.free(saved=True, avoid=(context,))
        w.emit(0x79, found, context)
        w.known.regs[found] = RegKind("skb")
    return found
