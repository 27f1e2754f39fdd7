"""Objects that a program allocates, and the lists and trees that hold them (kernel/bpf/helpers.c, Linux 7.2).

The `_impl` spellings are what every kernel so far has; 7.2 adds the same functions without it, whose hidden last
arguments the verifier fills in.
"""

from __future__ import annotations

from ebpfvm.contract import kfunc_only

_NODE, _HEAD = "struct bpf_list_node *", "struct bpf_list_head *head"
_LESS = "bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)"

bpf_obj_new_impl = kfunc_only("void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign)", "acquire", "ret_null")
bpf_obj_drop_impl = kfunc_only("void bpf_obj_drop_impl(void *p__alloc, void *meta__ign)", "release")
bpf_percpu_obj_new_impl = kfunc_only("void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign)",
                                     "acquire", "ret_null")
bpf_percpu_obj_drop_impl = kfunc_only("void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign)", "release")
bpf_refcount_acquire_impl = kfunc_only("void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign)",
                                       "acquire", "ret_null", "rcu")

bpf_list_push_front_impl = kfunc_only(
    f"int bpf_list_push_front_impl({_HEAD}, struct bpf_list_node *node, void *meta__ign, u64 off)")
bpf_list_push_back_impl = kfunc_only(
    f"int bpf_list_push_back_impl({_HEAD}, struct bpf_list_node *node, void *meta__ign, u64 off)")
bpf_list_pop_front = kfunc_only(f"{_NODE}bpf_list_pop_front({_HEAD})", "acquire", "ret_null")
bpf_list_pop_back = kfunc_only(f"{_NODE}bpf_list_pop_back({_HEAD})", "acquire", "ret_null")
bpf_list_front = kfunc_only(f"{_NODE}bpf_list_front({_HEAD})", "ret_null")
bpf_list_back = kfunc_only(f"{_NODE}bpf_list_back({_HEAD})", "ret_null")

bpf_rbtree_add_impl = kfunc_only(
    f"int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, {_LESS}, void *meta__ign, u64 off)")
bpf_rbtree_remove = kfunc_only(
    "struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node)", "acquire", "ret_null")
bpf_rbtree_first = kfunc_only("struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root)", "ret_null")
bpf_rbtree_root = kfunc_only("struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root)", "ret_null")
bpf_rbtree_left = kfunc_only(
    "struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node)", "ret_null")
bpf_rbtree_right = kfunc_only(
    "struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node)", "ret_null")

# Since Linux 7.2.
bpf_obj_new = kfunc_only("void *bpf_obj_new(u64 local_type_id__k)", "acquire", "ret_null", "implicit_args")
bpf_obj_drop = kfunc_only("void bpf_obj_drop(void *p__alloc)", "release", "implicit_args")
bpf_percpu_obj_new = kfunc_only("void *bpf_percpu_obj_new(u64 local_type_id__k)", "acquire", "ret_null",
                                "implicit_args")
bpf_percpu_obj_drop = kfunc_only("void bpf_percpu_obj_drop(void *p__alloc)", "release", "implicit_args")
bpf_refcount_acquire = kfunc_only("void *bpf_refcount_acquire(void *p__refcounted_kptr)", "acquire", "ret_null", "rcu",
                                  "implicit_args")
bpf_list_push_front = kfunc_only(f"int bpf_list_push_front({_HEAD}, struct bpf_list_node *node)", "implicit_args")
bpf_list_push_back = kfunc_only(f"int bpf_list_push_back({_HEAD}, struct bpf_list_node *node)", "implicit_args")
bpf_list_add = kfunc_only(
    f"int bpf_list_add({_HEAD}, struct bpf_list_node *node, struct bpf_list_node *prev)", "implicit_args")
bpf_list_del = kfunc_only(f"{_NODE}bpf_list_del({_HEAD}, struct bpf_list_node *node)", "acquire", "ret_null")
bpf_list_is_first = kfunc_only(f"bool bpf_list_is_first({_HEAD}, struct bpf_list_node *node)")
bpf_list_is_last = kfunc_only(f"bool bpf_list_is_last({_HEAD}, struct bpf_list_node *node)")
bpf_list_empty = kfunc_only(f"bool bpf_list_empty({_HEAD})")
bpf_rbtree_add = kfunc_only(f"int bpf_rbtree_add(struct bpf_rb_root *root, struct bpf_rb_node *node, {_LESS})",
                            "implicit_args")
