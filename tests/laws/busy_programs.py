"""Random programs that do what two engines could do in two ways: timers, runs inside runs, ring buffers, locks, tail
calls, exceptions, and maps of most types. Every program is one that the verifier accepts.

r6 is the context, r7 a number that gathers what happened; it ends in an array, with everything else to be compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn as I
from ebpfvm.loader.object import FuncInfo, MapSpec, Program

MAPS = ("numbers", "table", "records", "timers", "locked", "jumps", "fifo", "recent", "percpu", "events")
NUMBERS, TABLE, RECORDS, TIMERS, LOCKED, JUMPS, FIFO, RECENT, PERCPU, EVENTS = range(len(MAPS))
SLOTS = 16
_MAIN, _STATIC, _LOOP, _TIMER = range(4)
_THROW = 1  # imm 0 would be a function that nothing resolved
_NAMES = """
    map_lookup_elem map_update_elem map_delete_elem ktime_get_ns get_prandom_u32 skb_store_bytes tail_call
    clone_redirect skb_load_bytes perf_event_output skb_change_tail spin_lock spin_unlock map_push_elem map_pop_elem
    ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard timer_init timer_set_callback timer_start
    timer_cancel loop skb_vlan_push skb_vlan_pop get_hash_recalc
"""
_HELPERS = {name: linux().helper_id(f"bpf_{name}") or 0 for name in _NAMES.split()}


def maps() -> tuple[MapSpec, ...]:
    """The maps that all programs of a scene share."""
    builder = BtfBuilder()
    word, long = builder.integer("unsigned int", 4), builder.integer("unsigned long", 8)
    lock = builder.struct("bpf_spin_lock", [("val", word)])
    locked = builder.struct("locked", [("lock", lock), ("a", word), ("b", long)])
    timer = builder.struct("bpf_timer", [("a", long), ("b", long)])
    timed = builder.struct("timed", [("timer", timer), ("fired", long)])
    btf = builder.btf()
    return (MapSpec("array", 4, 8, SLOTS, name="numbers"), MapSpec("hash", 4, 8, 6, name="table"),
            MapSpec("ringbuf", 0, 0, 4096, name="records"),
            MapSpec("array", 4, 24, 2, name="timers", btf=btf, key_type=word, value_type=timed),
            MapSpec("array", 4, 16, 2, name="locked", btf=btf, key_type=word, value_type=locked),
            MapSpec("prog_array", 4, 4, 4, name="jumps"), MapSpec("queue", 0, 8, 4, name="fifo"),
            MapSpec("lru_hash", 4, 8, 4, name="recent"), MapSpec("percpu_array", 4, 8, 4, name="percpu"),
            MapSpec("perf_event_array", 4, 4, 4, name="events"))


class Writer:
    """One function in the making. `calls` are slots whose imm is the number of a function."""

    def __init__(self, rng: random.Random) -> None:
        self.random = rng
        self.code: list[I] = []
        self.calls: list[tuple[int, int]] = []

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> int:
        """Append an instruction; its slot."""
        self.code.append(I(code, dst, src, off, imm))
        return len(self.code) - 1

    def call(self, name: str) -> None:
        """Call a helper."""
        self.emit(0x85, imm=_HELPERS[name])

    def map(self, dst: int, number: int) -> None:
        """Load the address of a map."""
        self.emit(0x18, dst, 1, 0, number)
        self.emit(0)

    def function(self, dst: int, number: int) -> None:
        """Load the address of a function."""
        self.calls.append((self.emit(0x18, dst, 4), number))
        self.emit(0)

    def stack(self, dst: int, off: int) -> None:
        """Load an address on the stack."""
        self.emit(0xBF, dst, 10)
        self.emit(0x07, dst, 0, 0, off)

    def note(self) -> None:
        """Gather r0, a number, in r7."""
        self.emit(0x27, 7, 0, 0, 31)
        self.emit(0x0F, 7, 0)
        self.emit(0x57, 7, 0, 0, 0xFFFFFF)

    def skip(self, code: int, dst: int, imm: int, body: Callable[[], object]) -> None:
        """Leave `body` out if a comparison holds."""
        at = self.emit(code, dst, 0, 0, imm)
        body()
        self.code[at] = self.code[at]._replace(off=len(self.code) - at - 1)

    def key(self, limit: int) -> None:
        """A key on the stack at -4, often out of r7."""
        if self.random.random() < 0.5:
            self.emit(0x62, 10, 0, -4, self.random.randrange(limit + 1))
        else:
            self.emit(0xBF, 1, 7)
            self.emit(0x57, 1, 0, 0, limit)
            self.emit(0x63, 10, 1, -4)

    def lookup(self, number: int, limit: int, body: Callable[[], object]) -> None:
        """Look a value up; `body` has its address in r8."""
        self.key(limit)
        self.map(1, number)
        self.stack(2, -4)
        self.call("map_lookup_elem")
        self.emit(0xBF, 8, 0)
        self.skip(0x15, 8, 0, body)


def _add(w: Writer) -> None:
    number = w.random.choice((NUMBERS, TABLE, RECENT, PERCPU))

    def body() -> None:
        w.emit(0x79, 0, 8)
        w.note()
        if w.random.random() < 0.5:
            w.emit(0xDB, 8, 7)
        else:
            w.emit(0x7B, 8, 7)
    w.lookup(number, {NUMBERS: 3, PERCPU: 3}.get(number, 7), body)


def _update(w: Writer) -> None:
    w.key(7)
    w.emit(0x7B, 10, 7, -16)
    w.map(1, w.random.choice((TABLE, RECENT)))
    w.stack(2, -4)
    if w.random.random() < 0.25:
        w.call("map_delete_elem")
    else:
        w.stack(3, -16)
        w.emit(0xB7, 4, 0, 0, w.random.choice((0, 0, 1, 2)))
        w.call("map_update_elem")
    w.note()


def _locked(w: Writer) -> None:
    def body() -> None:
        w.emit(0xBF, 1, 8)
        w.call("spin_lock")
        w.emit(0x61, 9, 8, 4)
        w.emit(0x07, 9, 0, 0, w.random.randrange(1, 9))
        w.emit(0x63, 8, 9, 4)
        w.emit(0x7B, 8, 7, 8)
        w.emit(0xBF, 1, 8)
        w.call("spin_unlock")
        w.emit(0xBF, 0, 9)
        w.note()
    w.lookup(LOCKED, 3, body)


def _record(w: Writer) -> None:
    if w.random.random() < 0.4:
        w.emit(0x7B, 10, 7, -16)
        w.map(1, RECORDS)
        w.stack(2, -16)
        w.emit(0xB7, 3, 0, 0, w.random.choice((1, 8)))
        w.emit(0xB7, 4, 0, 0, w.random.choice((0, 1, 2)))
        w.call("ringbuf_output")
        w.note()
        return
    w.map(1, RECORDS)
    w.emit(0xB7, 2, 0, 0, w.random.choice((8, 16, 800)))
    w.emit(0xB7, 3)
    w.call("ringbuf_reserve")
    w.emit(0xBF, 8, 0)

    def body() -> None:
        w.emit(0x7B, 8, 7)
        w.emit(0xBF, 1, 8)
        w.emit(0xB7, 2, 0, 0, w.random.choice((0, 1)))
        w.call(w.random.choice(("ringbuf_submit", "ringbuf_submit", "ringbuf_discard")))
        w.emit(0xB7, 0, 0, 0, 1)
        w.note()
    w.skip(0x15, 8, 0, body)


def _timer(w: Writer) -> None:
    def body() -> None:
        steps = ["init", "callback", "start"]
        if w.random.random() < 0.4:
            steps = w.random.sample((*steps, "cancel"), w.random.randrange(1, 5))
        for step in steps:
            w.emit(0xBF, 1, 8)
            if step == "init":
                w.map(2, TIMERS)
                w.emit(0xB7, 3, 0, 0, w.random.choice((1, 1, 0, 7, 5)))
                w.call("timer_init")
            elif step == "callback":
                w.function(2, _TIMER)
                w.call("timer_set_callback")
            elif step == "start":
                w.emit(0xB7, 2, 0, 0, w.random.choice((0, 1000, 100_000, 3_000_000)))
                w.emit(0xB7, 3, 0, 0, w.random.choice((0, 0, 0, 0, 1, 2, 4)))
                w.call("timer_start")
            else:
                w.call("timer_cancel")
            w.note()
    w.lookup(TIMERS, 1, body)


def _clone(w: Writer) -> None:
    w.emit(0x61, 1, 6, 52)

    def body() -> None:
        w.emit(0x07, 1, 0, 0, -1)
        w.emit(0x63, 6, 1, 52)
        w.emit(0xBF, 1, 6)
        w.emit(0x61, 2, 6, 40)
        w.emit(0xB7, 3, 0, 0, w.random.choice((0, 0, 0, 2)))
        w.call("clone_redirect")
        w.note()
    w.skip(0x15, 1, 0, body)


def _tail(w: Writer) -> None:
    def body() -> None:
        w.emit(0x61, 1, 6, 8)
        w.emit(0x07, 1, 0, 0, 1)
        w.emit(0x63, 6, 1, 8)
        w.emit(0xBF, 1, 6)
        w.map(2, JUMPS)
        w.emit(0xB7, 3, 0, 0, w.random.choice((0, 1, 1, 2, 3, 9)))
        w.call("tail_call")
        w.emit(0xB7, 0, 0, 0, 5)
        w.note()
    if w.random.random() < 0.5:
        body()
        return
    w.emit(0xBF, 1, 7)
    w.emit(0x57, 1, 0, 0, 3)
    w.skip(0x55, 1, w.random.randrange(4), body)


def _throw(w: Writer) -> None:
    def body() -> None:
        w.emit(0xBF, 1, 7)
        w.emit(0x57, 1, 0, 0, 2)
        w.emit(0x85, 0, 2, 0, _THROW)
    w.emit(0xBF, 1, 7)
    w.emit(0x57, 1, 0, 0, 7)
    w.skip(0x55, 1, w.random.randrange(8), body)


def _context(w: Writer) -> None:
    off = w.random.choice((8, 32, 48, 56, 60, 64))
    w.emit(0x61, 0, 6, w.random.choice((0, 8, 16, 20, 24, 32, 40, 48, 56, 64, 68)))
    w.note()
    w.emit(0x63, 6, 7, off)


def _packet(w: Writer) -> None:
    kind = w.random.randrange(5)
    w.emit(0xBF, 1, 6)
    if kind == 0:
        w.emit(0xB7, 2, 0, 0, w.random.choice((0, 14, 30, 90)))
        w.emit(0x7A, 10, 0, -16, 0)
        w.stack(3, -16)
        w.emit(0xB7, 4, 0, 0, w.random.choice((1, 4, 8)))
        w.call("skb_load_bytes")
        w.emit(0x79, 0, 10, -16)
        w.emit(0x57, 0, 0, 0, 0xFFFF)
    elif kind == 1:
        w.emit(0x7B, 10, 7, -16)
        w.emit(0xB7, 2, 0, 0, w.random.choice((0, 14, 40, 200)))
        w.stack(3, -16)
        w.emit(0xB7, 4, 0, 0, w.random.choice((1, 2, 8)))
        w.emit(0xB7, 5, 0, 0, w.random.choice((0, 1, 2)))
        w.call("skb_store_bytes")
    elif kind == 2:
        w.emit(0xB7, 2, 0, 0, w.random.choice((20, 60, 100, 300)))
        w.emit(0xB7, 3)
        w.call("skb_change_tail")
    elif kind == 3:
        w.emit(0xB7, 2, 0, 0, w.random.choice((0x81, 0xA888)))
        w.emit(0xB7, 3, 0, 0, 5)
        w.call("skb_vlan_push")
    else:
        w.call(w.random.choice(("skb_vlan_pop", "get_hash_recalc")))
    w.note()


def _queue(w: Writer) -> None:
    w.emit(0x7B, 10, 7, -16)
    w.map(1, FIFO)
    w.stack(2, -16)
    if w.random.random() < 0.6:
        w.emit(0xB7, 3, 0, 0, w.random.choice((0, 2)))
        w.call("map_push_elem")
    else:
        w.call("map_pop_elem")
    w.note()


def _event(w: Writer) -> None:
    w.emit(0x7B, 10, 7, -16)
    w.emit(0xBF, 1, 6)
    w.map(2, EVENTS)
    w.emit(0x18, 3, 0, 0, w.random.choice((-1, 0, 7)))
    w.emit(0)
    w.stack(4, -16)
    w.emit(0xB7, 5, 0, 0, 8)
    w.call("perf_event_output")
    w.note()


def _loop(w: Writer) -> None:
    w.emit(0x7B, 10, 7, -24)
    w.emit(0xB7, 1, 0, 0, w.random.choice((0, 1, 5)))
    w.function(2, _LOOP)
    w.stack(3, -24)
    w.emit(0xB7, 4)
    w.call("loop")
    w.emit(0x79, 1, 10, -24)
    w.emit(0x0F, 0, 1)
    w.note()


def _static(w: Writer) -> None:
    w.emit(0xBF, 1, 6)
    w.calls.append((w.emit(0x85, 0, 1), _STATIC))
    w.note()


def _clock(w: Writer) -> None:
    w.call(w.random.choice(("ktime_get_ns", "get_prandom_u32")))
    w.emit(0x57, 0, 0, 0, 0xFFFF)
    w.note()


_STEPS = (_add, _update, _update, _locked, _record, _record, _timer, _timer, _timer, _clone, _clone, _tail, _tail,
          _throw, _context, _packet, _packet, _queue, _event, _loop, _clock)


def _main(rng: random.Random, local: bool) -> Writer:
    w = Writer(rng)
    w.emit(0xBF, 6, 1)
    w.emit(0xB7, 7, 0, 0, rng.randrange(100))
    for _ in range(rng.randrange(2, 9)):
        rng.choice((*_STEPS, _static, _static) if local else _STEPS)(w)
    w.emit(0x62, 10, 0, -4, rng.randrange(8, SLOTS))
    w.emit(0x7B, 10, 7, -16)
    w.map(1, NUMBERS)
    w.stack(2, -4)
    w.stack(3, -16)
    w.emit(0xB7, 4)
    w.call("map_update_elem")
    w.emit(0xBF, 0, 7)
    w.emit(0x57, 0, 0, 0, 2)  # TC_ACT_OK or TC_ACT_SHOT
    w.emit(0x95)
    return w


def _loop_callback(rng: random.Random) -> Writer:
    w = Writer(rng)
    w.emit(0x79, 3, 2)
    w.emit(0x0F, 3, 1)
    w.emit(0x7B, 2, 3)
    w.emit(0xB7, 0)
    if rng.random() < 0.5:
        w.skip(0x55, 1, rng.randrange(4), lambda: w.emit(0xB7, 0, 0, 0, 1))
    w.emit(0x95)
    return w


def _timer_callback(rng: random.Random) -> Writer:
    w = Writer(rng)
    w.emit(0xBF, 8, 3)
    w.emit(0x61, 7, 2)
    w.emit(0x79, 1, 8, 16)
    w.emit(0x07, 1, 0, 0, 1)
    w.emit(0x7B, 8, 1, 16)
    for step in rng.sample(("again", "cancel", "record", "add"), rng.randrange(3)):
        if step == "again":
            w.emit(0xBF, 1, 8)
            w.emit(0xB7, 2, 0, 0, rng.choice((500_000, 1_000_000)))
            w.emit(0xB7, 3)
            w.call("timer_start")
            w.note()
        elif step == "cancel":
            w.emit(0xBF, 1, 8)
            w.call("timer_cancel")
            w.note()
        elif step == "record":
            keep = w.emit(0xBF, 9, 8)
            _record(w)
            w.emit(0xBF, 8, 9)
            assert keep
        else:
            w.emit(0xBF, 9, 8)
            _add(w)
            w.emit(0xBF, 8, 9)
    w.emit(0x7B, 8, 7, 16) if rng.random() < 0.2 else None
    w.emit(0xB7, 0)
    w.emit(0x95)
    return w


def _btf() -> tuple[t.Btf, tuple[int, ...]]:
    builder = BtfBuilder()
    number = builder.integer("int", 4, signed=True)
    word = builder.integer("long", 8, signed=True)
    void = builder.ptr(0)
    main = builder.add(t.FuncProto(number, (t.Param("ctx", void),)))
    static = builder.add(t.FuncProto(word, (t.Param("ctx", void),)))
    loop = builder.add(t.FuncProto(word, (t.Param("index", word), t.Param("ctx", void))))
    timer = builder.add(t.FuncProto(number, (t.Param("map", void), t.Param("key", void), t.Param("value", void))))
    made = [builder.add(t.Func(name, kind, t.Linkage.GLOBAL if name == "prog" else t.Linkage.STATIC))
            for name, kind in (("prog", main), ("inner", static), ("each", loop), ("fired", timer))]
    return builder.btf(), tuple(made)


_TYPES, _FUNCTIONS = _btf()


def program(rng: random.Random, name: str, shared: tuple[MapSpec, ...]) -> Program:
    """A program of four functions; those that it never names are left out."""
    inner = _main(rng, local=False)
    made = {_MAIN: _main(rng, local=True), _STATIC: inner, _LOOP: _loop_callback(rng), _TIMER: _timer_callback(rng)}
    order, work = [_MAIN], [_MAIN]
    while work:
        for _, number in made[work.pop()].calls:
            if number not in order:
                order.append(number)
                work.append(number)
    starts, code = {}, []
    for number in order:
        starts[number] = len(code)
        code += made[number].code
    for number in order:
        for slot, target in made[number].calls:
            at = starts[number] + slot
            code[at] = code[at]._replace(imm=starts[target] - at - 1)
    infos = tuple(FuncInfo(starts[number], _FUNCTIONS[number]) for number in order)
    return Program(name=name, insns=tuple(code), type="sched_cls", license="GPL", maps=shared, btf=_TYPES,
                   func_info=infos, kfuncs={_THROW: "bpf_throw"})
