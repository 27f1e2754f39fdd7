"""Small programs, one for each rule, with what a verifier says: None is acceptance.

Each row: name, program type, text, message under the rules of 6.18, message under those of 7.2 if it is another. A
real kernel is asked about the same rows in tests/kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import MapSpec, Program

MAPS = (MapSpec("array", 4, 16, 2, name="arr"), MapSpec("hash", 8, 24, 8, name="hash"),
        MapSpec("prog_array", 4, 4, 4, name="progs"), MapSpec("ringbuf", 0, 0, 4096, name="rb"),
        MapSpec("array_of_maps", 4, 4, 2, name="outer", inner=MapSpec("array", 4, 16, 2)),
        MapSpec("array", 4, 16, 1, name="ro", map_flags=0x80, data=bytes(range(16))))
SAME = "the same"


@dataclass(frozen=True)
class Rule:
    """See the module."""

    name: str
    type: str
    text: str
    old: str | None = None
    new: str | None = SAME

    def program(self) -> Program:
        """As the loader would give it."""
        return Program(name="prog", insns=assemble(self.text), type=self.type, license="GPL", maps=MAPS)

    def message(self, version: tuple[int, int]) -> str | None:
        """What is expected."""
        return self.old if version < (7, 0) or self.new == SAME else self.new


TC, XDP, SF = "sched_cls", "xdp", "socket_filter"
EXIT = "\nr0 = 0\nexit\n"
LOOKUP = "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\n"
VALUE = LOOKUP + "if r0 == 0 goto out\n"
OUT = "\nout:\nr0 = 0\nexit\n"
PACKET = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n"
RESERVE = "r1 = map[id:3]\nr2 = 16\nr3 = 0\ncall 131\n"


def _bounds(kind: str, old: int, size: int, which: str) -> str:
    return f"invalid access to {kind} off={old} size={size}\nR0 {which} value is outside of the allowed memory range"


RULES: tuple[Rule, ...] = (
    # registers and arithmetic
    Rule("exit without a result", TC, "exit", "R0 !read_ok"),
    Rule("uninitialised source", TC, "r0 = r7\nexit", "R7 !read_ok"),
    Rule("uninitialised operand", TC, "r0 = 0\nr0 += r3\nexit", "R3 !read_ok"),
    Rule("registers die at a call", TC, "call 7\nr0 = r1\nexit", "R1 !read_ok"),
    Rule("saved registers live on", TC, "r6 = r1\ncall 7\nr0 = *(u32 *)(r6 + 0)\nexit"),
    Rule("frames without stack take none", SF, "*(u8 *)(r10 - 512) = 0\ncall leaf\nexit\nleaf:\nr0 = 0\nexit"),
    Rule("frame pointer", TC, "r10 = 5" + EXIT, "frame pointer is read only"),
    Rule("division by zero", TC, "r0 = 1\nr0 /= 0\nexit", "div by zero"),
    Rule("division by a register", TC, "r0 = 1\nr2 = 0\nr0 /= r2\nexit"),
    Rule("shift too far", TC, "r0 = 1\nr0 <<= 64\nexit", "invalid shift 64"),
    Rule("narrow shift too far", TC, "w0 = 1\nw0 <<= 32\nexit", "invalid shift 32"),
    Rule("sum of pointers", TC, "r2 = r10\nr2 += r1" + EXIT, "R2 pointer += pointer prohibited"),
    Rule("difference of pointers", TC, "r2 = r10\nr2 -= r1" + EXIT),
    Rule("narrow arithmetic on a pointer", TC, "r2 = r10\nw2 += 1" + EXIT, "R2 32-bit pointer arithmetic prohibited"),
    Rule("product of a pointer", TC, "r2 = r10\nr2 *= 2" + EXIT, "R2 pointer arithmetic with *= operator prohibited"),
    Rule("mask of a pointer", TC, "r2 = r10\nr2 &= 8" + EXIT, "R2 bitwise operator &= on pointer prohibited"),
    Rule("stack minus number", TC, "r2 = r10\nr2 -= 8" + EXIT, "R2 subtraction from stack pointer prohibited"),
    Rule("number minus pointer", TC, "r2 = 1\nr2 -= r10" + EXIT, "R2 tried to subtract pointer from scalar"),
    Rule("huge constant", TC, "r2 = r10\nr2 += 536870912" + EXIT,
         "math between fp pointer and 536870912 is not allowed"),
    Rule("unbounded amount", TC, "call 5\nr2 = r10\nr2 += r0" + EXIT,
         "math between fp pointer and register with unbounded min value is not allowed"),
    Rule("arithmetic before the check", TC, LOOKUP + "r0 += 4" + EXIT,
         "R0 pointer arithmetic on map_value_or_null prohibited, null-check it first"),
    Rule("arithmetic on a map", TC, "r2 = map[id:0]\nr2 += 8" + EXIT,
         "R2 pointer arithmetic on map_ptr prohibited"),
    Rule("arithmetic on the end", TC, "r3 = *(u32 *)(r1 + 80)\nr3 += 1" + EXIT,
         "R3 pointer arithmetic on pkt_end prohibited"),
    # stack
    Rule("below the stack", TC, "*(u64 *)(r10 - 520) = 0" + EXIT, "invalid write to stack R10 off=-520 size=8"),
    Rule("above the stack", TC, "*(u64 *)(r10 + 0) = 0" + EXIT, "invalid write to stack R10 off=0 size=8"),
    Rule("misaligned stack", TC, "*(u32 *)(r10 - 7) = 0" + EXIT, "misaligned stack access off 0+0+-7 size 4",
         "misaligned stack access off 0+-7 size 4"),
    Rule("uninitialised stack is readable for root", TC, "r0 = *(u64 *)(r10 - 8)\nexit"),
    Rule("narrow spill of a pointer", TC, "*(u32 *)(r10 - 8) = r1" + EXIT, "invalid size of register spill"),
    Rule("narrow fill of a pointer", TC, "*(u64 *)(r10 - 8) = r1\nr0 = *(u32 *)(r10 - 8)\nexit",
         "invalid size of register fill"),
    Rule("fill gives the pointer back", TC,
         "*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 0)\nexit"),
    Rule("overwritten spill", TC, "*(u64 *)(r10 - 8) = r1\n*(u8 *)(r10 - 8) = 0\nr2 = *(u64 *)(r10 - 8)\n"
         "r0 = *(u32 *)(r2 + 0)\nexit", "R2 invalid mem access 'scalar'"),
    Rule("variable offset in bounds", TC, "call 7\nr0 &= 7\nr2 = r10\nr2 += -16\nr2 += r0\nr0 = *(u8 *)(r2 + 0)\nexit"),
    # context
    Rule("context field", TC, "r0 = *(u32 *)(r1 + 0)\nexit"),
    Rule("narrow context field", TC, "r0 = *(u8 *)(r1 + 0)\nexit"),
    Rule("wide context field", TC, "r0 = *(u64 *)(r1 + 0)\nexit", "invalid bpf_context access off=0 size=8"),
    Rule("behind the context", XDP, "r0 = *(u32 *)(r1 + 24)\nexit", "invalid bpf_context access off=24 size=4"),
    Rule("read-only field", TC, "*(u32 *)(r1 + 0) = 1" + EXIT, "invalid bpf_context access off=0 size=4"),
    Rule("mark can be written", TC, "*(u32 *)(r1 + 8) = 1" + EXIT),
    Rule("moved context", TC, "r1 += 4\nr0 = *(u32 *)(r1 + 0)\nexit",
         "dereference of modified ctx ptr R1 off=4 disallowed"),
    Rule("no data for socket filters", SF, "r0 = *(u32 *)(r1 + 76)\nexit", "invalid bpf_context access off=76 size=4"),
    Rule("atomic on the context", TC, "r2 = 1\nlock *(u32 *)(r1 + 8) += r2" + EXIT,
         "BPF_ATOMIC stores into R1 ctx is not allowed"),
    # maps
    Rule("no NULL check", TC, LOOKUP + "r0 = *(u64 *)(r0 + 0)\nexit", "R0 invalid mem access 'map_value_or_null'"),
    Rule("NULL check", TC, VALUE + "r1 = *(u64 *)(r0 + 8)" + OUT),
    Rule("other branch is NULL", TC, LOOKUP + "if r0 != 0 goto out\nr1 = *(u64 *)(r0 + 0)" + OUT,
         "R0 invalid mem access 'scalar'"),
    Rule("copies are checked together", TC, LOOKUP + "r6 = r0\nif r0 == 0 goto out\nr1 = *(u64 *)(r6 + 0)" + OUT),
    Rule("constant key of an array needs no check", TC,
         "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\nr0 = *(u64 *)(r0 + 0)\nexit"),
    Rule("behind the value", TC, VALUE + "r1 = *(u64 *)(r0 + 16)" + OUT,
         _bounds("map value, value_size=16", 16, 8, "max").replace("max", "min")),
    Rule("before the value", TC, VALUE + "r1 = *(u64 *)(r0 - 8)" + OUT,
         _bounds("map value, value_size=16", -8, 8, "min")),
    Rule("negative index", TC, VALUE + "r1 = -8\nr0 += r1\nr1 = *(u64 *)(r0 + 0)" + OUT,
         _bounds("map value, value_size=16", -8, 8, "min"),
         "R0 min value is negative, either use unsigned index or do a if (index >=0) check."),
    Rule("unbounded index", TC, "r6 = *(u32 *)(r1 + 0)\n" + VALUE + "r0 += r6\nr1 = *(u8 *)(r0 + 0)" + OUT,
         "R0 unbounded memory access, make sure to bounds check any such access"),
    Rule("index too large", TC, "r6 = *(u32 *)(r1 + 0)\n" + VALUE + "r6 &= 16\nr0 += r6\nr1 = *(u8 *)(r0 + 0)" + OUT,
         _bounds("map value, value_size=16", 16, 1, "max")),
    Rule("bounded index", TC, "r6 = *(u32 *)(r1 + 0)\n" + VALUE + "r6 &= 15\nr0 += r6\nr1 = *(u8 *)(r0 + 0)" + OUT),
    Rule("index by comparison", TC, "r6 = *(u32 *)(r1 + 0)\n" + VALUE
         + "if r6 > 15 goto out\nr0 += r6\nr1 = *(u8 *)(r0 + 0)" + OUT),
    Rule("key not on the stack", TC, "r2 = 0\nr1 = map[id:0]\ncall 1\nexit",
         "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
         "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_, ctx"),
    Rule("no map", TC, "r2 = r10\nr2 += -4\ncall 1\nexit", "R1 type=ctx expected=map_ptr"),
    Rule("wrong map for a tail call", TC, "r2 = map[id:0]\nr3 = 0\ncall 12" + EXIT,
         "expected prog array map for tail call"),
    Rule("tail call", TC, "r2 = map[id:2]\nr3 = 0\ncall 12" + EXIT),
    Rule("lookup in a prog array", TC, "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:2]\ncall 1" + EXIT,
         "cannot pass map_type 3 into func bpf_map_lookup_elem#1"),
    Rule("map in map", TC, "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[id:4]\ncall 1\nif r0 == 0 goto out\n"
         "r1 = r0\nr2 = r10\nr2 += -4\ncall 1\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 0)" + OUT),
    Rule("map in map without a check", TC, "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[id:4]\ncall 1\n"
         "r1 = r0\nr2 = r10\nr2 += -4\ncall 1" + EXIT, "R1 type=map_value_or_null expected=map_ptr"),
    # packets
    Rule("packet without a check", TC, "r2 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r2 + 0)\nexit",
         "invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)\nR2 offset is outside of the packet",
         "invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)\n"
         "R2 min value is outside of the allowed memory range"),
    Rule("packet in range", TC, PACKET + "r0 = *(u8 *)(r2 + 13)" + OUT),
    Rule("packet behind the range", TC, PACKET + "r0 = *(u8 *)(r2 + 14)" + OUT,
         "invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)\nR2 offset is outside of the packet",
         "invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)\n"
         "R2 min value is outside of the allowed memory range"),
    Rule("packet on the wrong branch", TC, PACKET.replace("goto out", "goto far")
         + "r0 = 0\nexit\nfar:\nr0 = *(u8 *)(r2 + 0)\nexit",
         "invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)\nR2 offset is outside of the packet",
         "invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)\n"
         "R2 min value is outside of the allowed memory range"),
    Rule("packet write", TC, PACKET + "*(u8 *)(r2 + 0) = 1" + OUT),
    Rule("helpers move the packet", TC, "r6 = r1\n" + PACKET + "r7 = r2\nr1 = r6\nr2 = 14\ncall 39\n"
         "r0 = *(u8 *)(r7 + 0)" + OUT, "R7 invalid mem access 'scalar'"),
    # calls
    Rule("unknown helper", TC, "call 9999\nexit", "invalid func unknown#9999"),
    Rule("helper of another type", SF, "r2 = 0\ncall 39\nexit", "program of this type cannot use helper "
         "bpf_skb_pull_data#39"),
    Rule("helper buffer too short", TC, "r2 = 0\nr3 = r10\nr3 += -8\nr4 = 16\ncall 26" + EXIT,
         "invalid write to stack R3 off=-8 size=16"),
    Rule("helper size may be zero", TC, "r6 = r1\ncall 7\nr4 = r0\nr4 &= 7\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\n"
         "call 26" + EXIT, "R4 invalid zero-sized read: u64=[0,7]"),
    Rule("helper size unbounded", TC, "r6 = r1\ncall 7\nr4 = r0\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\ncall 26" + EXIT,
         "R4 min value is negative, either use unsigned or 'var &= const'"),
    # references
    Rule("record submitted", TC,
         RESERVE + "if r0 == 0 goto out\n*(u64 *)(r0 + 8) = 1\nr1 = r0\nr2 = 0\ncall 132" + OUT),
    Rule("record lost", TC, RESERVE + EXIT,
         "Unreleased reference id=2 alloc_insn=4\nBPF_EXIT instruction in main prog would lead to reference leak"),
    Rule("record used afterwards", TC, RESERVE + "if r0 == 0 goto out\nr6 = r0\nr1 = r0\nr2 = 0\ncall 132\n"
         "r0 = *(u64 *)(r6 + 0)" + OUT, "R6 invalid mem access 'scalar'"),
    Rule("behind the record", TC, RESERVE + "if r0 == 0 goto out\n*(u64 *)(r0 + 16) = 1\nr1 = r0\nr2 = 0\ncall 132"
         + OUT, "invalid access to memory, mem_size=16 off=16 size=8\n"
                "R0 min value is outside of the allowed memory range"),
    Rule("tail call with a record", TC, "r6 = r1\n" + RESERVE + "if r0 == 0 goto out\nr7 = r0\nr1 = r6\n"
         "r2 = map[id:2]\nr3 = 0\ncall 12\nr1 = r7\nr2 = 0\ncall 132" + OUT,
         "Unreleased reference id=2 alloc_insn=5\ntail_call would lead to reference leak"),
    # control flow
    Rule("jump out", TC, "r0 = 0\ngoto +5\nexit", "jump out of range from insn 1 to 7"),
    Rule("no exit", TC, "r0 = 0", "last insn is not an exit or jmp"),
    Rule("unreachable", TC, "r0 = 0\ngoto +1\nr0 = 1\nexit", "unreachable insn 2"),
    Rule("endless loop", TC, "r0 = 0\ngoto -1", "infinite loop detected at insn 1"),
    Rule("bounded loop", TC, "r0 = 0\nloop:\nr0 += 1\nif r0 < 100 goto loop\nexit"),
    Rule("result of a socket filter", SF, "r0 = 5\nexit"),
    Rule("packet load", SF, "r6 = r1\nr0 = *(u8 *)skb[14]\nexit"),
    Rule("packet load without a context", SF, "r6 = 0\nr0 = *(u8 *)skb[14]\nexit",
         "at the time of BPF_LD_ABS|IND R6 != pointer to skb"),
    Rule("packet load in xdp", XDP, "r6 = r1\nr0 = *(u8 *)skb[14]\nexit",
         "BPF_LD_[ABS|IND] instructions not allowed for this program type"),
    Rule("call of a function", TC, "r1 = 1\ncall pc+2\nr0 = 0\nexit\nr0 = r1\nexit"),
    Rule("returned stack pointer", TC, "call pc+2\nr0 = 0\nexit\nr0 = r10\nexit",
         "cannot return stack pointer to the caller"),
)


