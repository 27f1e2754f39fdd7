"""Programs at the edge of the rules for calls, references, locks, NULL, paths that meet, and the shape of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import S32_MAX, S32_MIN

if TYPE_CHECKING:
    from ebpfvm.testing.edge_text import EdgeText

_OPERATORS = ("+=", "-=", "*=", "&=", "|=", "^=", "<<=", ">>=", "s>>=", "/=", "%=")
_CONDITIONS = (">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "==", "!=", "&")
_EDGES = (0, 1, 2, 7, 8, 15, 31, 32, 63, 64, 127, 128, 255, 256, 65535, S32_MAX, -1, -2, -8, S32_MIN)


def null(e: EdgeText) -> None:
    """Check one of two pointers that may be NULL, in any form, and use one of them."""
    e.lookup(e.pick("arr", "big"), "r7", False)
    if e.chance(0.5):
        e.add("r8 = r7")
    else:
        e.lookup(e.pick("arr", "arr", "big"), "r8", False)
    if e.chance(0.15):
        e.add("r7 += 4")
    e.detour("r7")
    checked, used = e.pick("r7", "r8"), e.pick("r7", "r8")
    ok = e.label()
    e.add(*e.random.choice(([f"if {checked} == 0 goto out"], [f"if {checked} != 0 goto {ok}", "goto out", f"{ok}:"],
                            [f"if {checked} != 0 goto out"], [f"if {checked} > 0 goto {ok}", "goto out", f"{ok}:"],
                            ["if r7 == r8 goto out"])))
    if e.chance(0.3):
        e.add("r1 = r6", "r2 = 0", "r3 = " + used, "r4 = 8", "call 26")
    else:
        e.access(used, e.random.choice((0, 8)), 8)


def reference(e: EdgeText) -> None:
    """Reserve a record of a ring buffer and give it back: once, twice, never, or on some paths only."""
    size = e.random.choice((8, 16))
    e.add("r1 = ring ll", f"r2 = {size}", "r3 = 0", "call 131")
    if not e.slips():
        e.add("if r0 == 0 goto out")
    e.add("r7 = r0", f"r8 = {e.pick('r7', 'r7', '0')}")
    e.detour("r7")
    e.access("r7", e.near(size - 4, 2) if e.slips() else size - 4, 4, True)
    over = e.label()
    if e.slips():
        e.add("r1 = *(u32 *)(r6 + 8)", f"if r1 {e.pick('==', '!=', '>')} {e.pick('0', '7')} goto {over}")
    for _ in range(e.random.choice((0, 2)) if e.slips() else 1):
        e.add("r1 = r7", *(["r1 += 4"] if e.slips() else []), f"r2 = {e.pick('0', '1')}",
              f"call {e.pick('132', '133')}")
    e.add(f"{over}:")
    if e.slips():
        e.access(e.pick("r7", "r8"), 0, 4)


def sockets(e: EdgeText) -> None:
    """Look a socket up, and release it: once, twice, never, or without a check."""
    e.add("*(u64 *)(r10 - 16) = 0", "*(u64 *)(r10 - 8) = 0", "r1 = r6", "r2 = r10", "r2 += -16", "r3 = 12", "r4 = -1",
          "r5 = 0", f"call {e.pick('84', '85')}", "r7 = r0")
    if not e.slips():
        e.add("if r7 == 0 goto out")
    e.add("r8 = r7", "r1 = *(u32 *)(r7 + 4)")
    for _ in range(e.random.choice((0, 2)) if e.slips() else 1):
        e.add(f"r1 = {e.pick('r7', 'r8')}", "call 86")
    if e.slips():
        e.add(f"r1 = *(u32 *)({e.pick('r7', 'r8')} + 4)")


def locks(e: EdgeText) -> None:
    """Take a spin lock and give it back: the same one, another one, never, or with a call in between."""
    e.lookup("locked", "r7", not e.slips())
    e.lookup(e.pick("locked", "other", "other"), "r8")
    e.add(*(["r1 = r7", "call 93"] if not e.slips() else []))
    if e.slips():
        e.add(*e.random.choice((["call 5"], ["r1 = r8", "call 93"], ["r0 = 0", "exit"], ["call 7"])))
    e.access(e.pick("r7", "r8"), e.random.choice((4, 8, 28)) if not e.slips() else 0, 4)
    if e.slips():
        over = e.label()
        e.add("r1 = *(u32 *)(r6 + 8)", f"if r1 == {e.pick('0', '7')} goto {over}", "r1 = r7", "call 94", f"{over}:")
    elif not e.slips():
        e.add(f"r1 = {'r8' if e.slips() else 'r7'}", "call 94")
    if e.slips():
        e.add("r1 = r7", "call 94")


def registers(e: EdgeText) -> None:
    """Use registers that a call has changed, that were never written, or that may not be written."""
    e.number("r7")
    reg = e.random.choice((1, 2, 3, 4, 5))
    e.add(f"r{reg} = {e.pick('r7', '5')}", *(["r1 = r6", "r2 = 0"] if e.chance(0.2) else []))
    e.add(*e.random.choice((["call 7"], ["call 5"], ["call f"], [])))
    if e.lines[-1] == "call f":
        e.after += ["f:", f"r{e.random.choice((0, 0, reg, 7))} = 3", *(["r0 = 1"] if not e.slips() else []), "exit"]
    used = e.random.choice((reg, 0, 7, 8, reg))
    e.add(e.pick(f"r8 = r{used}", f"r7 += r{used}", f"if r{used} == 3 goto out", f"*(u64 *)(r10 - 8) = r{used}",
                 f"r{used} += 1", "r10 = r7", "r10 += 8", f"w{used} = w{used}"))
    if e.chance(0.2):
        e.returns = "r0 = r7" if e.chance(0.5) else "r1 = 0"


def result(e: EdgeText) -> None:
    """Return a number at the edge of what the type allows."""
    e.type = e.pick("cgroup_skb", "cgroup_skb", "socket_filter")
    e.attach = "" if e.type == "socket_filter" else e.pick("ingress", "egress")
    e.add(f"r7 = {e.pick('*(u32 *)(r6 + 8)', '*(u32 *)(r6 + 32)')}")
    e.bound("r7", e.random.choice((1, 3)), "end")
    e.add("r0 = r7", "exit", "end:", f"r0 = {e.random.choice((0, 1, e.near(1), e.near(3)))}")
    e.returns = e.pick("exit", "exit", "r0 = r7")


def numbers(e: EdgeText) -> None:
    """Compute with two unknown numbers and compare them, then use what is left of one as an offset."""
    e.number("r7")
    e.number("r8")
    for _ in range(e.random.randrange(1, 5)):
        a, b = e.random.choice((("r7", "r8"), ("r8", "r7"), ("r7", "r7")))
        right = str(e.random.choice(_EDGES)) if e.chance(0.6) else b
        if e.chance(0.6):
            op = e.pick(*_OPERATORS)
            if op in ("<<=", ">>=", "s>>=") and right != b:
                right = str(e.random.choice((1, 4, 31) if e.chance(0.5) else (8, 32, 63)))
            wide = e.chance(0.7) or ((op.endswith(">>=") or op == "<<=") and right in ("32", "63"))
            e.add(f"{a} {op} {right}" if right != "0" or op not in ("/=", "%=") else f"{a} += 1")
            if not wide:
                e.lines[-1] = e.lines[-1].replace("r", "w")
        else:
            line = f"if {a} {e.pick(*_CONDITIONS)} {right} goto out"
            e.add(line if e.chance(0.7) else line.replace("r7", "w7").replace("r8", "w8"))
    e.lookup("big", "r9")
    if not e.chance(0.3):
        e.add("r7 &= 63")
    e.add("r9 += r7", "r1 = *(u8 *)(r9 + 0)")


def meeting(e: EdgeText) -> None:
    """Let two paths meet with different values of a register or a slot, then depend on the value."""
    e.number("r8")
    size = 64
    e.lookup("big", "r9")
    one, other = e.random.choice(((0, 63), (63, 0), (0, e.near(63)), (e.near(63), 1), (8, 100), (100, 8)))
    over = e.label()
    slot = e.chance(0.3)

    def put(value: int) -> str:
        return f"*(u64 *)(r10 - 24) = {value}" if slot else f"r7 = {value}"
    e.add(put(one), f"if r8 {e.pick('>', '==', '<', 's>')} {e.random.choice((0, 7, 255))} goto {over}", put(other))
    if e.chance(0.2):
        e.add("r7 = r9" if not slot else "*(u64 *)(r10 - 24) = r9")
    e.add(f"{over}:")
    for value in e.random.sample((1, 2, 3, 4), e.random.randrange(3)):
        again = e.label()
        e.add("r1 = *(u32 *)(r6 + 16)", f"if r1 == {value} goto {again}", "r2 = 0", f"{again}:")
    e.add(*(["r7 = *(u64 *)(r10 - 24)"] if slot else []), *(["r7 += 1"] if e.chance(0.2) else []))
    e.add("r9 += r7", f"r1 = *(u8 *)(r9 + {e.near(size - 1 - max(one, other)) if e.chance(0.2) else 0})")


def held_on_one_path(e: EdgeText) -> None:
    """Acquire, check, or lock something on one of two paths that meet."""
    over, last = e.label(), e.label()
    e.add("r8 = *(u32 *)(r6 + 8)")
    kind = e.random.randrange(3)
    condition = f"if r8 {e.pick('>', '==', '!=')} {e.random.choice((0, 7))}"
    if kind == 0:
        reserve = ("r1 = ring ll", "r2 = 8", "r3 = 0", "call 131", "r7 = r0")
        if e.chance(0.5):
            e.add("r7 = 0", f"{condition} goto {over}", *reserve, f"{over}:")
        else:
            e.padding()
            e.add("r7 = 0", f"{condition} goto {last}", f"goto {over}", f"{last}:", *reserve, f"{over}:", "r1 = 0")
            last = e.label()
        if not e.slips():
            e.add(*(["if r7 == 0 goto out"] if e.chance(0.7) else [f"if r8 {e.pick('>', '==')} 7 goto out"]),
                  "r1 = r7", "r2 = 0", "call 132")
    elif kind == 1:
        e.lookup("arr", "r7", False)
        e.add(f"{condition} goto {over}", "if r7 == 0 goto out", f"{over}:")
        if e.chance(0.4):
            e.add("if r7 == 0 goto out")
        e.access("r7", 0, 8)
    else:
        e.add("r2 = *(u32 *)(r6 + 76)", "r3 = *(u32 *)(r6 + 80)", "r4 = r2", "r4 += 8")
        e.add(f"{condition} goto {over}", "if r4 > r3 goto out", f"{over}:")
        if e.chance(0.4):
            e.add("if r4 > r3 goto out")
        e.access("r2", e.near(4), 4)
    e.add(f"{last}:")


def shape(e: EdgeText) -> None:
    """Write a jump near the ends of the program, into a long instruction, backwards, or leave out the end."""
    target = e.pick("+0", "+1", "+2", "+3", "+4", "-1", "-2", "-3", "+5", "+9")
    e.add("r1 = *(u32 *)(r6 + 8)", f"if r1 {e.pick('>', '==', '!=')} {e.pick('0', '7')} goto {target}", "r2 = 5 ll",
          "r3 = 1")
    if e.chance(0.3):
        e.add(e.pick("goto out", "goto +1", "r0 = 0\nexit\nr0 = 1", "call f", "call +1", "goto -2"))
        if e.lines[-1] == "call f":
            e.after += ["f:", "r0 = 1", e.pick("exit", "goto -2", "r0 = 2", "call f\nexit")]
    e.returns = e.pick("r0 = 0", "r0 = 0", "goto -4")


def loop(e: EdgeText) -> None:
    """Write a loop whose counter, step and limit may not fit together, with an access that depends on the counter."""
    head = e.label()
    e.lookup("big", "r9")
    start, step, limit = e.random.choice(((0, 1, 8), (0, 1, e.near(64)), (8, -1, 0), (0, 2, 8), (0, 3, 8), (0, 0, 4)))
    e.add(f"r7 = {start}", f"{head}:", "r1 = r9", "r1 += r7", "r2 = *(u8 *)(r1 + 0)", f"r7 += {step}")
    if e.chance(0.2):
        e.add("r8 = *(u32 *)(r6 + 8)", "if r8 == 7 goto out")
    e.add(f"if r7 {e.pick('<', '<', '!=', 's<', '<=') if step > 0 else '!='} {limit} goto {head}")
    if e.chance(0.5):
        e.add("r9 += r7", "r1 = *(u8 *)(r9 - 1)")


def frames(e: EdgeText) -> None:
    """Call functions as deep, and with stacks as large, as is allowed, or more; some pass pointers into stacks."""
    depth = e.near(8) - 1 if e.chance(0.4) else e.random.choice((1, 2, 3))
    used = 512 // (depth + 1) // 16 * 16
    mine = _stack_use(e, used)
    e.add(f"*(u64 *)(r10 - {mine}) = 7", "r1 = r10", f"r1 += {-mine}", "call f1", f"r7 = *(u64 *)(r10 - {mine})")
    escapes = e.slips()
    if escapes:
        e.add("r1 = r0", "if r1 == 0 goto out")
    for number in range(1, depth + 1):
        e.after += [f"f{number}:", "r7 = r1", f"*(u64 *)(r10 - {_stack_use(e, used)}) = {number}"]
        e.after += [e.pick("r0 = *(u64 *)(r7 + 0)", "*(u64 *)(r7 + 0) = 1", "r0 = 0")] if e.chance(0.5) else []
        e.after += ["r1 = r7", f"call f{number + 1}"] if number < depth else []
        e.after += ["r0 = r10" if escapes else "*(u64 *)(r7 + 0) = r10" if e.slips() else "r0 = 0", "exit"]


def _stack_use(e: EdgeText, used: int) -> int:
    return max(min(e.near(used, 16), 512), 8)


def constants(e: EdgeText) -> None:
    """Write a shift by the width, a division by zero, or a pointer that may not be moved, or not so far."""
    e.number("r7")
    width = e.random.choice((32, 64))
    reg = "r7" if width == 64 else "w7"
    kind = e.random.randrange(4)
    if kind == 0:
        e.add(f"{reg} {e.pick('<<=', '>>=', 's>>=')} {e.near(width)}")
    elif kind == 1:
        e.add(f"{reg} {e.pick('/=', '%=')} {e.random.choice((0, 0, 1))}")
    else:
        base = e.pick("r6", "r10", "r8", "r8")
        if base == "r8":
            e.lookup("arr", "r8", not e.slips())
        e.add(f"r2 = {base}", f"r2 {e.pick('+=', '-=', '&=', '|=', '*=', '<<=')} {e.pick('r7', '8', '-8', '4')}")
        if e.chance(0.3):
            e.add("w2 = w2")
        e.access("r2", 0, 4)
