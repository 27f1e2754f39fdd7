"""Random programs of loops, walks, callbacks and functions, of which it is known where they consume their budget.

r9 points to 64 bytes of numbers that everything changes; r6, r7 and r8 count the rounds of loops by depth. A program
ends after a few hundred rounds. Some throw.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ebpfvm.loader.object import MapSpec, Program
from tests.unit.verifier.build import Fn, build

MAPS = (MapSpec("array", 4, 64, 1, name="state"), MapSpec("array", 4, 8, 3, name="few"),
        MapSpec("hash", 4, 8, 4, name="table"), MapSpec("hash", 4, 8, 1, name="single"))
_FIND = "*(u32 *)(r10 - 4) = 0\nr1 = map[id:0]\nr2 = r10\nr2 += -4\ncall 1\nif r0 == 0 goto none\nr9 = r0\n"
_END = "r0 = *(u32 *)(r9 + 0)\nexit\nnone:\nr0 = -1\nexit\n"


class Writer:
    """A program in the making; the names of labels that begin loops start with "round"."""

    def __init__(self, rng: random.Random, throws: bool) -> None:
        self.random, self.throws = rng, throws
        self.functions: list[Fn] = []
        self.labels = 0

    def label(self, kind: str) -> str:
        self.labels += 1
        return f"{kind}{self.labels}"

    # -- parts, with a pointer to the numbers in `at` ----------------------------------------------------------------

    def work(self, at: str) -> str:
        off, to = 8 * self.random.randrange(8), 8 * self.random.randrange(8)
        return (f"r1 = *(u64 *)({at} + {off})\nr1 *= {self.random.choice((3, 31))}\nr1 += {self.random.randrange(99)}\n"
                f"*(u64 *)({at} + {to}) = r1\n")

    def sometimes(self, at: str, text: str) -> str:
        """What happens for some numbers only."""
        over = self.label("over")
        return f"r1 = *(u64 *)({at} + 8)\nr1 &= 3\nif r1 != 0 goto {over}\n{text}{over}:\n"

    def loop(self, at: str, counter: int, body: str, kept: bool) -> str:
        """A loop of a few rounds (one would be no loop), or of so many that Python counts them."""
        begin, end, rounds = self.label("round"), self.label("end"), self.random.choice((2, 3, 5, 17, 20))
        text = f"r{counter} = 0\n{begin}:\n{body}"
        if kept:
            text += f"*(u64 *)({at} + 56) = r{counter}\n"
        if self.random.random() < .3:
            text += f"r1 = *(u64 *)({at} + 16)\nr1 &= 15\nif r1 == 0 goto {end}\n"
        return text + f"r{counter} += 1\nif r{counter} != {rounds} goto {begin}\n{end}:\n"

    def table(self) -> str:
        """An update or a deletion of an element, by a key that depends on the numbers."""
        key = "r1 = *(u64 *)(r9 + 24)\nr1 &= 7\n*(u32 *)(r10 - 4) = r1\n*(u64 *)(r10 - 16) = r1\n"
        number = self.random.choice((2, 2, 3))
        update = f"r1 = map[id:{number}]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\ncall 2\n"
        return key + (update if self.random.random() < .8 else f"r1 = map[id:{number}]\nr2 = r10\nr2 += -4\ncall 3\n")

    def call(self) -> str:
        """A call of a static function, which may have a loop."""
        name = self.label("local")
        body = "".join(self.work("r6") for _ in range(self.random.randrange(1, 3)))
        if self.random.random() < .5:
            body = self.loop("r6", 7, body, self.random.random() < .5)
        self.functions.append(Fn(name, f"r6 = r1\n{body}{self.thrown('r6')}r0 = *(u32 *)(r6 + 8)\nexit\n", ("ptr",),
                                 static=True))
        return f"r1 = r9\ncall @{name}\n*(u64 *)(r9 + 40) = r0\n"

    def thrown(self, at: str) -> str:
        if not self.throws or self.random.random() < .5:
            return ""
        return self.sometimes(at, f"r1 = *(u64 *)({at} + 32)\nr1 &= 255\ncall @bpf_throw\n")

    def callback(self, walks: bool) -> str:
        """The name of a callback; it changes what its context points to, and the element."""
        name = self.label("visit")
        context = "r4" if walks else "r2"
        text = f"r6 = {context}\n"
        if walks:
            text += "r2 = *(u32 *)(r2 + 0)\nr1 = *(u64 *)(r3 + 0)\nr1 += r2\nr1 += 1\n*(u64 *)(r3 + 0) = r1\n"
        text += "r2 = *(u64 *)(r6 + 0)\nr2 *= 31\nr2 += r1\n*(u64 *)(r6 + 0) = r2\n"
        if self.random.random() < .3:
            begin = self.label("round")
            text += (f"r7 = 0\n{begin}:\nr1 = *(u64 *)(r6 + 0)\nr1 += r7\n*(u64 *)(r6 + 0) = r1\nr7 += 1\n"
                     f"if r7 != {self.random.choice((2, 3, 16))} goto {begin}\n")
        text += "r1 = *(u64 *)(r6 + 0)\nr0 = 0\n"
        if self.random.random() < .4:
            text += "r1 &= 7\nif r1 != 0 goto on\nr0 = 1\non:\n"
        self.functions.append(Fn(name, text + "exit\n", ("ptr",) * 4 if walks else ("int", "ptr"), static=True))
        return name

    def walk(self) -> str:
        """bpf_loop or bpf_for_each_map_elem with a context on the stack."""
        walks = self.random.random() < .6
        what = f"map[id:{self.random.choice((1, 2, 2, 3))}]" if walks else self.random.choice((0, 1, 3, 18))
        return (f"r1 = *(u64 *)(r9 + 48)\n*(u64 *)(r10 - 24) = r1\nr1 = {what}\nr2 = @{self.callback(walks)}\n"
                f"r3 = r10\nr3 += -24\nr4 = 0\ncall {164 if walks else 181}\nr1 = *(u64 *)(r10 - 24)\nr1 += r0\n"
                "*(u64 *)(r9 + 48) = r1\n")

    def part(self, depth: int) -> str:
        kinds: list[Callable[[], str]] = [lambda: self.work("r9"), self.table, self.call, self.walk]
        if depth < 2:
            kinds += [lambda: self.nested(depth)] * 2
        return self.random.choice(kinds)()

    def nested(self, depth: int) -> str:
        body = "".join(self.part(depth + 1) for _ in range(self.random.randrange(1, 3)))
        return self.loop("r9", 6 + depth, body, self.random.random() < .5)


def program(seed: int, throws: bool = False) -> Program:
    """Return the program of a seed."""
    rng = random.Random(seed)
    writer = Writer(rng, throws)
    body = "".join(writer.part(0) for _ in range(rng.randrange(2, 5))) + writer.thrown("r9")
    return build(f"r8 = 0\nr7 = 0\nr6 = 0\n{_FIND}{body}{_END}", *writer.functions, maps=MAPS)
