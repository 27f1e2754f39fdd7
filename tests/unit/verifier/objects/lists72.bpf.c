// Lists as Linux 7.2 has them.
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
struct bpf_list_head { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)));
struct bpf_rb_root { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 __opaque[4]; } __attribute__((aligned(8)));
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - offsetof(type, member)))
extern void *bpf_obj_new(__u64 local_type_id) __ksym;
extern void bpf_obj_drop(void *kptr) __ksym;
extern void *bpf_refcount_acquire(void *kptr) __ksym;
extern int bpf_list_push_front(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern int bpf_list_push_back(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;
extern int bpf_list_add(struct bpf_list_head *head, struct bpf_list_node *new_node, struct bpf_list_node *prev) __ksym;
extern struct bpf_list_node *bpf_list_del(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern bool bpf_list_is_first(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern bool bpf_list_is_last(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern bool bpf_list_empty(struct bpf_list_head *head) __ksym;
struct item { struct bpf_list_node node; struct bpf_refcount ref; int v; };
struct plain { struct bpf_list_node node; int v; };
private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head __contains(item, node);
private(A) struct bpf_list_head other __contains(item, node);
private(B) struct bpf_spin_lock lock2;
private(B) struct bpf_list_head flat __contains(plain, node);
#define new(type) ((type *)bpf_obj_new(bpf_core_type_id_local(type)))
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
T(push_pop) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); bpf_list_push_back(&head, &i->node); struct bpf_list_node *n = bpf_list_pop_front(&head); bpf_spin_unlock(&lock); if (n) bpf_obj_drop(container_of(n, struct item, node)); return 0; }
T(add_after_first) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (!f) { bpf_list_push_front(&head, &i->node); bpf_spin_unlock(&lock); return 0; } bpf_list_add(&head, &i->node, f); bpf_spin_unlock(&lock); return 1; }
T(add_without_lock) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); bpf_spin_unlock(&lock); if (!f) { bpf_obj_drop(i); return 0; } bpf_list_add(&head, &i->node, f); return 1; }
T(add_prev_null) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); bpf_list_add(&head, &i->node, f); bpf_spin_unlock(&lock); return 1; }
T(add_prev_owned) { struct item *i = new(struct item); if (!i) return 0; struct item *j = new(struct item); if (!j) { bpf_obj_drop(i); return 0; } bpf_spin_lock(&lock); bpf_list_add(&head, &i->node, &j->node); bpf_spin_unlock(&lock); bpf_obj_drop(j); return 1; }
T(add_itself) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); bpf_list_push_front(&head, &i->node); bpf_list_add(&head, &i->node, &i->node); bpf_spin_unlock(&lock); return 1; }
T(add_other_struct) { struct plain *p = new(struct plain); if (!p) return 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (!f) { bpf_spin_unlock(&lock); bpf_obj_drop(p); return 0; } bpf_list_add(&head, &p->node, f); bpf_spin_unlock(&lock); return 1; }
T(add_stack) { struct bpf_list_node n = {}; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (f) bpf_list_add(&head, &n, f); bpf_spin_unlock(&lock); return 1; }
T(del_first) { bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (!f) { bpf_spin_unlock(&lock); return 0; } f = bpf_list_del(&head, f); bpf_spin_unlock(&lock); if (f) bpf_obj_drop(container_of(f, struct item, node)); return 1; }
T(del_leaks) { bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (!f) { bpf_spin_unlock(&lock); return 0; } bpf_list_del(&head, f); bpf_spin_unlock(&lock); return 1; }
T(del_plain) { bpf_spin_lock(&lock2); struct bpf_list_node *f = bpf_list_front(&flat); if (!f) { bpf_spin_unlock(&lock2); return 0; } f = bpf_list_del(&flat, f); bpf_spin_unlock(&lock2); if (f) bpf_obj_drop(container_of(f, struct plain, node)); return 1; }
T(first_and_last) { int r = 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); if (f) { r = bpf_list_is_first(&head, f); r += bpf_list_is_last(&head, f); } bpf_spin_unlock(&lock); return r; }
T(first_of_owned) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); int r = bpf_list_is_first(&head, &i->node); bpf_spin_unlock(&lock); bpf_obj_drop(i); return r; }
T(first_without_lock) { bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); bpf_spin_unlock(&lock); return f ? bpf_list_is_first(&head, f) : 0; }
T(first_null) { int r = 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_front(&head); r = bpf_list_is_first(&head, f); bpf_spin_unlock(&lock); return r; }
T(last_of_other) { int r = 0; bpf_spin_lock(&lock); struct bpf_list_node *f = bpf_list_back(&head); if (f) r = bpf_list_is_last(&other, f); bpf_spin_unlock(&lock); return r; }
T(empty) { bpf_spin_lock(&lock); int r = bpf_list_empty(&head); bpf_spin_unlock(&lock); return r; }
T(empty_without_lock) { return bpf_list_empty(&head); }
T(empty_other_lock) { bpf_spin_lock(&lock2); int r = bpf_list_empty(&head); bpf_spin_unlock(&lock2); return r; }
T(used_after_add) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); bpf_list_push_front(&head, &i->node); i->v = 3; bpf_spin_unlock(&lock); return 0; }
T(used_after_unlock) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); bpf_list_push_front(&head, &i->node); bpf_spin_unlock(&lock); return i->v; }
T(shared) { struct item *i = new(struct item); if (!i) return 0; struct item *j = bpf_refcount_acquire(i); bpf_spin_lock(&lock); bpf_list_push_front(&head, &i->node); bpf_spin_unlock(&lock); int v = j->v; bpf_obj_drop(j); return v; }
T(new_in_lock) { bpf_spin_lock(&lock); struct item *i = new(struct item); bpf_spin_unlock(&lock); if (i) bpf_obj_drop(i); return 0; }
T(drop_in_lock) { struct item *i = new(struct item); if (!i) return 0; bpf_spin_lock(&lock); bpf_obj_drop(i); bpf_spin_unlock(&lock); return 0; }
char _license[] SEC("license") = "GPL";
