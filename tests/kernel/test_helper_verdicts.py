"""Our verifier judges calls of helpers as a kernel does: any helper, arguments right and wrong."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import re
import struct
from functools import cache

import pytest

from ebpfvm.contract import Arg, ArgSpec, Helper
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify
from tests.kernel import sysbpf

pytestmark = pytest.mark.kernel

DIALECT = linux((6, 18))
TYPES = {sysbpf.SOCKET_FILTER: "socket_filter", sysbpf.SCHED_CLS: "sched_cls", sysbpf.XDP: "xdp"}
MAPS = {"array": (2, 4, 8, 1), "hash": (1, 4, 8, 4), "ringbuf": (27, 0, 0, 4096), "queue": (22, 0, 8, 4),
        "percpu_array": (6, 4, 8, 4), "perf_event_array": (4, 4, 4, 1)}
MEMORY = (Arg.PTR_TO_MEM, Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE)
SIZES = (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO, Arg.CONST_ALLOC_SIZE_OR_ZERO)
EXIT = [Insn(0xB7, 0), Insn(0x95)]


@cache
def _why_not() -> str:
    release = platform.release()
    return sysbpf.why_not() or ("" if re.match(r"6\.18\b", release) else f"this is Linux {release}, not 6.18")


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


@cache
def _map(name: str) -> int:
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIII", attr, 0, *MAPS[name])
    return sysbpf.bpf(sysbpf.MAP_CREATE, attr)


class _Maker:
    """Code for our verifier (maps by index) and for a kernel (maps by descriptor)."""

    def __init__(self, rng: random.Random, type: int) -> None:
        self.rng, self.type = rng, type
        self.ours: list[Insn] = []
        self.theirs: list[Insn] = []
        self.maps: list[str] = []

    def add(self, *insns: Insn) -> None:
        self.ours += insns
        self.theirs += insns

    def map(self, register: int, name: str) -> None:
        if name not in self.maps:
            self.maps.append(name)
        self.ours += [Insn(0x18, register, 1, 0, self.maps.index(name)), Insn(0)]
        self.theirs += [Insn(0x18, register, 1, 0, _map(name)), Insn(0)]

    def setup(self) -> None:
        """R6 context, R7 packet with 64 proven bytes (not for socket filters), R9 a map value of 8 bytes."""
        self.add(Insn(0xBF, 6, 1), *[Insn(0x7A, 10, 0, -8 * slot) for slot in range(1, 17)])
        if self.type != sysbpf.SOCKET_FILTER:
            data, end = (76, 80) if self.type == sysbpf.SCHED_CLS else (0, 4)
            self.add(Insn(0x61, 7, 1, data), Insn(0x61, 8, 1, end), Insn(0xBF, 2, 7), Insn(0x07, 2, 0, 0, 64),
                     Insn(0xBD, 2, 8, 2), *EXIT)
        self.map(1, "array")
        self.add(Insn(0xBF, 2, 10), Insn(0x07, 2, 0, 0, -64), Insn(0x85, 0, 0, 0, 1), Insn(0x55, 0, 0, 2), *EXIT,
                 Insn(0xBF, 9, 0))

    def argument(self, register: int, spec: ArgSpec, helper: Helper) -> None:
        right = self.rng.random() < 0.75
        if spec.kind is Arg.CONST_MAP_PTR and right:
            fits = next((name for name in MAPS if name.split("_")[0] in helper.name), "array")
            self.map(register, "queue" if re.search("push|pop|peek", helper.name) else fits)
        elif spec.kind is Arg.PTR_TO_CTX and right:
            self.add(Insn(0xBF, register, 6))
        elif spec.kind in SIZES and right:
            self.add(Insn(0xB7, register, 0, 0, self.rng.choice((0, 1, 4, 8, 8, 16, 64, 65, -1))))
        else:
            self.anything(register, memory=right and spec.kind in MEMORY)

    def anything(self, register: int, *, memory: bool) -> None:
        packet = 9 if self.type == sysbpf.SOCKET_FILTER else 7
        stack = [Insn(0xBF, register, 10), Insn(0x07, register, 0, 0, self.rng.choice((-8, -64, -512)))]
        choices = [stack, [Insn(0xBF, register, 9)], [Insn(0xBF, register, packet)]]
        if not memory:
            choices += [[Insn(0xB7, register)], [Insn(0xB7, register, 0, 0, 8)], [Insn(0x61, register, 6, 12)],
                        [Insn(0xBF, register, 10)], [Insn(0xBF, register, 6)], [],
                        [Insn(0xBF, register, 9), Insn(0x07, register, 0, 0, 4)]]
        self.add(*self.rng.choice(choices))

    def program(self) -> tuple[str, Program]:
        offered = [(number, helper) for number in DIALECT.helpers
                   if (helper := DIALECT.helper(number, DIALECT.prog_type(TYPES[self.type])))]
        number, helper = self.rng.choice([item for item in offered if item[1].name != "bpf_tail_call"])
        self.setup()
        for register, spec in enumerate(helper.args, 1):
            self.argument(register, spec, helper)
        self.add(Insn(0x85, 0, 0, 0, number), *self.rng.choice(([], [Insn(0x79, 1, 0)], [Insn(0x61, 2, 9)])), *EXIT)
        specs = tuple(MapSpec(name, *MAPS[name][1:], name=name) for name in self.maps)
        return helper.name, Program("p", tuple(self.ours), TYPES[self.type], maps=specs, license="GPL")


@pytest.mark.parametrize("seed", range(6))
def test_calls_are_judged_alike(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        maker = _Maker(rng, rng.choice(list(TYPES)))
        name, program = maker.program()
        loaded = sysbpf.load(encode(maker.theirs), maker.type)
        if loaded.fd >= 0:
            os.close(loaded.fd)
        verdict = verify(program, DIALECT, log_level=0)
        if not verdict.ok and "not supported by ebpfvm" in verdict.message:
            continue
        assert verdict.ok == (loaded.fd >= 0), f"{name}: kernel {loaded.log[-300:]!r}, ours {verdict.message!r}"
