"""What each instruction means, said a second time and plainly, after RFC 9669; nothing here reads the table.

Numbers are Python integers; registers hold unsigned 64-bit numbers. `expected_*` take an operation by its name in
the standard, not a row, so that a wrong row cannot make itself right.
"""

from __future__ import annotations

M32 = 2**32 - 1
M64 = 2**64 - 1


def signed(n: int, bits: int) -> int:
    n %= 2**bits
    return n - 2**bits if n >= 2 ** (bits - 1) else n


def sign_extend_imm(imm: int, bits: int) -> int:
    """Section 4: immediates are 32 bits and sign-extended to the width of the operation."""
    return imm % 2**bits


def truncated_div(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a >= 0) == (b >= 0) else -q


def alu(op: str, bits: int, dst: int, src: int) -> int:
    """Section 4.1: the new value of dst, given both 64-bit operands (an immediate already sign-extended)."""
    full_src = src
    a, b = dst % 2**bits, src % 2**bits
    if op == "add":
        r = a + b
    elif op == "sub":
        r = a - b
    elif op == "mul":
        r = a * b
    elif op == "div":
        r = 0 if b == 0 else a // b
    elif op == "sdiv":
        r = 0 if b == 0 else truncated_div(signed(a, bits), signed(b, bits))
    elif op == "mod":
        r = a if b == 0 else a % b
    elif op == "smod":
        sa, sb = signed(a, bits), signed(b, bits)
        r = sa if sb == 0 else sa - sb * truncated_div(sa, sb)
    elif op == "or":
        r = a | b
    elif op == "and":
        r = a & b
    elif op == "xor":
        r = a ^ b
    elif op == "lsh":
        r = a * 2 ** (b % bits)
    elif op == "rsh":
        r = a // 2 ** (b % bits)
    elif op == "arsh":
        r = signed(a, bits) // 2 ** (b % bits)
    elif op == "neg":
        r = -a
    elif op == "mov":
        r = b
    elif op.startswith("movsx"):
        r = signed(full_src, int(op[5:]))
    elif op.startswith("le"):  # the emulated machine is little-endian
        return dst % 2 ** int(op[2:])
    elif op.startswith(("bswap", "be")):
        size = int(op.removeprefix("bswap").removeprefix("be")) // 8
        return int("".join(reversed([f"{byte:02x}" for byte in (dst % 2 ** (8 * size)).to_bytes(size, "big")])), 16)
    else:
        raise AssertionError(op)
    return r % 2**bits


def jump(op: str, bits: int, dst: int, src: int) -> bool:
    """Section 4.3."""
    a, b = dst % 2**bits, src % 2**bits
    sa, sb = signed(a, bits), signed(b, bits)
    return {"jeq": a == b, "jne": a != b, "jgt": a > b, "jge": a >= b, "jlt": a < b, "jle": a <= b,
            "jset": a & b != 0, "jsgt": sa > sb, "jsge": sa >= sb, "jslt": sa < sb, "jsle": sa <= sb}[op]


def load(memory: bytes, off: int, size: int, sign: bool) -> int:
    """Section 5.1: a little-endian number; 5.2: sign-extended to 64 bits."""
    n = 0
    for i in range(size):
        n += memory[off + i] * 256**i
    return signed(n, 8 * size) % 2**64 if sign else n


def store(memory: bytes, off: int, size: int, value: int) -> bytes:
    """Section 5.1."""
    out = bytearray(memory)
    for i in range(size):
        out[off + i] = value // 256**i % 256
    return bytes(out)


def atomic(op: str, bits: int, old: int, src: int, r0: int) -> tuple[int, int | None, int | None]:
    """Section 5.3: (new memory, new src or None, new r0 or None)."""
    src %= 2**bits
    fetch = op.startswith("fetch_") or op == "xchg"
    name = op.removeprefix("fetch_")
    if name == "cmpxchg":
        return (src if old == r0 % 2**bits else old), None, old
    new = {"add": old + src, "or": old | src, "and": old & src, "xor": old ^ src, "xchg": src}[name]
    return new % 2**bits, old if fetch else None, None
