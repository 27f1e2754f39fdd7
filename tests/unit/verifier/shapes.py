"""Shapes of programs whose walk ends early only if it is known what is read of the stack: what each kernel walks of
them is in counts.json.

Each begins with diamonds that leave different numbers in slots that nobody reads, or that are read through a pointer
that has to be followed: through a spill, a call, a callback, a map chosen at run time, an index that is not known.
"""

from __future__ import annotations

from ebpfvm.loader.object import Program
from tests.unit.verifier.build import Fn, build

END = "r0 = 0\nexit\n"
SLOTS = (72, 80, 88, 96, 104, 112, 120, 128)


def diamonds(count: int, slots: tuple[int, ...] = SLOTS, width: str = "u64") -> str:
    """Branches on what the context holds; one side of each writes another number to a slot, or a pointer."""
    text = ""
    for at in range(count):
        slot = slots[at % len(slots)]
        value = "r6" if slot >= 112 and width == "u64" else str(at + 7)
        text += (f"r1 = *(u32 *)(r6 + {4 * (at % 3)})\nif r1 == {at + 3} goto +2\n"
                 f"r2 = {value}\n*({width} *)(r10 - {slot}) = r2\n")
    return text


def _fill(text: str, slots: tuple[int, ...] = SLOTS) -> str:
    return "r6 = r1\n" + "".join(f"*(u64 *)(r10 - {slot}) = 0\n" for slot in slots) + text


ROUND = diamonds(8)
LOOKUP = "r2 = r10\nr2 += -{0}\nr1 = map[id:{1}]\ncall 1\n"
SUM = Fn("sum", "r0 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 8)\nr0 += r2\nexit\n", ("ptr",), static=True)
STORE = Fn("store", "*(u64 *)(r1 + 0) = 5\nr0 = 0\nexit\n", ("ptr",), static=True)
DEEP = Fn("deep", "*(u64 *)(r10 - 8) = r1\nr6 = 1\nr1 = r10\nr1 += -8\ncall @inner\n" + END, ("ptr",), static=True)
INNER = Fn("inner", "r2 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r2 + 0)\n" + END, ("ptr",), static=True)
PUT = Fn("put", "if r1 == 0 goto +1\n*(u32 *)(r1 + 0) = 7\n" + END, ("number",))
EACH = Fn("each", "r0 = *(u64 *)(r2 + 0)\nr0 += r1\n*(u64 *)(r2 + 8) = r0\n" + END, ("int", "ptr"), static=True)

SHAPES: dict[str, tuple[Fn | str, ...]] = {
    "dead slots": (_fill(ROUND * 2 + END),),
    "read at the end": (_fill(ROUND + "r3 = *(u64 *)(r10 - 80)\nr4 = r3\n" + ROUND + END),),
    "spilled frame pointer": (_fill("r3 = r10\nr3 += -72\n*(u64 *)(r10 - 8) = r3\n" + ROUND + ROUND
                                    + "r3 = *(u64 *)(r10 - 8)\nr4 = *(u64 *)(r3 + 0)\n" + END),),
    "pointer to a function": (_fill("r1 = r10\nr1 += -80\ncall @sum\n" + ROUND + "r1 = r10\nr1 += -96\ncall @sum\n"
                                    + ROUND + END), SUM),
    "function that overwrites": (_fill(ROUND + "r1 = r10\nr1 += -80\ncall @store\n" + ROUND
                                       + "r1 = r10\nr1 += -80\ncall @sum\n" + END), STORE, SUM),
    "pointer through two functions": (_fill(ROUND + "r1 = r10\nr1 += -88\ncall @deep\n" + ROUND + END), DEEP, INNER),
    "index that is not known": (_fill(ROUND + "r3 = *(u32 *)(r6 + 0)\nr3 &= 8\nr2 = r10\nr2 += -88\nr2 += r3\n"
                                      "r4 = *(u64 *)(r2 + 0)\n" + ROUND + END),),
    "store by index": (_fill(ROUND + "r3 = *(u32 *)(r6 + 0)\nr3 &= 24\nr2 = r10\nr2 += -104\nr2 += r3\n"
                             "*(u64 *)(r2 + 0) = 1\n" + ROUND + "r4 = *(u64 *)(r10 - 104)\n" + END),),
    "size that is not known": (_fill(ROUND + "r4 = *(u32 *)(r6 + 8)\nr4 &= 15\nr4 += 1\nr1 = r6\nr2 = 0\nr3 = r10\n"
                                     "r3 += -96\ncall 26\n" + ROUND + "r4 = *(u64 *)(r10 - 96)\n" + END),),
    "key of a map": (_fill(ROUND + LOOKUP.format(72, 0) + ROUND + LOOKUP.format(80, 1) + ROUND + END),),
    "map chosen at run time": (_fill(ROUND + "r1 = *(u32 *)(r6 + 8)\nif r1 > 7 goto +3\nr7 = map[id:0]\ngoto +2\n"
                                     "r7 = map[id:1]\n" + ROUND + "r1 = r7\nr2 = r10\nr2 += -80\ncall 1\n" + ROUND
                                     + END),),
    "value of an update": (_fill(ROUND + "r2 = r10\nr2 += -72\nr3 = r10\nr3 += -96\nr1 = map[id:1]\nr4 = 0\ncall 2\n"
                                 + ROUND + END),),
    "context of a callback": (_fill(ROUND + "r1 = 4\nr2 = @each\nr3 = r10\nr3 += -88\nr4 = 0\ncall 181\n" + ROUND
                                    + END), EACH),
    "global function that only writes": (_fill(ROUND + "r1 = r10\nr1 += -88\ncall @put\n" + ROUND + END), PUT),
    "halves of slots": (_fill(diamonds(8, width="u32") + "r3 = *(u32 *)(r10 - 76)\n" + diamonds(8, width="u32")
                              + "r3 = *(u32 *)(r10 - 84)\n" + END),),
    "bytes": (_fill(diamonds(8, width="u8") + "r3 = *(u8 *)(r10 - 72)\n" + diamonds(8, width="u16") + END),),
    "atomic on the stack": (_fill(ROUND + "r3 = 1\nlock *(u64 *)(r10 - 80) += r3\n" + ROUND + END),),
    "linked numbers": (_fill("r7 = *(u32 *)(r6 + 0)\nr8 = r7\nr8 += 4\n*(u64 *)(r10 - 16) = r8\n" + ROUND
                             + "if r7 > 9 goto +2\nr3 = *(u64 *)(r10 - 16)\nr4 = r3\n" + ROUND + END),),
    "copies of numbers": (_fill("r7 = *(u32 *)(r6 + 0)\n*(u64 *)(r10 - 16) = r7\nr8 = *(u64 *)(r10 - 16)\n" + ROUND
                                + "if r8 > 15 goto +4\nr2 = r10\nr2 += -100\nr2 += r8\n*(u8 *)(r2 + 0) = 1\n" + ROUND
                                + END),),
    "loop over an array": (_fill("r7 = 0\n" + diamonds(3) + "r2 = r10\nr2 += -128\nr3 = r7\nr3 <<= 3\nr2 += r3\n"
                                 "r4 = *(u64 *)(r2 + 0)\nr7 += 1\nif r7 < 6 goto -8\n" + ROUND + END),),
    "iterator": (_fill("r1 = r10\nr1 += -16\nr2 = 0\nr3 = 10\ncall @bpf_iter_num_new\n" + diamonds(3)
                       + "r1 = r10\nr1 += -16\ncall @bpf_iter_num_next\nif r0 == 0 goto +2\n*(u64 *)(r10 - 72) = 1\n"
                       "goto -6\nr1 = r10\nr1 += -16\ncall @bpf_iter_num_destroy\n" + ROUND + END),),
}


def program(name: str) -> Program:
    """The program of a shape."""
    return build(*SHAPES[name])
