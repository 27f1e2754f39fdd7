"""Numbers, strings and formatted output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errnos import E2BIG, EFAULT, EINVAL, ENOENT, ENOSPC, ERANGE
from ebpfvm.funcs.printf import render
from ebpfvm.funcs.text_helpers import parse_number
from tests.unit.funcs.world import M, World


@pytest.mark.parametrize(("text", "base", "expected"), [
    (b"123", 0, (3, 123, False)), (b" -42x", 10, (4, 42, True)), (b"0x1F", 0, (4, 31, False)),
    (b"0x", 0, (1, 0, False)), (b"017", 0, (3, 15, False)), (b"09", 0, (1, 0, False)), (b"ff", 16, (2, 255, False)),
    (b"18446744073709551615", 10, (20, M, False)),
])
def test_numbers(text: bytes, base: int, expected: tuple[int, int, bool]) -> None:
    assert parse_number(text, base) == expected


@pytest.mark.parametrize(("text", "base", "error"), [
    (b"x", 10, EINVAL), (b" ", 10, EINVAL), (b"-", 10, EINVAL), (b"1", 7, EINVAL), (b"1", 42, EINVAL),
    (b"18446744073709551616", 10, ERANGE),
])
def test_no_numbers(text: bytes, base: int, error: int) -> None:
    assert parse_number(text, base)[0] == -error


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1), st.sampled_from((8, 10, 16)))
def test_strtol_reads_what_was_written(value: int, base: int) -> None:
    w = World()
    text = {8: f"{value:o}", 10: f"{value}", 16: f"{value:x}"}[base].encode()
    assert w.call("bpf_strtol", w.put(text, 8), len(text), base, w.mem) == len(text)
    assert int.from_bytes(w.get(8), "little", signed=True) == value


def test_limits_of_strtol_and_strtoul() -> None:
    w = World()
    for text, signed, unsigned in ((b"9223372036854775808", -ERANGE, 19), (b"-9223372036854775808", 20, -EINVAL),
                                   (b"-9223372036854775809", -ERANGE, -EINVAL)):
        address = w.put(text, 8)
        assert w.call("bpf_strtol", address, len(text), 10, w.mem) == signed
        assert w.call("bpf_strtoul", address, len(text), 10, w.mem) == unsigned


def test_strncmp() -> None:
    w = World()
    other = w.put(b"abc\0", 64)
    for text, expected in ((b"abc\0zz", 0), (b"abd", 1), (b"abb", -1), (b"ab", 0), (b"ab\0", -1)):
        assert w.call("bpf_strncmp", w.put(text), len(text), other) == expected


@pytest.mark.parametrize(("fmt", "args", "expected"), [
    (b"plain %%", [], b"plain %"),
    (b"%d %i %u", [M, 5, M], b"-1 5 4294967295"),
    (b"%ld %lld %lu", [M, M, M], b"-1 -1 18446744073709551615"),
    (b"%x %lX", [0x1234ABCD5, 0xAB], b"234abcd5 AB"),
    (b"[%5d] [%-5d] [%05d] [%+d] [% d]", [42, 42, M - 41, 42, 42], b"[   42] [42   ] [-0042] [+42] [ 42]"),
    (b"%c%3c", [65, 66], b"A  B"),
    (b"%px", [0xABC], b"0000000000000abc"),
    (b"%ps", [0xABC], b"0xabc"),
    (b"%s|", [0], b"|"),
    (b"caf\xe9 %d", [1], b"caf\xe9 1"),
])
def test_formats(fmt: bytes, args: list[int], expected: bytes) -> None:
    assert render(World().memory, fmt, args) == expected


@pytest.mark.parametrize("fmt", [b"%d", b"%", b"%z", b"%hd", b"%sX", b"%pZ", b"%pI5", b"%5", b"\x01", b"%llld"])
def test_formats_that_are_refused(fmt: bytes) -> None:
    args = [] if fmt == b"%d" else [1]
    assert render(World().memory, fmt, args) == -EINVAL


def test_formats_that_read_memory() -> None:
    w = World()
    w.put(bytes((10, 0, 0, 1)))
    w.put(b"hello\0", 32)
    assert render(w.memory, b"%pI4 %pi4", [w.mem, w.mem]) == b"10.0.0.1 010.000.000.001"
    assert render(w.memory, b"%pI6", [w.mem + 64]) == b":".join([b"0000"] * 8)
    assert render(w.memory, b"%pi6", [w.mem + 64]) == b"0" * 32
    assert render(w.memory, b"[%s] [%8s] [%-8s]", [w.mem + 32] * 3) == b"[hello] [   hello] [hello   ]"
    assert render(w.memory, b"%pI4", [12345]) == b"0.0.0.0"
    long = w.memory.add("mem", b"x" * 600 + b"\0").base
    assert render(w.memory, b"%s %s", [long, long]) == -ENOSPC


def test_printing() -> None:
    w = World()
    assert w.call("bpf_trace_printk", w.put(b"a=%d\n\0"), 6, 7) == 4
    assert w.call("bpf_trace_printk", w.put(b"no nul"), 6) == -EINVAL
    words = w.put((1).to_bytes(8, "little") + (2).to_bytes(8, "little"), 64)
    assert w.call("bpf_trace_vprintk", w.put(b"%d-%d\0"), 6, words, 16) == 3
    assert w.call("bpf_trace_vprintk", w.mem, 6, words, 9) == -EINVAL
    assert w.call("bpf_trace_vprintk", w.mem, 6, 0, 8) == -EINVAL
    assert w.kernel.trace == ["a=7", "1-2"]
    assert w.call("bpf_snprintf", w.mem + 128, 3, w.mem, words, 16) == 4 and w.get(3, 128) == b"1-\0"
    assert w.call("bpf_snprintf", 0, 0, w.mem, words, 16) == 4
    assert w.call("bpf_snprintf", 0, 0, w.mem, words, 104) == -EINVAL
    assert w.call("bpf_snprintf", 0, 0, w.mem, 0, 0) == -EINVAL


def test_probing_never_faults() -> None:
    w = World()
    w.put(b"\xff" * 8)
    assert w.call("bpf_probe_read_kernel", w.mem, 8, 1234) == -EFAULT and w.get(8) == bytes(8)
    assert w.call("bpf_probe_read_kernel", w.mem, 4, w.put(b"data", 64)) == 0 and w.get(4) == b"data"
    assert w.call("bpf_probe_read_kernel_str", w.mem, 8, w.put(b"abc\0", 64)) == 4 and w.get(4) == b"abc\0"
    assert w.call("bpf_probe_read_kernel_str", w.mem, 3, w.mem + 64) == 3 and w.get(3) == b"ab\0"
    assert w.call("bpf_probe_read_kernel_str", w.mem, 8, 1234) == -EFAULT
    assert w.call("bpf_probe_read_kernel_str", w.mem, 0, 1234) == 0


def test_string_kfuncs() -> None:
    w = World()
    a, b, low = w.put(b"hello\0"), w.put(b"HELLO\0", 32), w.put(b"lo\0", 64)
    assert w.call("bpf_strcmp", a, a) == 0 and w.call("bpf_strcmp", a, b) == 1 and w.call("bpf_strcmp", b, a) == -1
    assert w.call("bpf_strcasecmp", a, b) == 0
    assert w.call("bpf_strlen", a) == 5 and w.call("bpf_strnlen", a, 3) == 3
    assert w.call("bpf_strchr", a, ord("l")) == 2 and w.call("bpf_strrchr", a, ord("l")) == 3
    assert w.call("bpf_strchr", a, 0) == 5 and w.call("bpf_strchr", a, ord("z")) == -ENOENT
    assert w.call("bpf_strchrnul", a, ord("z")) == 5 and w.call("bpf_strchrnul", a, ord("e")) == 1
    assert w.call("bpf_strnchr", a, 2, ord("l")) == -ENOENT and w.call("bpf_strnchr", a, 3, ord("l")) == 2
    assert w.call("bpf_strspn", a, w.put(b"he\0", 96)) == 2 and w.call("bpf_strcspn", a, low) == 2
    assert w.call("bpf_strstr", a, low) == 3 and w.call("bpf_strstr", low, a) == -ENOENT
    assert w.call("bpf_strnstr", a, low, 4) == -ENOENT and w.call("bpf_strnstr", a, low, 5) == 3
    assert w.call("bpf_strlen", 0) == -ERANGE and w.call("bpf_strlen", 1 << 60) == -EFAULT
    assert w.call("bpf_strlen", w.memory.add("mem", b"x" * 70000).base) == -E2BIG
    for name in ("bpf_strcmp", "bpf_strcasecmp", "bpf_strspn", "bpf_strcspn", "bpf_strstr"):
        assert w.call(name, a, 0) == -ERANGE
    for name in ("bpf_strchr", "bpf_strrchr", "bpf_strchrnul"):
        assert w.call(name, 0, 65) == -ERANGE
    assert w.call("bpf_strnchr", 0, 1, 65) == w.call("bpf_strnlen", 0, 1) == w.call("bpf_strnstr", 0, a, 1) == -ERANGE
