"""Special fields of map values and of structs that programs allocate."""

from __future__ import annotations

import errno

import pytest

from ebpfvm.btf import BtfBuilder, record_of, special_fields
from ebpfvm.btf import types as t
from ebpfvm.btf.fields import LOCAL_KINDS, MAP_KINDS, Field, FieldRules

SIZES = {"bpf_spin_lock": 4, "bpf_res_spin_lock": 4, "bpf_timer": 16, "bpf_wq": 16, "bpf_task_work": 8,
         "bpf_refcount": 4, "bpf_list_head": 16, "bpf_list_node": 24, "bpf_rb_root": 16, "bpf_rb_node": 32}


class Types(BtfBuilder):
    """A builder that knows the kernel's opaque structs."""

    def __init__(self) -> None:
        super().__init__()
        self.word = self.integer("u32", 4)
        self.long = self.integer("u64", 8)
        self.skb = self.struct("sk_buff", [("len", self.word)])
        for name, size in SIZES.items():
            width = 8 if size % 8 == 0 else 4
            part = self.array(self.long if width == 8 else self.word, size // width)
            setattr(self, name, self.struct(name, [("opaque", part)]))

    def node(self) -> int:
        """A struct with nodes for a list and a tree."""
        return self.struct("node", [("rb", self.bpf_rb_node), ("list", self.bpf_list_node),
                                    ("ref", self.bpf_refcount)])

    bpf_spin_lock: int
    bpf_res_spin_lock: int
    bpf_timer: int
    bpf_wq: int
    bpf_task_work: int
    bpf_refcount: int
    bpf_list_head: int
    bpf_list_node: int
    bpf_rb_root: int
    bpf_rb_node: int


@pytest.mark.parametrize(("tag", "kind"), [
    ("kptr", "kptr_ref"), ("kptr_ref", "kptr_ref"), ("kptr_untrusted", "kptr_unref"), ("percpu_kptr", "kptr_percpu"),
    ("uptr", "uptr"),
])
def test_kptr_tags(tag: str, kind: str) -> None:
    b = Types()
    value = b.struct("value", [("n", b.long), ("skb", b.kptr(b.skb, tag))])
    assert special_fields(b.btf(), value) == (Field(8, 8, kind, "sk_buff", b.skb),)


def test_a_plain_pointer_is_no_field() -> None:
    b = Types()
    value = b.struct("value", [("skb", b.ptr(b.skb))])
    assert special_fields(b.btf(), value) == ()


def test_modifiers_inside_and_a_volatile_outside_do_not_hide_a_kptr() -> None:
    b = Types()
    inside = b.ptr(b.add(t.TypeTag("kptr", b.add(t.Const(b.skb)))))
    value = b.struct("value", [("a", inside), ("b", b.add(t.Volatile(b.kptr(b.skb))))])
    assert [f.offset for f in special_fields(b.btf(), value)] == [0, 8]


@pytest.mark.parametrize("name", [n for n in SIZES if n not in ("bpf_list_head", "bpf_rb_root", "bpf_list_node",
                                                                  "bpf_rb_node")])
def test_structs_with_a_meaning(name: str) -> None:
    b = Types()
    value = b.struct("value", [("n", b.long), ("it", getattr(b, name))])
    assert special_fields(b.btf(), value) == (Field(8, SIZES[name], name.removeprefix("bpf_")),)


def test_fields_of_nested_structs_and_arrays_are_found() -> None:
    b = Types()
    inner = b.struct("inner", [("n", b.long), ("skb", b.kptr(b.skb))])
    value = b.struct("value", [("lock", b.bpf_spin_lock), ("pair", b.array(inner, 2)),
                               ("more", b.array(b.kptr(b.skb), 2))])
    assert [(f.offset, f.kind) for f in special_fields(b.btf(), value)] == [
        (0, "spin_lock"), (16, "kptr_ref"), (32, "kptr_ref"), (40, "kptr_ref"), (48, "kptr_ref")]


def test_a_typedef_of_the_value_is_looked_through_but_one_of_a_member_is_not() -> None:
    b = Types()
    value = b.struct("value", [("lock", b.bpf_spin_lock)])
    outer = b.add(t.Typedef("value_t", value))
    hidden = b.struct("hidden", [("lock", b.add(t.Typedef("lock_t", b.bpf_spin_lock)))])
    assert special_fields(b.btf(), outer)
    assert special_fields(b.btf(), hidden) == ()


def test_fields_inside_unions_are_not_seen() -> None:
    b = Types()
    union = b.add(t.Union("u", 8, (t.Member("skb", b.kptr(b.skb), 0),)))
    value = b.struct("value", [("u", union)])
    assert special_fields(b.btf(), value) == ()


def test_what_holds_a_list_and_a_tree() -> None:
    b = Types()
    node = b.node()
    value = b.struct("value", [("lock", b.bpf_spin_lock), ("root", b.bpf_rb_root), ("head", b.bpf_list_head)])
    b.tag("contains:node:rb", value, 1)
    b.tag("contains:node:list", value, 2)
    assert special_fields(b.btf(), value)[1:] == (
        Field(8, 16, "rb_root", "node", node, "rb", 0), Field(24, 16, "list_head", "node", node, "list", 32))


def test_variables_of_a_data_section() -> None:
    b = Types()
    b.node()
    lock = b.add(t.Var("lock", b.bpf_spin_lock))
    head = b.add(t.Var("head", b.bpf_list_head))
    b.tag("contains:node:list", head)
    sec = b.add(t.Datasec(".data.A", 32, (t.SecInfo(head, 16, 16), t.SecInfo(lock, 0, 4))))
    assert [(f.kind, f.offset) for f in special_fields(b.btf(), sec)] == [("spin_lock", 0), ("list_head", 16)]


def test_nodes_count_only_in_structs_that_programs_allocate() -> None:
    b = Types()
    node = b.node()
    assert [f.kind for f in special_fields(b.btf(), node)] == ["refcount"]
    assert [f.kind for f in special_fields(b.btf(), node, LOCAL_KINDS)] == ["rb_node", "list_node", "refcount"]


def refused(b: Types, value: int, kinds: frozenset[str] | None = None) -> tuple[int, str]:
    record = record_of(b.btf(), value, kinds or MAP_KINDS, rules=FieldRules(several_tags=False))
    assert record.fields == ()
    return record.errno, record.error


def test_an_unknown_tag_is_refused() -> None:
    b = Types()
    number, text = refused(b, b.struct("value", [("p", b.kptr(b.skb, "mine"))]))
    assert number == errno.EINVAL and "'mine'" in text


def test_a_kptr_to_a_struct_that_is_only_declared_is_refused() -> None:
    b = Types()
    number, text = refused(b, b.struct("value", [("p", b.kptr(b.add(t.Fwd("later"))))]))
    assert number == errno.EINVAL and "declared but not defined" in text


def test_two_tags_are_refused() -> None:
    b = Types()
    two = b.ptr(b.add(t.TypeTag("kptr", b.add(t.TypeTag("rcu", b.skb)))))
    assert refused(b, b.struct("value", [("p", two)]))[0] == errno.EINVAL


def test_two_locks_are_refused() -> None:
    b = Types()
    assert refused(b, b.struct("value", [("a", b.bpf_spin_lock), ("b", b.bpf_spin_lock)]))[0] == errno.E2BIG
    assert refused(b, b.struct("value", [("a", b.bpf_spin_lock), ("b", b.bpf_res_spin_lock)]))[0] == errno.EINVAL


def test_a_list_without_lock_is_refused() -> None:
    b = Types()
    b.node()
    value = b.struct("value", [("head", b.bpf_list_head)])
    b.tag("contains:node:list", value, 0)
    assert refused(b, value) == (errno.EINVAL,
                                 "a bpf_list_head or bpf_rb_root needs a bpf_spin_lock in the same value")


@pytest.mark.parametrize(("tag", "number"), [
    (None, errno.EINVAL), ("contains:node", errno.EINVAL), ("contains:node:", errno.EINVAL),
    ("contains:absent:list", errno.ENOENT), ("contains:node:absent", errno.ENOENT), ("contains:node:rb", errno.EINVAL),
])
def test_what_a_list_says_to_hold_must_exist(tag: str | None, number: int) -> None:
    b = Types()
    b.node()
    value = b.struct("value", [("lock", b.bpf_spin_lock), ("head", b.bpf_list_head)])
    if tag:
        b.tag(tag, value, 1)
    assert refused(b, value)[0] == number


def test_two_nodes_need_a_refcount() -> None:
    b = Types()
    node = b.struct("node", [("rb", b.bpf_rb_node), ("list", b.bpf_list_node)])
    assert refused(b, node, LOCAL_KINDS)[0] == errno.EINVAL


def test_an_array_of_locks_is_refused_and_a_huge_array_costs_nothing() -> None:
    b = Types()
    assert refused(b, b.struct("value", [("locks", b.array(b.bpf_timer, 2))]))[0] == errno.EINVAL
    assert refused(b, b.struct("many", [("skbs", b.array(b.kptr(b.skb), 0x1FFFFFFF))]))[0] == errno.E2BIG


def test_more_than_eleven_fields_are_refused() -> None:
    b = Types()
    names = [f"p{i}" for i in range(12)]
    kptr = b.kptr(b.skb)
    eleven = b.struct("eleven", [(n, kptr) for n in names[:11]])
    assert len(special_fields(b.btf(), eleven)) == 11
    assert refused(b, b.struct("twelve", [(n, kptr) for n in names]))[0] == errno.E2BIG


def test_a_deep_and_wide_nest_of_empty_structs_is_walked_once() -> None:
    b = Types()
    inner = b.add(t.Struct("e0", 0))
    for depth in range(1, 30):
        inner = b.add(t.Struct(f"e{depth}", 0, (t.Member("a", inner, 0), t.Member("b", inner, 0))))
    assert special_fields(b.btf(), inner) == ()


def test_structs_nested_too_deeply_are_refused() -> None:
    b = Types()
    inner = b.bpf_spin_lock
    for depth in range(40):
        inner = b.add(t.Struct(f"s{depth}", 4, (t.Member("in", inner, 0),)))
    assert refused(b, inner)[0] == errno.E2BIG


def test_numbers_have_no_fields() -> None:
    b = Types()
    assert record_of(b.btf(), b.word).errno == 0
    assert special_fields(b.btf(), b.word) == ()
