"""Reading structs of the kernel, casts, and variables of the kernel."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects.kernel_types import kernel_types
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import CoreRelo, Program
from ebpfvm.verifier.memory.struct_walk import Found, descend
from tests.unit.verifier.build import Fn, build, message

OLD, NEW = (6, 18), (7, 2)
END = "r0 = 0\nexit\n"
KERNEL = "call @bpf_cast_to_kern_ctx\nr6 = r0\n"
TASK = "call 158\nr6 = r0\n"


def place(struct: str, field: str, version: tuple[int, int] = OLD) -> int:
    """Byte offset of a field, also of one inside of parts without a name."""
    types = kernel_types(version)

    def find(number: int) -> int | None:
        found = types.resolved(number)
        for member in getattr(found, "members", ()):
            inner = find(member.type) if not member.name else 0 if member.name == field else None
            if inner is not None:
                return int(member.bit_offset) // 8 + inner
        return None
    at = find(types.find(struct, t.Kind.STRUCT) or 0)
    assert at is not None
    return at


def placed(text: str, version: tuple[int, int]) -> str:
    """The text with `struct.field` replaced by its offset in this version, and `struct.field+N` by N bytes more."""
    return re.sub(r"(\w+)\.(\w+)(?:\+(\d+))?", lambda m: str(place(m[1], m[2], version) + int(m[3] or 0)), text)


def field(at: int | str, size: str = "u32", dst: str = "r0", base: str = "r6") -> str:
    return f"{dst} = *({size} *)({base} + {at})\n"


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(("text", "expected"), [
    (KERNEL + field("sk_buff.len"), ""),
    (KERNEL + field("sk_buff.len", "u8"), ""),
    (KERNEL + field("sk_buff.data", "u64") + "r0 = *(u8 *)(r0 + 100)\n", ""),
    (KERNEL + field("sk_buff.dev", "u64") + field("net_device.ifindex", base="r0"), ""),
    (KERNEL + field("sk_buff.sk", "u64") + field("sock.sk_mark", base="r0"),
     "R0 invalid mem access 'rcu_ptr_or_null_'"),
    (KERNEL + field("sk_buff.sk", "u64") + "if r0 == 0 goto +1\n" + field("sock.sk_mark", base="r0"), ""),
    (KERNEL + field("sk_buff.sk", "u32"),
     "cannot access ptr member sk with moff sk_buff.sk in struct sk_buff with off sk_buff.sk size 4"),
    (KERNEL + field(4096), "access beyond struct sk_buff at off 4096 size 4"),
    (KERNEL + field("sk_buff.len+2"), "access beyond the end of member len (mend:sk_buff.len+4) in struct sk_buff with "
                                      "off sk_buff.len+2 size 4"),
    (KERNEL + field(-8), "R6 is ptr_sk_buff invalid negative access: off=-8"),
    (TASK + field("task_struct.pid"), ""),
    (TASK + field("task_struct.real_parent", "u64") + field("task_struct.pid", base="r0"), ""),
    (TASK + field("task_struct.comm+3", "u8"), ""),
])
def test_reads(text: str, expected: str, version: tuple[int, int]) -> None:
    assert message(build(placed(text, version) + "r0 = 0\nexit\n"), version) == placed(expected, version)


@pytest.mark.parametrize(("version", "said"), [
    ((6, 18), "only read is supported"), ((7, 2), "R6 cannot write into ptr_sk_buff at off=sk_buff.hash size=4")],
    ids=["6.18", "7.2"])
def test_a_write(version: tuple[int, int], said: str) -> None:
    text = KERNEL + "*(u32 *)(r6 + sk_buff.hash) = 1\nr0 = 0\nexit\n"
    assert message(build(placed(text, version)), version) == placed(said, version)


def test_a_moved_pointer() -> None:
    index = "r7 = *(u32 *)(r1 + 0)\nr7 &= 8\n"
    assert message(build(index + KERNEL + "r6 += r7\n" + field(0) + "exit\n")) \
        == "R6 is ptr_sk_buff invalid variable offset: off=0, var_off=(0x0; 0x8)"
    assert message(build(KERNEL + f"r6 += {place('sk_buff', 'len')}\n" + field(0) + "exit\n")) == ""


def test_casts() -> None:
    assert message(build("r1 = 1\ncall @bpf_cast_to_kern_ctx\n" + END)) \
        == "arg#0 expected pointer to ctx, but got scalar"
    assert message(build("r1 = 0\ncall @bpf_cast_to_kern_ctx\n" + END), NEW) \
        == "Possibly NULL pointer passed to trusted R1"
    anything = "r1 = 4096\nr2 = {}\ncall @bpf_rdonly_cast\n"
    assert message(build(anything.format(0) + "r0 = *(u64 *)(r0 + 64)\nexit\n")) == ""
    assert message(build(anything.format(0) + "*(u64 *)(r0 + 0) = 1\n" + END)) \
        == "R0 cannot write into rdonly_untrusted_mem"
    assert message(build(anything.format(0x7FFFFFFF) + END)) \
        == "Unknown type ID 2147483647 passed to kfunc bpf_rdonly_cast"
    assert message(build("r2 = *(u32 *)(r1 + 0)\ncall @bpf_rdonly_cast\n" + END)) == "R2 must be a known constant"
    assert message(build(anything.format(7) + END)).endswith("not supported by ebpfvm")
    xdp = build(KERNEL + field(place("xdp_buff", "rxq"), "u64") + field(place("xdp_rxq_info", "queue_index"), base="r0")
                + "exit\n", type="xdp")
    assert message(xdp) == ""


def test_a_freed_socket_is_no_pointer() -> None:
    find = ("r2 = r10\nr2 += -36\nr3 = 12\nr4 = -1\nr5 = 0\ncall 99\nif r0 == 0 goto out\nr7 = r0\nr1 = r0\ncall 137\n"
            "if r0 != 0 goto on\nr1 = r7\ncall 86\ngoto out\non:\nr6 = r0\n")
    read, free, out = field(place("tcp_sock", "snd_cwnd")), "r1 = r7\ncall 86\n", "out:\nr0 = 0\nexit\n"
    assert message(build(find + read + free + out)) == ""
    assert message(build(find + free + read + out)) == "R6 invalid mem access 'scalar'"


def test_fields_by_their_names() -> None:
    b = BtfBuilder()
    u32 = b.integer("unsigned int", 4)
    local = b.struct("sk_buff", [("len", u32)])
    program = build("call @bpf_cast_to_kern_ctx\nr0 = *(u32 *)(r0 + 0)\nexit\n", builder=b)
    assert message(program).startswith("cannot access ptr member next")
    moved = replace(program, core_relos=(CoreRelo(1, local, "0:0", 0),))
    assert message(moved) == ""


# -- variables ------------------------------------------------------------------------------------------------------


def symbol(name: str, text: str, kind: str = "int", weak: bool = False) -> Program:
    """A program whose first instruction loads a symbol of the kernel into R1."""
    b = BtfBuilder()
    number = b.integer("int", 4, signed=True) if kind == "int" else 0
    b.add(t.Var(name, number, t.Linkage.EXTERN))
    if kind == "func":
        b.add(t.Func(name, b.add(t.FuncProto(0, ())), t.Linkage.EXTERN))
    made = build(Fn("prog", "r1 = 77 ll\n" + text, ("ptr",)), builder=b)
    return replace(made, insns=(Insn(0x18, 1, 3, 0, 1), *made.insns[1:]), ksyms={1: name},
                   weak=frozenset({name} if weak else ()))


def test_variables_of_a_cpu() -> None:
    use = "r0 = *(u32 *)(r0 + 0)\nexit\n"
    assert message(symbol("bpf_prog_active", "call 154\n" + use)) == ""
    assert message(symbol("bpf_prog_active", "call 154\n*(u32 *)(r0 + 0) = 1\n" + END)) \
        == "R0 cannot write into rdonly_mem"
    assert message(symbol("bpf_prog_active", "r2 = 1\ncall 153\n" + use)) \
        == "R0 invalid mem access 'rdonly_mem_or_null'"
    assert message(symbol("bpf_prog_active", "r2 = 1\ncall 153\nif r0 == 0 goto +1\nr0 = *(u32 *)(r0 + 0)\n"
                          + END)) == ""
    assert message(symbol("bpf_prog_active", "r0 = *(u32 *)(r1 + 0)\nexit\n")) \
        == "R1 is ptr_int access percpu memory: off=0"
    assert message(symbol("runqueues", f"call 154\nr0 = *(u32 *)(r0 + {place('rq', 'cpu')})\nexit\n")) == ""


def test_symbols_that_may_be_missing() -> None:
    bad = "if r1 == 0 goto +1\nr0 = *(u32 *)(r9 + 0)\n" + END
    assert message(symbol("absent", bad, weak=True)) == ""
    assert message(symbol("absent", bad)) == "kernel symbol absent not supported by ebpfvm"
    assert message(symbol("address", bad, "void")) == "R9 !read_ok"
    assert message(symbol("address", "r0 = *(u32 *)(r1 + 0)\nexit\n", "void")) == "R1 invalid mem access 'scalar'"
    assert message(symbol("bpf_rcu_read_lock", bad, "func", weak=True)) == "R9 !read_ok"
    assert message(symbol("bpf_no_such_kfunc", bad, "func", weak=True)) == ""


# -- the walk -------------------------------------------------------------------------------------------------------


def test_walk_through_parts() -> None:
    b = BtfBuilder()
    u8, u32 = b.integer("u8", 1), b.integer("u32", 4)
    inner = b.struct("inner", [("a", u32), ("p", b.ptr(b.struct("far", [("x", u32)])))])
    either = b.add(t.Union("", 8, (t.Member("q", b.ptr(inner), 0), t.Member("n", u32, 0))))
    outer = b.add(t.Struct("outer", 72, (
        t.Member("b0", u32, 0, 3), t.Member("b1", u32, 3, 5), t.Member("in", inner, 64),
        t.Member("more", b.array(inner, 2), 192), t.Member("either", either, 448),
        t.Member("cb", b.array(u8, 8), 512))))
    types = b.btf()
    top = types[outer]
    assert isinstance(top, t.Struct)

    def at(off: int, size: int) -> Found:
        return descend(types, top, off, size, "outer")
    assert at(0, 1) == Found("scalar")
    assert at(8, 4) == at(64, 8) == Found("scalar")
    assert at(16, 8).struct == at(32, 8).struct == at(48, 8).struct == "far"
    assert at(56, 8) == Found("struct", 0x4000, "inner", "q")
    for off, size, text in ((4, 4, "struct outer doesn't have field at offset 4"),
                            (70, 4, "access beyond struct outer"),
                            (33, 4, "cannot access ptr member p with moff 8 in struct inner with off 9 size 4")):
        with pytest.raises(Exception, match=text):
            at(off, size)


def test_a_map_is_an_object_of_the_kernel() -> None:
    assert message(build("r1 = map[id:1]\ncall @bpf_map_sum_elem_count\nexit\n")) == ""
    assert message(build("call @bpf_map_sum_elem_count\nexit\n")) != ""
