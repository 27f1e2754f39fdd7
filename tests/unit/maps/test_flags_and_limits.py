"""Rules of maps that could be switched off unnoticed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ebpfvm.dialects import linux, rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.loader import load
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import BpfMap, make_map

F_LOCK, UNKNOWN = 4, 1 << 20
PFIFO = Path(__file__).parents[3] / "samples" / "rfc" / "pfifo.o"


def made(type: str, **more: int) -> BpfMap:
    spec = MapSpec(**{"type": type, "key_size": 4, "value_size": 8, "max_entries": 2, **more})  # type: ignore[arg-type]
    return make_map(Kernel(rfc6() if type == "rbtree" else linux()), spec)


@pytest.mark.parametrize("flags", [F_LOCK, UNKNOWN, F_LOCK | UNKNOWN])
def test_a_map_without_a_lock_is_not_read_under_one(flags: int) -> None:
    numbers = made("hash")
    numbers.sys_update(bytes(4), bytes(8))
    with pytest.raises(OSError) as caught:
        numbers.sys_lookup(bytes(4), flags)
    assert caught.value.errno == errno.EINVAL


def test_a_slot_without_a_program_has_no_id() -> None:
    programs = made("prog_array", value_size=4)
    with pytest.raises(OSError) as caught:
        programs.sys_lookup(bytes(4))
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("type", ["rbtree", "hash"])
def test_a_full_map_takes_no_further_key(type: str) -> None:
    full = made(type)
    keys = [number.to_bytes(4, "little") for number in range(3)]
    assert [full.update(key, bytes(8), 0) for key in keys] == [0, 0, -errno.E2BIG]
    assert full.update(keys[0], b"\1" * 8, 0) == 0  # one that it has is overwritten
    assert full.delete(keys[1]) == 0
    assert full.update(keys[2], bytes(8), 0) == 0


def test_an_update_leaves_what_a_kptr_slot_owns() -> None:
    queue = make_map(Kernel(rfc6()), load(PFIFO).maps["pifo"])
    key, owned = bytes(queue.key_size), (0x1234_5678_9ABC).to_bytes(8, "little")
    assert queue.update(key, bytes(8), 0) == 0
    value = queue.find(key)
    assert value is not None
    value.write(0, owned)
    assert queue.update(key, b"\xff" * 8, 0) == 0  # numbers from a program are no pointer
    assert bytes(value.data[:8]) == owned
    queue.sys_update(key, bytes(8))
    assert bytes(value.data[:8]) == owned
    assert queue.sys_lookup(key) == bytes(8)  # and user space does not see it
