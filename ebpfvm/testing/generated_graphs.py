"""Random programs for `Qdisc_ops`: objects that are allocated, put into lists and trees, taken out and dropped.

Each step owns what it takes only until it ends, so that it may stand in branches and loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.testing.builder import NUM
from ebpfvm.testing.ops_types import OPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.testing.ops_types import GuardedRoot, OwnStruct
    from ebpfvm.testing.writer import Writer

_KEY: Final = -176
_LOOKUP, _LOCK, _UNLOCK, _XCHG = 1, 93, 94, 194


def kfunc(w: Writer, name: str) -> None:
    """Call a kernel function; those that have two spellings under either, with the arguments that the older one has."""
    if name in _BOTH and w.random.random() < 0.4:
        for at in range(_BOTH[name], _BOTH[name] + (1 if "obj" in name or "refcount" in name else 2)):
            w.set(at, 0)
        name += "_impl"
    w.call(w.shared.kfunc(name), 2)


_BOTH: Final = {"bpf_obj_new": 2, "bpf_obj_drop": 2, "bpf_refcount_acquire": 2, "bpf_list_push_front": 3,
                "bpf_list_push_back": 3, "bpf_rbtree_add": 4}


def saved(w: Writer, count: int) -> list[int] | None:
    """Return registers that calls preserve and that are free; None if there are not enough."""
    found = [reg for reg in (7, 8, 9) if reg not in w.known.locked]
    return w.random.sample(found, count) if len(found) >= count else None


def holding(w: Writer, reg: int, body: Callable[[], None]) -> None:
    """Write what happens while a register holds something that other steps do not know."""
    w.known.regs.pop(reg, None)
    locked = w.known.locked
    w.known.locked = locked | {reg}
    body()
    w.known.locked = locked
    w.known.regs.pop(reg, None)


def inside(w: Writer) -> None:
    """Write a step that may stand while an object is owned."""
    w.random.choice((w.alu, w.store, w.load, w.constant))()


# -- objects ------------------------------------------------------------------------------------------------------


def allocate(w: Writer, struct: OwnStruct, reg: int, body: Callable[[], None]) -> None:
    """Create an object into `reg`; `body` is what happens with it."""
    w.set(1, struct.type_id)
    kfunc(w, "bpf_obj_new")
    w.emit(0xBF, reg, 0)
    at = w.emit(0x15, reg)

    def found() -> None:
        if w.random.random() < 0.7:
            w.emit(0x7B, reg, w.number((reg,)), struct.key)
        body()
    holding(w, reg, lambda: w.jump_over(at, found))


def drop(w: Writer, reg: int) -> None:
    """Drop an object."""
    w.emit(0xBF, 1, reg)
    kfunc(w, "bpf_obj_drop")


def release_packet(w: Writer, reg: int) -> None:
    """Free a packet, or in enqueue put it on the list of packets to free."""
    w.emit(0xBF, 1, reg)
    if w.attach == "enqueue" and w.known.regs.get(6, NUM).name == "ctx" and w.random.random() < 0.6:
        w.emit(0x79, 2, 6, 16)
        w.call(w.shared.kfunc("bpf_qdisc_skb_drop"), 2)
    else:
        w.call(w.shared.kfunc("bpf_kfree_skb"), 2)


def swap_packet(w: Writer, slot: int, off: int, packet: int | None) -> None:
    """Put a packet (None: nothing) where the kptr at `slot` + `off` is; R0 is what was there."""
    w.emit(0xBF, 1, slot)
    w.emit(0x07, 1, 0, 0, off)
    if packet is None:
        w.set(2, 0)
    else:
        w.emit(0xBF, 2, packet)
    w.call(_XCHG)


def free_result(w: Writer) -> None:
    """Free the packet that R0 is, unless it is NULL."""
    at = w.emit(0x15, 0)
    w.jump_over(at, lambda: release_packet(w, 0))


# -- roots --------------------------------------------------------------------------------------------------------


def within(w: Writer, root: GuardedRoot, reg: int | None, body: Callable[[int], None]) -> None:
    """Let `body` write steps with the address of the memory that has the root, in `reg` if it must be looked up."""
    if not root.looked_up:
        body(-1)
        return
    assert reg is not None
    w.emit(0x62, 10, 0, _KEY, w.random.choice((0, 1, 2, 3)))
    w.set64(1, root.map, 1)
    w.address(2, _KEY)
    w.call(_LOOKUP)
    w.emit(0xBF, reg, 0)
    at = w.emit(0x15, reg)
    holding(w, reg, lambda: w.jump_over(at, lambda: body(reg)))


def address(w: Writer, root: GuardedRoot, base: int, dst: int, off: int) -> None:
    """Set `dst` to an address in the memory that has the root."""
    if base >= 0:
        w.emit(0xBF, dst, base)
        if off:
            w.emit(0x07, dst, 0, 0, off)
    else:
        w.emit(0x18, dst, 2, 0, root.map)
        w.emit(0, 0, 0, 0, off)
    w.known.regs.pop(dst, None)


def locked(w: Writer, root: GuardedRoot, base: int, body: Callable[[], None]) -> None:
    """Write what happens while the lock of the root is held."""
    address(w, root, base, 1, root.lock)
    w.call(_LOCK)
    body()
    address(w, root, base, 1, root.lock)
    w.call(_UNLOCK)


def node_address(w: Writer, root: GuardedRoot, dst: int, reg: int) -> None:
    """Set `dst` to the node of an object."""
    w.emit(0xBF, dst, reg)
    if root.node:
        w.emit(0x07, dst, 0, 0, root.node)
    w.known.regs.pop(dst, None)


def insert(w: Writer, root: GuardedRoot, base: int, reg: int) -> None:
    """Insert the object of `reg`; the lock is held."""
    node_address(w, root, 2, reg)
    address(w, root, base, 1, root.off)
    if root.tree:
        w.function(3, less(w, root))
        kfunc(w, "bpf_rbtree_add")
    else:
        kfunc(w, w.random.choice(("bpf_list_push_front", "bpf_list_push_back")))
    if w.random.random() < 0.3:
        w.emit(0x79, w.random.choice((0, 1, 2)), reg, root.of.key)


def less(w: Writer, root: GuardedRoot) -> int:
    """Return the number of a function that compares two elements of a tree, made if there is none."""
    known = w.shared.less
    if root.of.name not in known or (w.random.random() < 0.1 and len(w.shared.functions) < 6):
        made = type(w)(w.random, w.dialect, w.type, w.attach, w.shared, w.depth + 1)
        w.shared.functions.append(made)
        known[root.of.name] = len(w.shared.functions) - 1
        back = root.of.key - root.node
        made.emit(0x79, 1, 1, back)
        made.emit(0x79, 2, 2, back)
        made.emit(0xB7, 0)
        made.emit(w.random.choice((0x3D, 0x2D, 0x7D)), 1, 2, 1)
        made.emit(0xB7, 0, 0, 0, 1)
        made.emit(0x95)
    return known[root.of.name]


def take(w: Writer, root: GuardedRoot, base: int, reg: int) -> None:
    """Set `reg` to the first or last object, or to NULL; the lock is held in between."""
    def body() -> None:
        address(w, root, base, 1, root.off)
        if not root.tree:
            w.call(w.shared.kfunc(w.random.choice(("bpf_list_pop_front", "bpf_list_pop_back"))), 2)
            w.emit(0xBF, reg, 0)
            return
        w.call(w.shared.kfunc(w.random.choice(("bpf_rbtree_first", "bpf_rbtree_first", "bpf_rbtree_root"))), 2)
        w.emit(0xBF, reg, 0)
        at = w.emit(0x15, reg)

        def found() -> None:
            w.emit(0xBF, 2, reg)
            address(w, root, base, 1, root.off)
            w.call(w.shared.kfunc("bpf_rbtree_remove"), 2)
            w.emit(0xBF, reg, 0)
        w.jump_over(at, found)
    locked(w, root, base, body)


def owned_from_node(w: Writer, root: GuardedRoot, reg: int, body: Callable[[], None]) -> None:
    """Check `reg`, an element's node or NULL, and let `body` use the object."""
    at = w.emit(0x15, reg)

    def found() -> None:
        if root.node:
            w.emit(0x07, reg, 0, 0, -root.node)
        body()
    w.jump_over(at, found)


# -- steps --------------------------------------------------------------------------------------------------------


def _root(w: Writer) -> GuardedRoot:
    return w.random.choice(OPS.roots)


def _registers(w: Writer, root: GuardedRoot) -> tuple[int, int | None] | None:
    regs = saved(w, 1 + root.looked_up)
    return None if regs is None else (regs[0], regs[1] if root.looked_up else None)


def put(w: Writer) -> None:
    """Create an object and insert it; a counted one perhaps keeps another reference for a while."""
    root = _root(w)
    regs = _registers(w, root)
    if regs is None:
        return
    reg, base = regs
    if root.of.refs >= 0 and w.random.random() < 0.5:
        return put_counted(w, root)

    def body(at: int) -> None:
        allocate(w, root.of, reg, lambda: locked(w, root, at, lambda: insert(w, root, at, reg)))
    within(w, root, base, body)
    w.known.regs[0] = NUM
    w.set(0, 0)


def put_counted(w: Writer, root: GuardedRoot) -> None:
    """Insert an object, and use another reference to it afterwards."""
    regs = saved(w, 2)
    if regs is None:
        return
    reg, other = regs

    def body() -> None:
        w.emit(0xBF, 1, reg)
        w.emit(0xB7, 0)  # or it would have the object anyway
        kfunc(w, "bpf_refcount_acquire")
        w.emit(0xBF, other, 0)
        holding(w, other, shared)

    def shared() -> None:
        locked(w, root, -1, lambda: insert(w, root, -1, reg))
        inside(w)
        if w.random.random() < 0.4:
            second = w.random.choice([found for found in OPS.roots if found.of is root.of])
            locked(w, second, -1, lambda: insert(w, second, -1, other))
        else:
            w.emit(0x79, 1, other, root.of.key)
            drop(w, other)
    allocate(w, root.of, reg, body)
    w.set(0, 0)


def pull(w: Writer) -> None:
    """Take an object out, use it, and drop it or insert it again."""
    root = _root(w)
    regs = _registers(w, root)
    if regs is None:
        return
    reg, base = regs

    def body(at: int) -> None:
        take(w, root, at, reg)
        holding(w, reg, lambda: owned_from_node(w, root, reg, lambda: use(w, root, at, reg)))
    within(w, root, base, body)
    w.set(0, 0)


def use(w: Writer, root: GuardedRoot, base: int, reg: int) -> None:
    """Use an object that is owned, and give it away."""
    if w.random.random() < 0.5:
        dst = w.random.choice((0, 1, 2, 3))
        w.emit(0x79, dst, reg, root.of.key)
        w.known.regs[dst] = NUM
    if w.random.random() < 0.6:
        swap_packet(w, reg, root.of.skb, None)
        free_result(w)
    if w.random.random() < 0.3:
        inside(w)
    if w.random.random() < 0.3:
        locked(w, root, base, lambda: insert(w, root, base, reg))
    else:
        drop(w, reg)


def look(w: Writer) -> None:
    """Look at an element under the lock: read it, ask where it is, remove it, or acquire another reference."""
    root = _root(w)
    regs = _registers(w, root)
    if regs is None:
        return
    reg, base = regs
    names = (("bpf_rbtree_first", "bpf_rbtree_root") if root.tree else ("bpf_list_front", "bpf_list_back"))

    def body(at: int) -> None:
        address(w, root, at, 1, root.lock)
        w.call(_LOCK)
        address(w, root, at, 1, root.off)
        w.call(w.shared.kfunc(w.random.choice(names)), 2)
        w.emit(0xBF, reg, 0)
        empty = w.emit(0x15, reg)
        holding(w, reg, lambda: w.either(empty, lambda: _seen(w, root, at, reg), lambda: _unlock(w, root, at)))
    within(w, root, base, body)
    w.set(0, 0)


def _unlock(w: Writer, root: GuardedRoot, base: int) -> None:
    address(w, root, base, 1, root.lock)
    w.call(_UNLOCK)


def _seen(w: Writer, root: GuardedRoot, base: int, reg: int) -> None:
    """Do something with a node that is not owned, and unlock."""
    choice = w.random.choice(("read", "ask", "remove", "acquire" if root.of.refs >= 0 else "read"))
    if choice == "read":
        w.emit(0x79, 1, reg, root.of.key - root.node)
        if w.random.random() < 0.5:
            w.emit(0x7B, reg, w.number((reg,)), root.of.key - root.node)
        return _unlock(w, root, base)
    w.emit(0xBF, 1 if choice == "acquire" else 2, reg)
    if choice == "acquire":
        if root.node:
            w.emit(0x07, 1, 0, 0, -root.node)
        w.emit(0xB7, 0)
        kfunc(w, "bpf_refcount_acquire")
        w.emit(0xBF, reg, 0)
        _unlock(w, root, base)
        at = w.emit(0x15, reg)
        return w.jump_over(at, lambda: drop(w, reg))
    address(w, root, base, 1, root.off)
    if choice == "ask":
        w.call(w.shared.kfunc(w.random.choice(("bpf_rbtree_left", "bpf_rbtree_right") if root.tree else
                                              ("bpf_list_is_first", "bpf_list_is_last"))), 2)
        _note(w, root, base)
        return _unlock(w, root, base)
    w.call(w.shared.kfunc("bpf_rbtree_remove" if root.tree else "bpf_list_del"), 2)
    w.emit(0xBF, reg, 0)
    _unlock(w, root, base)
    owned_from_node(w, root, reg, lambda: use(w, root, base, reg))
    return None


def _note(w: Writer, root: GuardedRoot, base: int) -> None:
    """Store whether the result is 0 in the memory that has the root."""
    address(w, root, base, 1, root.told)
    w.emit(0x7A, 1, 0, 0, 1)
    w.emit(0x15, 0, 0, 1)
    w.emit(0x7A, 1, 0, 0, 2)


def empty(w: Writer) -> None:
    """Ask whether a list is empty."""
    root = w.random.choice([found for found in OPS.roots if not found.tree and not found.looked_up])

    def body() -> None:
        address(w, root, -1, 1, root.off)
        w.call(w.shared.kfunc("bpf_list_empty"), 2)
        w.emit(0xBF, 8 if 8 not in w.known.locked else 3, 0)
        _note(w, root, -1)
    locked(w, root, -1, body)
    w.known.regs.pop(8, None)
    w.set(0, 0)


def alone(w: Writer) -> None:
    """Create an object, write and read it, and drop it."""
    regs = saved(w, 1)
    if regs is None:
        return
    struct = w.random.choice(OPS.structs)

    def body() -> None:
        w.emit(0x79, 2, regs[0], struct.key)
        w.emit(0x7B, regs[0], 2, struct.key + 8)
        drop(w, regs[0])
    allocate(w, struct, regs[0], body)
    w.set(0, 0)
