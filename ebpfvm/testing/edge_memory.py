"""Programs at the edge of the rules for memory: bounds, alignment, the stack, contexts, and memory that helpers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.testing.edge_text import EDGE_MAPS, WIDTHS

if TYPE_CHECKING:
    from ebpfvm.testing.edge_text import EdgeText


def map_value(e: EdgeText) -> None:
    """Write an access to the end of a map value, at a constant offset or behind a bounded number."""
    name = e.pick("arr", "big", "hash", "percpu")
    size, room = e.random.choice(WIDTHS), EDGE_MAPS[name].value_size
    if e.chance(0.5):
        e.number("r8")
        e.bound("r8", room - size)
        e.lookup(name, "r7", not e.slips())
        e.add(f"r7 {e.pick('+=', '+=', '-=')} r8")
        e.detour("r7")
        e.access("r7", e.random.choice((0, 0, 0, 1, -1)), size)
    else:
        e.lookup(name, "r7", not e.slips())
        e.detour("r7")
        moved = e.random.choice((0, 0, 4, 8))
        e.add(*([f"r7 += {moved}"] if moved else []))
        e.access("r7", e.near(e.random.choice((room - size, room - size, 0))) - moved, size)


def packet(e: EdgeText) -> None:
    """Write an access to a packet at the end of what a comparison has shown, perhaps after the packet has moved."""
    e.add("r7 = *(u32 *)(r6 + 76)", "r8 = *(u32 *)(r6 + 80)")
    room, size = e.random.choice((1, 4, 8, 14, 20)), e.random.choice(WIDTHS)
    if e.chance(0.3):
        e.number("r2")
        e.bound("r2", e.random.choice((3, 63)))
        e.add("r7 += r2")
    e.add("r4 = r7", f"r4 += {room}")
    _compare(e)
    if e.chance(0.25):
        moves = (("r2 = 14", "r3 = 0", "call 38"), ("r2 = 0", "call 39"))  # bpf_skb_change_tail, bpf_skb_pull_data
        e.add("r1 = r6", *e.random.choice(moves))
    e.detour("r7")
    if e.chance(0.2):
        moved = e.random.choice((1, 4, -1))
        e.add(f"r7 += {moved}")
        room -= moved
    e.access("r7", e.near(room - size), size)


def _compare(e: EdgeText) -> None:
    kind = e.random.randrange(7)
    ok = e.label()
    if kind < 2:
        e.add("if r4 > r8 goto out")
    elif kind == 2:
        e.add("if r8 < r4 goto out")
    elif kind == 3:
        e.add(f"if r4 <= r8 goto {ok}", "goto out", f"{ok}:")
    elif kind == 4:
        e.add("if r4 >= r8 goto out")
    elif kind == 5:
        e.add(f"if r8 {e.pick('>=', '>')} r4 goto {ok}", "goto out", f"{ok}:")
    else:
        e.add(e.pick("if r4 < r8 goto out", "if r4 <= r8 goto out", "if r8 > r4 goto out", "if r8 >= r4 goto out"))


def stack(e: EdgeText) -> None:
    """Write an access to an end of the stack, a misaligned one, or behind a bounded number."""
    size = e.random.choice((1, *WIDTHS))
    if e.chance(0.6):
        e.add(*(f"*(u64 *)(r10 - {off}) = 0" for off in (8, 16, 24, 32)))
        e.number("r8")
        e.bound("r8", 32 - size)
        if e.chance(0.4) and size > 1:
            e.add(f"r8 &= {e.pick(str(-size), str(-size), str(-size // 2))}")
        e.add("r7 = r10", "r7 += -32", "r7 += r8")
        e.access("r7", 0, size)
    else:
        off = e.random.choice((-512, -size, -16, -16)) + size * e.random.choice((-1, 0, 0, 1))
        off += e.random.choice((0, 0, 0, 1, size // 2))
        e.access("r10", off, size)
        e.access("r10", off, size, False)


def spilled(e: EdgeText) -> None:
    """Spill a pointer, overwrite some byte near the slot, fill the register and use it."""
    e.lookup("arr", "r7")
    e.add("*(u64 *)(r10 - 16) = r7")
    if e.chance(0.8):
        size = e.random.choice(WIDTHS)
        at = -16 + size * e.random.randrange(-8 // size, 16 // size)
        e.access("r10", at, size, True)
    e.add(f"r7 = *({e.pick('u64', 'u64', 'u64', 'u32')} *)(r10 - 16)")
    e.access("r7", e.random.choice((0, 8)), 8)


def context(e: EdgeText) -> None:
    """Write an access to the context: any offset, any width, perhaps through a pointer that was moved."""
    e.type = e.pick("sched_cls", "sched_cls", "xdp", "cgroup_skb", "socket_filter")
    size = e.random.choice(WIDTHS)
    ends = {"xdp": 24}.get(e.type, 192)
    off = e.random.choice((e.near(ends - size, size), size * e.random.randrange(ends // size), 76, 0))
    e.add("r7 = r6")
    if e.chance(0.3):
        moved = e.random.choice((4, 8, -4))
        e.add(f"r7 += {moved}")
        off -= moved
    if e.chance(0.25):
        e.add("r8 = *(u32 *)(r6 + 12)", "r8 &= 4", "r7 += r8")
    if e.chance(0.3):
        e.add("r1 = 1", f"*(u{8 * size} *)(r7 {'-' if off < 0 else '+'} {abs(off)}) = r1")
    else:
        e.access("r7", off, size, False)


def helper_memory(e: EdgeText) -> None:
    """Give a helper memory that is as long as it says, or not quite."""
    room = e.random.choice((8, 16, 32))
    place = e.random.randrange(3)
    if place == 0:
        e.lookup("arr", "r7", not e.slips())
        room = 16
        if e.chance(0.3):
            e.add("r7 += 8")
            room = 8
    else:
        e.add("r7 = r10", f"r7 += {-room}")
    if e.chance(0.5):
        e.number("r8")
        e.bound("r8", room)
        if not e.slips():
            e.add("if r8 == 0 goto out")
        e.add("r4 = r8")
    else:
        e.add(f"r4 = {e.near(e.random.choice((room, room, 1)))}")
    e.add("r1 = r6", "r2 = 0", "r3 = r7", f"call {e.pick('26', '26', '9')}")  # bpf_skb_load_bytes, _store_bytes
    if e.lines[-1] == "call 9":
        e.lines.insert(-1, "r5 = 0")


def map_arguments(e: EdgeText) -> None:
    """Update a map with keys and values that end at the end of memory, or are something else."""
    name = e.pick("arr", "hash", "big", "lru", "queue")
    spec = EDGE_MAPS[name]
    e.add(*(f"*(u64 *)(r10 - {off}) = 1" for off in range(8, 81, 8)))
    key = e.random.choice((-80, -80, -e.near(spec.key_size or 4, 4)))
    value = e.random.choice((-72, -e.near(spec.value_size, 4)))
    e.add("r2 = r10", f"r2 += {key}", "r3 = r10", f"r3 += {value}")
    if e.chance(0.3):
        e.add(e.pick("r2 = 0", "r3 = 0", "r3 = r6", "r2 = r6", "r3 = 8"))
    e.add(f"r1 = {e.pick(name, name, name, 'ring')} ll", f"r4 = {e.random.choice((0, 0, 1, 2))}", "call 2")


def read_only(e: EdgeText) -> None:
    """Read or write a value of a map that programs may only read, directly or with a helper."""
    e.lookup(e.pick("fixed", "fixed", "big"), "r7")
    e.detour("r7")
    if e.chance(0.6):
        e.access("r7", e.random.choice((0, 8, 56)), 8)
    else:
        e.add("r1 = r6", "r2 = 0", "r3 = r7", "r4 = 8", "call 26")


def atomic(e: EdgeText) -> None:
    """Execute an atomic operation at the end of memory, misaligned, or on memory that allows none."""
    size = e.random.choice((4, 8))
    place = e.random.randrange(4)
    off = 0
    if place == 0:
        e.lookup("arr", "r7", not e.slips())
        off = e.near(16 - size, size)
    elif place == 1:
        e.add("r7 = r10", f"*(u64 *)(r10 - 8) = {e.random.randrange(3)}", "*(u64 *)(r10 - 16) = 1")
        off = -size + e.random.choice((0, 0, -size, size, -1, 1, -2))
    elif place == 2:
        e.add("r7 = r6")
        off = 8
    else:
        e.add("r7 = *(u32 *)(r6 + 76)", "r8 = *(u32 *)(r6 + 80)", "r4 = r7", "r4 += 14", "if r4 > r8 goto out")
    e.add(f"r1 = {e.pick('1', '1', '-1')}")
    where = f"(u{8 * size} *)(r7 {'-' if off < 0 else '+'} {abs(off)})"
    e.add(e.pick(f"lock *{where} += r1", f"r1 = atomic_fetch_add({where}, r1)", f"lock *{where} += r7"))
    e.add("r2 = r1")
