"""Special fields: members that only certain functions may access (kptrs, locks, timers, lists, trees, ...).

The rules are those of `btf_parse_fields` and what it calls (kernel/bpf/btf.c, Linux 7.2): structs are recognised by
their names, pointers by the type tag of what they point to, and the contents of a list or tree by a declaration tag
`contains:STRUCT:MEMBER`. As in the kernel, names are matched without looking through typedefs. Two spellings of a
referenced kptr are accepted: `kptr` (since Linux 6.4) and `kptr_ref` (before). The latter is the tag of the packet
scheduler RFC; its unowned pointers, which it tags `kptr`, are treated as referenced ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errnos import E2BIG, EEXIST, EFAULT, EINVAL, ENOENT
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.btf.types import Btf

FIELDS_MAX = 11
"""BTF_FIELDS_MAX: special fields that one value may have."""


class _Shape(NamedTuple):
    kind: str
    size: int
    align: int
    unique: bool


_BY_NAME = {
    "bpf_spin_lock": _Shape("spin_lock", 4, 4, True),
    "bpf_res_spin_lock": _Shape("res_spin_lock", 4, 4, True),
    "bpf_timer": _Shape("timer", 16, 8, True),
    "bpf_wq": _Shape("wq", 16, 8, True),
    "bpf_task_work": _Shape("task_work", 8, 8, True),
    "bpf_list_head": _Shape("list_head", 16, 8, False),
    "bpf_list_node": _Shape("list_node", 24, 8, False),
    "bpf_rb_root": _Shape("rb_root", 16, 8, False),
    "bpf_rb_node": _Shape("rb_node", 32, 8, False),
    "bpf_refcount": _Shape("refcount", 4, 4, True),
}
STRUCT_KINDS = {name: shape.kind for name, shape in _BY_NAME.items()}
"""Kind of special field of each struct that is one."""
_UNIQUE = {shape.kind for shape in _BY_NAME.values() if shape.unique}
_BY_TAG = {"kptr": "kptr_ref", "kptr_ref": "kptr_ref", "kptr_untrusted": "kptr_unref", "percpu_kptr": "kptr_percpu",
           "uptr": "uptr"}
KPTRS = frozenset(("kptr_ref", "kptr_unref", "kptr_percpu"))
MAP_KINDS = KPTRS | {"uptr", "spin_lock", "res_spin_lock", "timer", "wq", "task_work", "list_head", "rb_root",
                     "refcount"}
"""The kinds to look for in map values (map_check_btf, kernel/bpf/syscall.c)."""
LOCAL_KINDS = KPTRS | {"spin_lock", "res_spin_lock", "list_head", "list_node", "rb_root", "rb_node", "refcount"}
"""The kinds to look for in structs that a program allocates (btf_parse_struct_metas)."""
_REPEATABLE = KPTRS | {"uptr", "list_head", "rb_root"}
_NODES = {"list_head": "bpf_list_node", "rb_root": "bpf_rb_node"}


@dataclass(frozen=True, slots=True)
class Field:
    """A special field.

    Attributes:
        offset, size: bytes.
        kind: "kptr_ref", "kptr_unref", "kptr_percpu", "uptr", "spin_lock", "res_spin_lock", "timer", "wq",
            "task_work", "list_head", "list_node", "rb_root", "rb_node" or "refcount".
        struct: for a kptr, the name of the struct that it points to; for a list head or tree root, of the struct it
            holds.
        type_id: id of that struct.
        node: for a list head or tree root, the name of the node member in that struct.
        node_offset: bytes from the start of that struct to the node.
    """

    offset: int
    size: int
    kind: str
    struct: str = ""
    type_id: int = 0
    node: str = ""
    node_offset: int = 0


@dataclass(frozen=True, slots=True)
class BtfRecord:
    """The special fields of a type, by offset; or none and the reason why the kernel refuses them.

    Attributes:
        fields: empty if there is an error: for map values, the kernel drops the error and continues without fields.
        errno: positive, 0 if there is no error.
        error: one sentence, "" if there is no error.
    """

    fields: tuple[Field, ...] = ()
    errno: int = 0
    error: str = ""

    def field(self, kind: str) -> Field | None:
        """Return the first field of a kind, or None."""
        return next((found for found in self.fields if found.kind == kind), None)


class FieldRules(NamedTuple):
    """In what kernels differ here; see the rules of the same names in `ebpfvm.contract.rules`."""

    several_tags: bool = True
    one_of_each: bool = True


NEWEST = FieldRules()


class _Refused(Exception):
    """Internal signal: the kernel would return this error."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


def special_fields(btf: Btf, type_id: int, kinds: frozenset[str] = MAP_KINDS) -> tuple[Field, ...]:
    """Return the special fields of a map value, by offset; none if the kernel refuses them (see `record_of`).

    Args:
        type_id: a struct, a data section, or a typedef of a struct; other types have no fields.
        kinds: the kinds to look for: `MAP_KINDS` or `LOCAL_KINDS`.

    Raises:
        LoadError: the BTF itself is damaged.
    """
    return record_of(btf, type_id, kinds).fields


def record_of(btf: Btf, type_id: int, kinds: frozenset[str] = MAP_KINDS, *,
              known: dict[int, list[Field]] | None = None, rules: FieldRules = NEWEST) -> BtfRecord:
    """Return the special fields of a type together with the kernel's error, if there is one.

    The arguments and errors are those of `special_fields`; `known` caches results for further calls with the same BTF,
    kinds and rules.
    """
    root = btf.resolve(type_id)
    walk = _Walk(btf, kinds, {} if known is None else known, rules)
    try:
        fields = sorted(walk.fields_of(root, 0), key=lambda field: field.offset)
        _check_together(fields, btf.size_of(root) if fields else 0)
        if rules.one_of_each:
            _check_alone(fields)
        return BtfRecord(tuple(_with_node(btf, field) for field in fields))
    except _Refused as refused:
        return BtfRecord((), refused.number, str(refused))


def is_kptr(btf: Btf, type_id: int, rules: FieldRules) -> bool:
    """Return whether a type is a kptr to a struct of the program or the kernel."""
    try:
        return bool(_Walk(btf, KPTRS, {}, rules).pointer(type_id, 0, 1, 0))
    except _Refused:
        return False


class _Walk:
    """One walk through a type; a struct that occurs twice is walked once, so that the work stays linear."""

    def __init__(self, btf: Btf, kinds: frozenset[str], known: dict[int, list[Field]], rules: FieldRules) -> None:
        self.btf = btf
        self.kinds = kinds
        self.known = known
        self.rules = rules

    def fields_of(self, type_id: int, level: int) -> list[Field]:
        found = self.known.get(type_id)
        if found is not None:
            return found
        if level >= t.MAX_RESOLVE_DEPTH:
            raise _Refused(E2BIG, f"structs are nested more than {t.MAX_RESOLVE_DEPTH} deep")
        owner = self.btf[type_id]
        if isinstance(owner, t.Struct):
            found = self._members(type_id, owner, level)
        elif isinstance(owner, t.Datasec):
            found = self._variables(owner, level)
        else:
            found = []
        if len(found) > FIELDS_MAX:
            raise _Refused(E2BIG, f"{self.btf.describe(type_id)} has more than {FIELDS_MAX} special fields")
        self.known[type_id] = found
        return found

    def _members(self, type_id: int, owner: t.Struct, level: int) -> list[Field]:
        found: list[Field] = []
        seen: set[str] = set()
        for index, member in enumerate(owner.members):
            if member.bit_offset % 8:  # of whatever type the member is
                raise _Refused(EINVAL, f"member {member.name!r} begins at bit {member.bit_offset}, which is no whole "
                                       "byte; a struct with special fields may not have such bit fields")
            found.extend(self._one(member.type, member.bit_offset // 8, (type_id, index), 0, level, seen))
            if len(found) > FIELDS_MAX:
                break
        return found

    def _variables(self, owner: t.Datasec, level: int) -> list[Field]:
        found: list[Field] = []
        seen: set[str] = set()
        for info in owner.vars:
            var = self.btf[info.type]
            if isinstance(var, t.Var):
                found.extend(self._one(var.type, info.offset, (info.type, -1), info.size, level, seen))
            if len(found) > FIELDS_MAX:
                break
        return found

    def _one(self, type_id: int, offset: int, place: tuple[int, int], size: int, level: int,
             seen: set[str]) -> list[Field]:
        """Return the fields of a member or variable (btf_find_field_one); `size` is the required size, or 0."""
        count = 1
        found = self.btf[type_id]
        for _ in range(t.MAX_RESOLVE_DEPTH):
            if not isinstance(found, t.Array):
                break
            count *= found.nelems
            type_id = found.type
            found = self.btf[type_id]
        else:
            raise _Refused(E2BIG, f"an array has more than {t.MAX_RESOLVE_DEPTH} dimensions")
        if count == 0:
            return []
        shape = _BY_NAME.get(found.name)
        if shape is None or shape.kind not in self.kinds:
            if isinstance(found, t.Struct):
                if size and size != found.size * count:
                    return []
                nested = self.fields_of(type_id, level + 1)
                return self._repeated([replace(f, offset=f.offset + offset) for f in nested], count, found.size)
            return self.pointer(type_id, offset, count, size)
        if shape.kind in seen:
            raise _Refused(E2BIG, f"more than one {found.name} in one struct")
        if (size and size != shape.size * count) or offset % shape.align:
            return []
        if shape.unique and (shape.kind != "refcount" or self.rules.one_of_each):
            seen.add(shape.kind)
        if not isinstance(found, t.Struct) or found.size != shape.size:
            return []
        field = Field(offset, shape.size, shape.kind)
        if shape.kind in _NODES:
            field = self._root(field, place)
        return self._repeated([field], count, shape.size)

    def pointer(self, type_id: int, offset: int, count: int, size: int) -> list[Field]:
        """Return the field for a pointer whose target has one of the kptr tags (btf_find_kptr)."""
        found = self.btf[type_id]
        if isinstance(found, t.Volatile):
            found = self.btf[found.type]
        if not isinstance(found, t.Ptr) or (size and size != 8 * count) or offset % 8:
            return []
        tag = self.btf[found.type]
        if not isinstance(tag, t.TypeTag) or tag.attr:
            return []
        kind = self._kind_of(tag)
        if kind not in self.kinds:
            return []
        target = self.btf.resolve(tag.type)
        struct = self.btf[target]
        if not isinstance(struct, t.Struct):
            only = " (it is declared but not defined here)" if isinstance(struct, t.Fwd) else ""
            raise _Refused(EINVAL, f"a {tag.name} points to {self.btf.describe(target)}, which is no "
                                         f"struct{only}")
        return self._repeated([Field(offset, 8, kind, struct.name, target)], count, 8)

    def _kind_of(self, tag: t.TypeTag) -> str:
        """Return the kind of kptr that the tags of a pointer's target say, "" if they say none."""
        kind, inner = _BY_TAG.get(tag.name, ""), self.btf[tag.type]
        if not self.rules.several_tags:
            if isinstance(inner, t.TypeTag):
                raise _Refused(EINVAL, f"a pointer has the type tag {tag.name!r} and another one")
            if not kind:
                raise _Refused(EINVAL, f"type tag {tag.name!r} is none of {', '.join(_BY_TAG)}")
        while isinstance(inner, t.TypeTag):
            other = _BY_TAG.get(inner.name, kind)
            if kind and other != kind:
                raise _Refused(EINVAL, f"a pointer has the type tags {tag.name!r} and {inner.name!r}")
            kind, inner = other, self.btf[inner.type]
        return kind

    def _root(self, field: Field, place: tuple[int, int]) -> Field:
        """Return a list head or tree root with its contents, from its declaration tag (btf_find_graph_root)."""
        tags = [tag for tag in self.btf.decl_tags(*place) if tag.startswith("contains:")]
        name = f"bpf_{field.kind}"
        if len(tags) != 1:
            raise _Refused(EEXIST if tags else EINVAL,
                           f"a {name} has {len(tags) or 'no'} declaration tag contains:STRUCT:MEMBER; it needs one")
        struct, colon, node = tags[0].removeprefix("contains:").partition(":")
        if not colon or not node:
            raise _Refused(EINVAL, f"declaration tag {tags[0]!r} is not contains:STRUCT:MEMBER")
        type_id = self.btf.find(struct, t.Kind.STRUCT)
        if type_id is None:
            raise _Refused(ENOENT, f"a {name} contains struct {struct}, which is not in the object's BTF: "
                                         "no code uses the struct, so the compiler left it out")
        return replace(field, struct=struct, type_id=type_id, node=node)

    def _repeated(self, fields: list[Field], count: int, step: int) -> list[Field]:
        """Return the fields of all `count` elements of an array (btf_repeat_fields)."""
        if count == 1 or not fields:
            return fields
        fixed = [field.kind for field in fields if field.kind not in _REPEATABLE]
        if fixed:
            raise _Refused(EINVAL, f"there cannot be an array of bpf_{fixed[0]}")
        if len(fields) * count > FIELDS_MAX:
            raise _Refused(E2BIG, f"an array of {count} elements has more than {FIELDS_MAX} special fields")
        return [replace(field, offset=field.offset + i * step) for i in range(count) for field in fields]


def _check_together(fields: Iterable[Field], size: int) -> None:
    """Check the conditions between the fields of one value (end of btf_parse_fields)."""
    kinds = set()
    end = 0
    for field in fields:
        if field.offset + field.size > size:
            raise _Refused(EFAULT, f"a {field.kind} at {field.offset} extends beyond the value's {size} bytes")
        if field.offset < end:
            raise _Refused(EEXIST, f"a {field.kind} at {field.offset} overlaps the special field before it")
        end = field.offset + field.size
        kinds.add(field.kind)
    locks = kinds & {"spin_lock", "res_spin_lock"}
    if len(locks) > 1:
        raise _Refused(EINVAL, "there is both a bpf_spin_lock and a bpf_res_spin_lock")
    if kinds & set(_NODES) and not locks:
        raise _Refused(EINVAL, "a bpf_list_head or bpf_rb_root needs a bpf_spin_lock in the same value")
    if {"list_node", "rb_node"} <= kinds and "refcount" not in kinds:
        raise _Refused(EINVAL, "a struct with a bpf_list_node and a bpf_rb_node needs a bpf_refcount")


def _check_alone(fields: Iterable[Field]) -> None:
    """Check that fields which must be the only ones of their kind are."""
    seen = set()
    for field in fields:
        if field.kind in _UNIQUE and field.kind in seen:
            raise _Refused(E2BIG, f"more than one bpf_{field.kind} in a value and the structs nested in it")
        seen.add(field.kind)


def _with_node(btf: Btf, field: Field) -> Field:
    """Check and locate the node that a list head or tree root names (btf_parse_graph_root)."""
    if field.kind not in _NODES:
        return field
    wanted = _NODES[field.kind]
    struct = btf[field.type_id]
    assert isinstance(struct, t.Struct)
    for member in struct.members:
        if member.name == field.node:
            node = btf[member.type]
            if not isinstance(node, t.Struct) or node.name != wanted or member.bit_offset % 64:
                raise _Refused(EINVAL, f"member {field.node!r} of struct {struct.name} is no {wanted}")
            return replace(field, node_offset=member.bit_offset // 8)
    raise _Refused(ENOENT, f"struct {struct.name} has no member {field.node!r}")
