"""How fast the verifier is on programs of the size that people write."""

from __future__ import annotations

import time
from pathlib import Path

from ebpfvm.api import dialect_of
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.loader.open import load
from ebpfvm.verifier import verify
from tests.bench.figures import Figure, Group, Measure, Settings
from tests.bench.whole_runs import plain

TESTS = Path(__file__).parents[1]
REAL = {"tc_maglev": "unit/runs/programs/tunnels.o", "dns_name": "unit/runs/programs/filters.o",
        "xdp_tcp_options": "unit/runs/programs/parsers.o", "balance": "unit/verifier/objects/load_balancer.o",
        "firewall": "bench/programs/firewall.o", "requests": "bench/programs/requests.o"}
LONG = ("tc_maglev", "dns_name", "firewall", "requests")
_BODY = ("r3 += 5", "r2 = *(u32 *)(r6 + 8)", "r2 &= 255", "r0 += r2", "*(u64 *)(r10 - 8) = r0",
         "r4 = *(u64 *)(r10 - 8)", "r4 <<= 3", "r4 ^= r3", "*(u64 *)(r10 - 16) = r4", "r5 = r4", "r5 >>= 32",
         "w3 += w5", "r0 |= r5")
YARDSTICK = "plain fifo, 1 packet"


def made(name: str, lines: list[str]) -> Program:
    """Return a program of assembler lines, without the exit."""
    return Program(name=name, insns=tuple(assemble("\n".join([*lines, "r0 = 0", "exit"]))), type="sched_cls",
                   license="GPL")


def straight(size: int) -> Program:
    """Return a program of `size` instructions without a branch."""
    start = ["r6 = r1", "r0 = 0", "r3 = 7"]
    return made("straight", start + [_BODY[at % len(_BODY)] for at in range(size - len(start) - 2)])


def branchy(blocks: int) -> Program:
    """Return a program with two branches in each of `blocks` blocks."""
    lines = ["r6 = r1", "r0 = 0"]
    for at in range(blocks):
        lines += [f"r2 = *(u32 *)(r6 + {at % 3 * 4})", f"if r2 > {at % 50 + 10} goto l{at}", "r0 += 1", "r3 = r2",
                  "r3 += 3", f"if r3 == 5 goto l{at}", "r0 ^= 2", f"l{at}:"]
    return made("branchy", lines)


def loop(rounds: int) -> Program:
    """Return a program that loops `rounds` times."""
    return made("loop", ["r6 = r1", "r0 = 0", "r7 = 0", "again:", "r2 = *(u32 *)(r6 + 8)", "r2 &= 15", "r0 += r2",
                         "r3 = r7", "r3 <<= 2", "*(u64 *)(r10 - 8) = r3", "r7 += 1", f"if r7 < {rounds} goto again"])


def group(settings: Settings) -> Group:
    """Return the verifier on some of the tests' programs and on made ones."""
    programs = {name: load(TESTS / path).programs[name] for name, path in REAL.items()}
    if settings.quick:
        for name in LONG:
            del programs[name]
    programs |= {"made, straight": straight(settings.size(5000, 200)),
                 "made, branchy": branchy(settings.size(140, 10)), "made, loop": loop(settings.size(2000, 20))}
    yardstick = settings.size(20_000, 500)

    def plain_packet() -> float:
        outcome = plain("fifo", yardstick)
        return outcome.seconds / outcome.offered * 1e6

    contenders: dict[str, Measure] = {name: judge(program, settings) for name, program in programs.items()}
    return Group("verifier", "k/s", "Thousands of processed instructions per second of processor time, all passes "
                 "included, without a log; the first six are compiled C programs of the tests. The reference is the "
                 "plain Python loop of `runs`, so that machines can be compared: the ratio is how many instructions "
                 "are verified while it handles one packet (its median is in thousands of packets per second).",
                 contenders | {YARDSTICK: plain_packet},
                 [Figure(name, YARDSTICK, goal="" if name.startswith("made") else ">= 90 k/s") for name in contenders],
                 shown=lambda us: 1e3 / us)


def judge(program: Program, settings: Settings) -> Measure:
    """Return microseconds per processed instruction of judging `program`, small ones several times."""
    dialect = dialect_of(program)
    least = settings.size(5000, 1)

    def measure() -> float:
        processed = 0
        begin = time.process_time()
        while processed < least:
            verdict = verify(program, dialect, log_level=0)
            assert verdict.ok, verdict.message
            processed += verdict.processed
        return (time.process_time() - begin) / processed * 1e6
    return measure
