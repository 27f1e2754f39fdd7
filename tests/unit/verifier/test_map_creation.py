"""A program whose maps no kernel makes is refused, with the kernel's errno and a message that names map and fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import dialect
from ebpfvm.isa.asm import assemble
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map
from ebpfvm.verifier import verify
from tests.kernel.map_grid import Typed, typed_spec

EINVAL, EOPNOTSUPP, ENOTSUPP, E2BIG, EACCES, EBADF = 22, 95, 524, 7, 13, 9
CODE = b"".join(insn.encode() for insn in assemble("r1 = 0 ll\nr0 = 0\nexit\n"))
USES = bytes.fromhex("1811000000000000") + CODE[8:]  # names map 0


def program(spec: MapSpec) -> Program:
    return Program.from_bytes(USES, "sched_cls", [replace(spec, name="m")])


def refused(spec: MapSpec, version: str = "7.2") -> tuple[int, str]:
    verdict = verify(program(spec), dialect(version))
    return (0, "") if verdict.ok else (verdict.errno, verdict.message)


WRONG: tuple[tuple[MapSpec, int, str], ...] = (
    (MapSpec("lpm_trie", 8, 8, 4), EINVAL, "map_flags lack BPF_F_NO_PREALLOC, which a trie needs"),
    (MapSpec("hash", 0, 8, 4), EINVAL, "key_size is 0"),
    (MapSpec("hash", 4, 0, 4), EINVAL, "value_size is 0"),
    (MapSpec("hash", 4, 8, 0), EINVAL, "max_entries is 0"),
    (MapSpec("hash", 4, 8, 4, 2), EINVAL, "BPF_F_NO_COMMON_LRU belong to LRU maps"),
    (MapSpec("hash", 4, 8, 4, 1 << 30), EINVAL, "map_flags 0x40000000 are not known to this type"),
    (MapSpec("hash", 4, 8, 4, 0x180), EINVAL, "0x180 (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) exclude each other"),
    (MapSpec("lru_hash", 4, 8, 4, 1), ENOTSUPP, "always preallocated"),
    (MapSpec("array", 8, 8, 4), EINVAL, "key_size is 8, and must be 4"),
    (MapSpec("percpu_array", 4, 40000, 4), E2BIG, "value_size is 40,000"),
    (MapSpec("queue", 4, 8, 4), EINVAL, "key_size is 4, and must be 0"),
    (MapSpec("ringbuf", 0, 0, 5000), EINVAL, "max_entries is 5000, and must be a power of two"),
    (MapSpec("devmap", 4, 5, 4), EINVAL, "value_size is 5, and must be 4 or 8"),
    (MapSpec("cpumap", 4, 4, 10000), E2BIG, "max_entries is 10,000"),
    (MapSpec("bloom_filter", 0, 8, 4, map_extra=16), EINVAL, "the number of hash functions is at most 15"),
    (MapSpec("hash", 4, 8, 4, map_extra=1), EINVAL, "map_extra is 0x1"),
    (MapSpec("sk_storage", 4, 8, 0, 1), EINVAL, "there is no BTF of its key and value"),
    (MapSpec("stack_trace", 4, 12, 4), EINVAL, "must be a multiple of 8"),
    (MapSpec("array_of_maps", 4, 4, 4), EBADF, "it has no inner map"),
    (MapSpec("hash_of_maps", 4, 4, 4, inner=MapSpec("prog_array", 4, 4, 4)), ENOTSUPP, "prog_array cannot be an inner"),
    (MapSpec("hash_of_maps", 4, 4, 4, inner=MapSpec("array", 8, 4, 4)), EINVAL, "inner map cannot be made: key_size"),
)


@pytest.mark.parametrize("version", ["6.18", "7.2"])
@pytest.mark.parametrize(("spec", "errno", "why"), WRONG, ids=lambda item: getattr(item, "type", None))
def test_sizes_and_flags(spec: MapSpec, errno: int, why: str, version: str) -> None:
    got, message = refused(spec, version)
    assert got == errno and message.startswith(f"map 'm' of type {spec.type} cannot be created: ")
    assert why in message
    with pytest.raises(OSError, match="map 'm' of type") as caught:
        make_map(Kernel(dialect(version)), replace(spec, name="m"))
    assert caught.value.errno == errno


@pytest.mark.parametrize(("value", "what"), [
    ("spin_lock", "a bpf_spin_lock"), ("timer", "a bpf_timer"), ("wq", "a bpf_wq"), ("list_head", "a bpf_list_head"),
    ("rb_root", "a bpf_rb_root"), ("res_spin_lock", "a bpf_res_spin_lock"), ("uptr", "a uptr")])
def test_special_fields_in_a_map_that_cannot_hold_them(value: str, what: str) -> None:
    errno, message = refused(typed_spec(Typed("percpu_hash", value, "right", 0)))
    assert errno == EOPNOTSUPP and f"its value has {what} at offset 8" in message and "EOPNOTSUPP" in message


def test_special_fields_in_maps_that_can_hold_them() -> None:
    for type, value in (("hash", "spin_lock"), ("array", "timer"), ("lru_hash", "timer"), ("percpu_array", "kptr"),
                        ("task_storage", "uptr"), ("sk_storage", "spin_lock")):
        flags = 1 if type.endswith("storage") else 0
        assert refused(typed_spec(Typed(type, value, "right", flags))) == (0, ""), (type, value)


def test_special_fields_are_not_for_programs_that_may_only_read() -> None:
    errno, message = refused(typed_spec(Typed("array", "spin_lock", "right", 0x80)))
    assert errno == EACCES and "BPF_F_RDONLY_PROG" in message


def test_a_queue_with_a_lock_has_btf_without_a_key() -> None:
    errno, message = refused(typed_spec(Typed("queue", "spin_lock", "right", 0)))
    assert errno == EINVAL and "a bpf_spin_lock at offset 8, and BTF says nothing of its key" in message


@pytest.mark.parametrize("key", ["enum", "struct", "none"])
def test_btf_that_the_kernel_does_not_take_is_left_out_if_nothing_depends_on_it(key: str) -> None:
    """libbpf: "Error in bpf_create_map_xattr... Retrying without BTF." """
    assert refused(typed_spec(Typed("array", "plain", key, 0))) == (0, "")
    assert refused(typed_spec(Typed("sk_storage", "plain", key, 1)))[0] == EINVAL


def test_a_map_made_without_btf_has_none() -> None:
    builder = BtfBuilder()
    word = builder.integer("unsigned int", 4)
    spec = MapSpec("queue", 0, 4, 4, name="m", btf=builder.btf(), value_type=word)
    made: Any = make_map(Kernel(dialect("7.2")), spec)
    assert made.spec.btf is None
