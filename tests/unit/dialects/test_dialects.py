"""What the dialects offer. Agreement with a running kernel is in tests/kernel/test_tables.py."""

from __future__ import annotations

import pytest

from ebpfvm.contract import Arg, CtxField
from ebpfvm.dialects import dialect, linux, rfc6
from ebpfvm.errors import UsageError

ALL = [rfc6(), linux(), linux((6, 18))]


def test_names_of_dialects() -> None:
    assert dialect() is linux() is linux((7, 2)) is dialect("7.2") is dialect("linux-7.2") is dialect((7, 2))
    assert dialect("6.18") is linux((6, 18)) and dialect("rfc6") is rfc6()
    for name in ("", "windows", "linux-5", "rfc7"):
        with pytest.raises(UsageError, match="no dialect"):
            dialect(name)
    with pytest.raises(UsageError, match=r"rules of Linux 5\.4 are not known; take one of 6\.1, 6\.12, 6\.18, 7\.2"):
        dialect("5.4")


def test_numbers_that_mean_different_things() -> None:
    ours, mainline = rfc6(), linux()
    assert [ours.map_types[number].name for number in (32, 33)] == ["rbtree", "rbtree_of_maps"]
    assert [mainline.map_types[number].name for number in (32, 33)] == ["cgrp_storage", "arena"]
    assert (ours.prog_types[32].name, mainline.prog_types[32].name) == ("qdisc", "netfilter")
    assert (ours.helpers[210].name, mainline.helpers[210].name) == ("bpf_skb_tc_classify", "bpf_cgrp_storage_get")
    assert max(ours.helpers) == 210 and max(mainline.helpers) == 211


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"map type 'rbtree' is not known to dialect linux; it has: .*hash"):
        linux().map_type("rbtree")
    with pytest.raises(UsageError, match="program type 99 is not known to dialect rfc6"):
        rfc6().prog_type(99)


@pytest.mark.parametrize("offered", ALL, ids=lambda item: f"{item.name}-{item.version}")
def test_tables_are_consistent(offered: object) -> None:
    assert isinstance(offered, type(ALL[0]))
    names = {helper.name for helper in offered.helpers.values()}
    for prog_type in offered.prog_types.values():
        known = prog_type.helpers - names
        assert not known - {"bpf_cgrp_storage_get", "bpf_cgrp_storage_delete"}, prog_type.name
        offsets = [field.off for field in prog_type.fields]
        assert offsets == sorted(offsets) and all(field.end <= prog_type.ctx_size for field in prog_type.fields)
        for fields in prog_type.attach_fields.values():
            assert {field.name for field in fields} <= {field.name for field in prog_type.fields}
    for map_type in offered.map_types.values():
        assert map_type.funcs <= names | {"bpf_cgrp_storage_get", "bpf_cgrp_storage_delete"}, map_type.name
        assert map_type.make is None or map_type.check is not None


def test_map_and_helper_must_fit() -> None:
    types = linux().map_types
    takers = {helper.name for helper in linux().helpers.values()
              if any(spec.kind is Arg.CONST_MAP_PTR for spec in helper.args)}
    for map_type in types.values():
        assert map_type.funcs <= takers | {"bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr", "bpf_kptr_xchg"}
    hash, queue = linux().map_type("hash"), linux().map_type("queue")
    assert "bpf_map_lookup_elem" in hash.funcs and "bpf_map_pop_elem" not in hash.funcs
    assert queue.funcs == {"bpf_map_push_elem", "bpf_map_pop_elem", "bpf_map_peek_elem"}
    assert "bpf_map_lookup_percpu_elem" in linux().map_type("percpu_hash").funcs - hash.funcs
    assert rfc6().map_type("rbtree").funcs == hash.funcs | {"bpf_map_pop_elem"}
    assert hash.for_each and rfc6().map_type("rbtree").for_each and not queue.for_each


def test_the_context_of_a_qdisc() -> None:
    qdisc = rfc6().prog_type("qdisc")
    for off, size, readable, written, in_dequeue in (
            (0, 8, True, False, True), (0, 4, False, False, False), (8, 4, True, True, True),
            (8, 8, False, False, False), (12, 4, False, False, False), (16, 8, True, True, True),
            (16, 4, False, False, False), (24, 8, False, False, False), (-8, 8, False, False, False)):
        assert (qdisc.ctx_access(off, size, False) is not None) == readable, (off, size)
        assert (qdisc.ctx_access(off, size, True, "enqueue") is not None) == written, (off, size)
        assert (qdisc.ctx_access(off, size, True, "dequeue") is not None) == in_dequeue, (off, size)
    assert qdisc.packet_read and not qdisc.packet_write and not qdisc.helper_packet_read and not qdisc.ld_abs
    assert qdisc.returns is None and qdisc.kfuncs == {"bpf_skb_acquire", "bpf_skb_kptr_get", "bpf_skb_release"}
    tc = rfc6().prog_type("sched_cls").helpers
    assert qdisc.helpers == tc | {"bpf_skb_tc_classify"} and "bpf_skb_tc_classify" not in tc


def test_helpers_of_a_type() -> None:
    mainline = linux()
    xdp, tc = mainline.prog_type("xdp"), mainline.prog_type("sched_cls")
    assert mainline.helper(9, tc) is mainline.helpers[9] and mainline.helper(9, xdp) is None
    assert mainline.helper(999) is None and mainline.helper(999, tc) is None
    classid = mainline.helper_id("bpf_get_cgroup_classid")
    assert classid is not None
    with_ctx, without = mainline.helper(classid, tc), mainline.helper(classid, xdp)
    assert with_ctx is not None and without is not None
    assert len(with_ctx.args) == 1 and len(without.args) == 0
    bind = mainline.helper_id("bpf_bind")
    assert bind is not None
    addr = mainline.prog_type("cgroup_sock_addr")
    assert mainline.helper(bind, addr, "connect4") is not None and mainline.helper(bind, addr, "bind4") is None
    assert mainline.helper_id("bpf_nothing") is None


def test_the_base_set_of_the_rfc_is_older() -> None:
    for name in ("bpf_strtol", "bpf_get_current_comm", "bpf_task_storage_get"):
        assert name in linux().prog_type("xdp").helpers and name not in rfc6().prog_type("xdp").helpers


def test_return_ranges_by_hook() -> None:
    types = linux()
    assert types.prog_type("sched_cls").returns is None and types.prog_type("xdp").returns is None
    skb = types.prog_type("cgroup_skb")
    assert skb.returns == (0, 1) and skb.attach_returns["egress"] == (0, 3)
    addr = types.prog_type("cgroup_sock_addr")
    assert addr.attach_returns["cgroup/bind4"] == (0, 3) and addr.attach_returns["recvmsg6"] == (1, 1)


def test_context_fields_by_hook() -> None:
    addr = linux().prog_type("cgroup_sock_addr")
    assert addr.ctx_access(4, 4, True, "connect4") is not None and addr.ctx_access(4, 4, False, "connect6") is None
    assert addr.ctx_access(8, 8, True, "cgroup/connect6") is not None
    sock = linux().prog_type("cgroup_sock")
    assert sock.ctx_access(0, 4, True) is not None and sock.ctx_access(24, 4, False) is None
    assert sock.ctx_access(0, 4, True, "post_bind4") is None and sock.ctx_access(24, 4, False, "post_bind4") is not None
    assert sock.ctx_access(48, 2, False) is not None and sock.ctx_access(48, 4, False) is not None
    assert sock.ctx_access(50, 2, False) is None
    assert linux().prog_type("xdp").ctx_access(20, 4, False) is None
    assert linux().prog_type("xdp").ctx_access(20, 4, False, "devmap") is not None


def test_field_rules() -> None:
    plain = CtxField("x", 8, 4, write=True)
    assert [size for size in (1, 2, 4, 8) if plain.allows(8, size, False)] == [1, 2, 4]
    assert [size for size in (1, 2, 4, 8) if plain.allows(8, size, True)] == [4]
    assert plain.allows(10, 2, False) and not plain.allows(9, 2, False) and not plain.allows(10, 4, False)
    array = CtxField("y", 100, 16, 4, narrow=False)
    assert array.allows(104, 4, False) and not array.allows(104, 2, False) and not array.allows(104, 4, True)


def test_versions_of_kfuncs() -> None:
    old, new = linux((6, 18)).kfuncs, linux().kfuncs
    assert "bpf_obj_new" in new and "bpf_obj_new" not in old and "bpf_obj_new_impl" in old
    assert all("trusted_args" in item.flags for item in new.values())
    assert "trusted_args" not in old["bpf_dynptr_from_xdp"].flags
    assert "bpf_skb_acquire" not in new and rfc6().prog_type("qdisc").kfuncs < set(rfc6().kfuncs)
    assert set(rfc6().kfuncs) == rfc6().prog_type("qdisc").kfuncs | rfc6().prog_type("task_sched").kfuncs


def test_map_types_with_a_run_time() -> None:
    built = {item.name for item in rfc6().map_types.values() if item.make is not None}
    assert {"hash", "array", "percpu_hash", "percpu_array", "lru_hash", "rbtree", "rbtree_of_maps", "array_of_maps",
            "hash_of_maps", "queue", "stack", "ringbuf", "lpm_trie", "bloom_filter", "prog_array"} <= built
    assert [item.name for item in linux().map_types.values() if item.make is None] == ["unspec", "struct_ops", "arena"]
