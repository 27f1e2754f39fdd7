"""Structs whose special fields fail the load of an object's types, as Linux 6.18 and 7.2 answered."""

from __future__ import annotations

import pytest

from ebpfvm.btf import Btf
from ebpfvm.btf import types as t
from ebpfvm.btf.fields import FieldRules
from ebpfvm.btf.local_structs import refused_struct
from ebpfvm.btf.ownership import owns_itself
from tests.unit.btf.test_fields import Types

RULES = {"6.18": FieldRules(several_tags=False, one_of_each=False), "7.2": FieldRules()}
BOTH, NEITHER, OLD, NEW = ("6.18", "7.2"), (), ("6.18",), ("7.2",)

# Members of a struct, and the kernels that refuse it.
MEMBERS = {
    ("refcount",): NEITHER, ("res_spin_lock",): NEITHER, ("timer", "timer"): NEITHER, ("list_node",) * 2: NEITHER,
    ("list_node", "rb_node", "refcount"): NEITHER, ("list_node", "rb_node"): BOTH, ("spin_lock",) * 2: BOTH,
    ("spin_lock", "res_spin_lock"): BOTH, ("list_head",): BOTH, ("refcount",) * 2: NEW,
    ("res_spin_lock",) * 2: NEITHER, ("refcount", "res_spin_lock", "res_spin_lock"): BOTH,
    ("refcount", "timer", "timer"): NEITHER}
# Type tags of a pointer, to a struct that is only declared and to one that is defined.
TAGS = {
    ("kptr",): (BOTH, NEITHER), ("kptr", "kptr"): (BOTH, OLD), ("kptr", "x"): (BOTH, OLD), ("x", "kptr"): (BOTH, OLD),
    ("x",): (OLD, OLD), ("x", "y"): (OLD, OLD), ("kptr", "kptr_untrusted"): (BOTH, BOTH), ("uptr",): (NEITHER, NEITHER)}


def refusing(btf: Btf) -> tuple[str, ...]:
    return tuple(version for version, rules in RULES.items()
                 if refused_struct(btf, rules, lambda name: name != "sk_buff_head"))


@pytest.mark.parametrize("names", MEMBERS, ids=" ".join)
def test_members(names: tuple[str, ...]) -> None:
    b = Types()
    b.struct("s", [(f"m{number}", getattr(b, f"bpf_{name}")) for number, name in enumerate(names)])
    assert refusing(b.btf()) == MEMBERS[names]


def tagged(b: Types, target: int, tags: tuple[str, ...]) -> int:
    for tag in tags:
        target = b.add(t.TypeTag(tag, target))
    return b.ptr(target)


@pytest.mark.parametrize("tags", TAGS, ids=" ".join)
def test_tags(tags: tuple[str, ...]) -> None:
    for defined in (False, True):
        b = Types()
        target = b.struct("mine", [("n", b.word)]) if defined else b.add(t.Fwd("later"))
        b.struct("s", [("r", b.bpf_refcount), ("p", tagged(b, target, tags))])
        assert refusing(b.btf()) == TAGS[tags][defined]


def test_a_struct_without_a_field_of_its_own_is_not_looked_at() -> None:
    b = Types()
    b.struct("s", [("p", tagged(b, b.add(t.Fwd("later")), ("kptr",)))])
    assert refusing(b.btf()) == NEITHER
    inner = b.struct("inner", [("r", b.bpf_refcount)])
    b.struct("outer", [("a", inner), ("b", inner)])
    assert refusing(b.btf()) == NEITHER
    b.struct("node", [("a", inner), ("n", b.bpf_rb_node), ("b", inner)])
    assert refusing(b.btf()) == NEW


def test_what_the_kernel_cannot_free_is_not_owned() -> None:
    b = Types()
    b.struct("s", [("p", tagged(b, b.struct("sk_buff_head", [("n", b.word)]), ("kptr",)))])
    assert refusing(b.btf()) == BOTH


def test_only_structs_that_are_looked_at_own_themselves() -> None:
    b = Types()
    inner, outer = len(b.btf()) + 2, len(b.btf()) + 3
    pointer = tagged(b, outer, ("kptr",))
    assert b.struct("inner", [("p", pointer)]) == inner
    assert b.struct("outer", [("i", inner)]) == outer
    assert owns_itself(b.btf(), through_kptrs=True) == ""
    b = Types()
    pointer = tagged(b, len(b.btf()) + 2, ("kptr",))
    b.struct("self", [("p", pointer)])
    assert owns_itself(b.btf(), through_kptrs=True) == "self"


@pytest.mark.parametrize(("bit", "versions"), [(35, BOTH), (40, NEITHER)])
@pytest.mark.parametrize("nested", [False, True])
def test_a_bit_field_that_begins_within_a_byte(bit: int, versions: tuple[str, ...], nested: bool) -> None:
    """Compilers write such BTF, although a comment of the kernel says that they cannot."""
    b = Types()
    fields = (t.Member("a", b.word, 32, 3), t.Member("b", b.word, bit, 5))
    if nested:
        inner = b.add(t.Struct("inner", 8, fields, True))
        b.struct("s", [("r", b.bpf_refcount), ("inner", inner)])
    else:
        b.add(t.Struct("s", 8, (t.Member("r", b.bpf_refcount, 0), *fields), True))
    assert refusing(b.btf()) == versions
