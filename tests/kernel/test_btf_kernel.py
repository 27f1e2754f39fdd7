"""Our reading of special fields against a real kernel's.

The kernel drops an error in the special fields of a map value without a word, and the map has none of them. So
each value here also holds a spin lock: a lookup with BPF_F_LOCK works exactly if the kernel kept the fields.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable

import pytest

from ebpfvm.btf import BtfBuilder, Kind, encode, parse, record_of
from ebpfvm.btf import types as t
from ebpfvm.btf.fields import FieldRules
from tests.kernel import sysbpf
from tests.unit.btf.test_fields import Types

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(sysbpf.why_not()), reason=sysbpf.why_not() or "-"),
]
BTF_LOAD = 18
HASH = 1
BPF_F_LOCK = 4


def load_btf(b: BtfBuilder) -> int:
    """BPF_BTF_LOAD: a descriptor or a negative errno."""
    data = encode(b.btf())
    held = ctypes.create_string_buffer(data, len(data))
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<QQI", attr, 0, ctypes.addressof(held), 0, len(data))
    return sysbpf.bpf(BTF_LOAD, attr)


def kernel_keeps_fields(b: BtfBuilder, key: int, value: int) -> bool:
    """Does the lock of a map with this value work?"""
    btf = load_btf(b)
    if btf < 0:
        return False
    attr = ctypes.create_string_buffer(160)
    size = b.btf().size_of(value)
    struct.pack_into("<5I", attr, 0, HASH, 4, size, 1, 0)
    struct.pack_into("<3I", attr, 48, btf, key, value)
    fd = sysbpf.bpf(sysbpf.MAP_CREATE, attr)
    os.close(btf)
    if fd < 0:
        return False
    key_data, value_data = ctypes.create_string_buffer(4), ctypes.create_string_buffer(size)
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIQQQ", attr, 0, fd, 0, ctypes.addressof(key_data), ctypes.addressof(value_data), BPF_F_LOCK)
    result = sysbpf.bpf(sysbpf.MAP_LOOKUP, attr)
    os.close(fd)
    assert result in (-errno.EINVAL, -errno.ENOENT)
    return result == -errno.ENOENT


def contains(b: Types, tag: str | None, name: str = "bpf_list_head") -> list[tuple[str, int]]:
    b.node()
    value = len(b.btf()) + (1 if tag is None else 2)
    if tag is not None:
        b.tag(tag, value, 1)
    return [("head", getattr(b, name))]


MEMBERS: dict[str, Callable[[Types], list[tuple[str, int]]]] = {
    "nothing": lambda b: [],
    "kptr": lambda b: [("p", b.kptr(b.mine))],
    "percpu": lambda b: [("p", b.kptr(b.mine, "percpu_kptr"))],
    "array of kptr": lambda b: [("p", b.array(b.kptr(b.mine), 3))],
    "ten kptrs": lambda b: [("p", b.array(b.kptr(b.mine), 10))],
    "eleven kptrs": lambda b: [("p", b.array(b.kptr(b.mine), 11))],
    "nested": lambda b: [("in", b.struct("in", [("n", b.long), ("p", b.kptr(b.mine))]))],
    "nested array": lambda b: [("in", b.array(b.struct("in", [("n", b.long), ("p", b.kptr(b.mine))]), 2))],
    "unknown tag": lambda b: [("p", b.kptr(b.mine, "other"))],
    "two tags": lambda b: [("p", b.ptr(b.add(t.TypeTag("kptr", b.add(t.TypeTag("rcu", b.mine))))))],
    "tag on a declaration": lambda b: [("p", b.kptr(b.add(t.Fwd("later"))))],
    "tag on an int": lambda b: [("p", b.kptr(b.word))],
    "const inside": lambda b: [("p", b.ptr(b.add(t.TypeTag("kptr", b.add(t.Const(b.mine))))))],
    "volatile outside": lambda b: [("p", b.add(t.Volatile(b.kptr(b.mine))))],
    "timer": lambda b: [("t", b.bpf_timer)],
    "two timers": lambda b: [("t", b.bpf_timer), ("u", b.bpf_timer)],
    "timers nested": lambda b: [("t", b.bpf_timer), ("u", b.struct("in", [("t", b.bpf_timer)]))],
    "array of timers": lambda b: [("t", b.array(b.bpf_timer, 2))],
    "array of one timer": lambda b: [("t", b.array(b.bpf_timer, 1))],
    "workqueue": lambda b: [("t", b.bpf_wq)],
    "refcount": lambda b: [("t", b.bpf_refcount)],
    "two locks": lambda b: [("t", b.bpf_spin_lock)],
    "typedef of a lock": lambda b: [("t", b.add(t.Typedef("x", b.bpf_spin_lock)))],
    "list": lambda b: contains(b, "contains:node:list"),
    "tree": lambda b: contains(b, "contains:node:rb", "bpf_rb_root"),
    "list without tag": lambda b: contains(b, None),
    "list of an unknown struct": lambda b: contains(b, "contains:absent:list"),
    "list of an unknown node": lambda b: contains(b, "contains:node:absent"),
    "list of a tree's node": lambda b: contains(b, "contains:node:rb"),
    "list with half a tag": lambda b: contains(b, "contains:node"),
    "lock in a nested struct": lambda b: [("in", b.struct("in", [("l", b.bpf_spin_lock)]))],
}


class Local(Types):
    """With a struct that no kernel has."""

    def __init__(self) -> None:
        super().__init__()
        self.mine = self.struct("ebpfvm_test_struct", [("n", self.word)])


@pytest.mark.parametrize("what", MEMBERS)
def test_the_kernel_keeps_the_fields_that_we_find(what: str) -> None:
    b = Local()
    members = MEMBERS[what](b)
    value = b.struct("value", [("lock", b.bpf_spin_lock), *members])
    ours = record_of(b.btf(), value, rules=FieldRules(several_tags=False, one_of_each=False))
    assert kernel_keeps_fields(b, b.word, value) == (ours.errno == 0), ours


def test_the_kernel_reads_what_we_write() -> None:
    fd = load_btf(Local())
    assert fd >= 0
    os.close(fd)


def test_the_kernels_own_types_are_read() -> None:
    path = "/sys/kernel/btf/vmlinux"
    if not os.path.exists(path):
        pytest.skip("this kernel shows no BTF")
    with open(path, "rb") as file:
        btf = parse(file.read(), check=False)
    skb = btf.find("sk_buff", Kind.STRUCT)
    assert skb is not None and btf.size_of(skb) > 100
