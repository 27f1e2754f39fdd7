"""Open-coded iterators (kernel/bpf/bpf_iter.c, kernel/bpf/helpers.c, kernel/bpf/task_iter.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc, kfunc_only
from ebpfvm.errnos import E2BIG, EINVAL
from ebpfvm.ints import U64_MAX, s32
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv



@kfunc("int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)", "iter_new", in_lock=True)
def bpf_iter_num_new(env: CallEnv, it: int, start: int, end: int) -> int:
    """Count from `start` up to `end`, excluding `end`.

    Return -EINVAL if start > end, -E2BIG for more than 8 Mi steps.
    """
    status = -EINVAL if start > end else -E2BIG if end - start > BPF_MAX_LOOPS else 0
    if status:
        env.memory.store(it, 8, 0)
        return status
    env.memory.store(it, 4, start - 1)
    env.memory.store(it + 4, 4, end)
    return 0


@kfunc("int *bpf_iter_num_next(struct bpf_iter_num *it)", "iter_next", "ret_null", in_lock=True)
def bpf_iter_num_next(env: CallEnv, it: int) -> int:
    """Return the address of the next number, which is in the iterator itself; NULL at the end."""
    memory = env.memory
    following = s32(memory.load(it, 4) + 1)
    if following >= s32(memory.load(it + 4, 4)):
        memory.store(it, 8, 0)
        return 0
    memory.store(it, 4, following)
    return it


@kfunc("void bpf_iter_num_destroy(struct bpf_iter_num *it)", "iter_destroy", in_lock=True)
def bpf_iter_num_destroy(env: CallEnv, it: int) -> int:
    """End the iteration."""
    env.memory.store(it, 8, 0)
    return 0


_BITS_INLINE = 64
_BITS_MAX_WORDS = 511


@kfunc("int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words)", "iter_new")
def bpf_iter_bits_new(env: CallEnv, it: int, unsafe_ptr__ign: int, nr_words: int) -> int:
    """Iterate over the set bits of `nr_words` u64; return -EINVAL for none, -E2BIG above 511 words.

    If there is more than one word, the iterator keeps a copy in memory of its own.
    """
    memory = env.memory
    memory.write(it, bytes(16))
    if not unsafe_ptr__ign or not nr_words:
        return -EINVAL
    if nr_words > _BITS_MAX_WORDS:
        return -E2BIG
    data = memory.read(unsafe_ptr__ign, 8 * nr_words)
    memory.store(it + 8, 8, nr_words * _BITS_INLINE | -1 << 32 & U64_MAX)
    if nr_words == 1:
        memory.write(it, data)
        return 0
    copy = memory.add("mem", bytearray(data), name="bits")
    memory.store(it, 8, copy.base)
    return 0


@kfunc("int *bpf_iter_bits_next(struct bpf_iter_bits *it)", "iter_next", "ret_null")
def bpf_iter_bits_next(env: CallEnv, it: int) -> int:
    """Return the address of the number of the next set bit; NULL after the last."""
    memory = env.memory
    total, bit = memory.load(it + 8, 4), s32(memory.load(it + 12, 4)) + 1
    if not total or bit > total:
        return 0
    words = memory.read(it, 8) if total == _BITS_INLINE else memory.read(memory.load(it, 8), total // 8)
    rest = int.from_bytes(words, "little") >> bit
    if not rest:
        memory.store(it + 8, 4, 0)
        return 0
    memory.store(it + 12, 4, bit + ((rest & -rest).bit_length() - 1))
    return it + 12


@kfunc("void bpf_iter_bits_destroy(struct bpf_iter_bits *it)", "iter_destroy")
def bpf_iter_bits_destroy(env: CallEnv, it: int) -> int:
    """End the iteration and free the copy of the bits."""
    memory = env.memory
    held = memory.load(it, 8)
    region = memory.regions.get(held >> 32)
    if region is not None and region.name == "bits" and held == region.base:
        memory.free(region)
    memory.write(it, bytes(16))
    return 0


bpf_iter_task_new = kfunc_only(
    "int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable, unsigned int flags)",
    "iter_new", "trusted_args", "rcu_protected")
bpf_iter_task_next = kfunc_only("struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it)", "iter_next",
                                "ret_null")
bpf_iter_task_destroy = kfunc_only("void bpf_iter_task_destroy(struct bpf_iter_task *it)", "iter_destroy")
bpf_iter_task_vma_new = kfunc_only(
    "int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr)", "iter_new", "rcu")
bpf_iter_task_vma_next = kfunc_only("struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it)",
                                    "iter_next", "ret_null")
bpf_iter_task_vma_destroy = kfunc_only("void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it)",
                                       "iter_destroy")
bpf_iter_css_new = kfunc_only("int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, "
                              "unsigned int flags)", "iter_new", "trusted_args", "rcu_protected")
bpf_iter_css_next = kfunc_only("struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it)", "iter_next",
                               "ret_null")
bpf_iter_css_destroy = kfunc_only("void bpf_iter_css_destroy(struct bpf_iter_css *it)", "iter_destroy")
bpf_iter_css_task_new = kfunc_only("int bpf_iter_css_task_new(struct bpf_iter_css_task *it, "
                                   "struct cgroup_subsys_state *css, unsigned int flags)", "iter_new", "trusted_args")
bpf_iter_css_task_next = kfunc_only("struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it)",
                                    "iter_next", "ret_null")
bpf_iter_css_task_destroy = kfunc_only("void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it)",
                                       "iter_destroy")
bpf_iter_kmem_cache_new = kfunc_only("int bpf_iter_kmem_cache_new(struct bpf_iter_kmem_cache *it)", "iter_new",
                                     "sleepable")
bpf_iter_kmem_cache_next = kfunc_only("struct kmem_cache *bpf_iter_kmem_cache_next(struct bpf_iter_kmem_cache *it)",
                                      "iter_next", "ret_null", "sleepable")
bpf_iter_kmem_cache_destroy = kfunc_only("void bpf_iter_kmem_cache_destroy(struct bpf_iter_kmem_cache *it)",
                                         "iter_destroy", "sleepable")
bpf_iter_dmabuf_new = kfunc_only("int bpf_iter_dmabuf_new(struct bpf_iter_dmabuf *it)", "iter_new", "sleepable")
bpf_iter_dmabuf_next = kfunc_only("struct dma_buf *bpf_iter_dmabuf_next(struct bpf_iter_dmabuf *it)", "iter_next",
                                  "ret_null", "sleepable")
bpf_iter_dmabuf_destroy = kfunc_only("void bpf_iter_dmabuf_destroy(struct bpf_iter_dmabuf *it)", "iter_destroy",
                                     "sleepable")
