"""The arguments and results of helpers, in the kernel's terms (include/linux/bpf.h: bpf_arg_type, bpf_return_type).

A helper's Python signature is annotated with the aliases at the end of this module. The engines convert each argument
by its kind before they call the body, so that bodies never access registers:

=====================================  =====================================================
kind                                   what the body receives
=====================================  =====================================================
CONST_MAP_PTR                          the map object
PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE       `bytes` of the map's key or value size (an address when `uninit`)
PTR_TO_MEM that is only read           `bytes`, as many as the next argument (or `size`) says
PTR_TO_MEM that is written, the rest   an address (int), or 0 for NULL
PTR_TO_CTX                             the context object (`SkBuff`, `XdpBuff`, ...)
CONST_SIZE, SCALAR, ANYTHING, DONTCARE int, unsigned 64 bits
=====================================  =====================================================

A body returns an int. Negative numbers are errno values, which the engine truncates to 64 bits.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from ebpfvm.lazy_dataclasses import dataclass


class Arg(Enum):
    """Kinds of helper arguments; the names are the kernel's without the prefix ARG_."""

    CONST_MAP_PTR = "map_ptr"
    PTR_TO_MAP_KEY = "map_key"
    PTR_TO_MAP_VALUE = "map_value"
    PTR_TO_MEM = "mem"
    CONST_SIZE = "size"
    CONST_SIZE_OR_ZERO = "size_or_zero"
    CONST_ALLOC_SIZE_OR_ZERO = "alloc_size"
    PTR_TO_CTX = "ctx"
    ANYTHING = "anything"
    SCALAR = "scalar"
    DONTCARE = "dontcare"  # the verifier does not look at the register at all (bpf_trace_printk's R3 to R5)
    PTR_TO_SPIN_LOCK = "spin_lock"
    PTR_TO_SOCK_COMMON = "sock_common"
    PTR_TO_SOCKET = "socket"
    PTR_TO_BTF_ID = "btf_id"
    PTR_TO_BTF_ID_SOCK_COMMON = "btf_id_sock_common"
    PTR_TO_PERCPU_BTF_ID = "percpu_btf_id"
    PTR_TO_RINGBUF_MEM = "ringbuf_mem"
    PTR_TO_FUNC = "func"
    PTR_TO_STACK = "stack"
    PTR_TO_CONST_STR = "const_str"
    PTR_TO_TIMER = "timer"
    KPTR_XCHG_DEST = "kptr_xchg_dest"
    PTR_TO_DYNPTR = "dynptr"
    PTR_TO_ARENA = "arena"


@dataclass(frozen=True, slots=True)
class ArgSpec:
    """One argument of a helper.

    Attributes:
        kind: see `Arg`.
        maybe_null: NULL is accepted (PTR_MAYBE_NULL).
        uninit: memory need not be initialised and is written (MEM_UNINIT).
        write: memory is written (MEM_WRITE) though it must be initialised, or it is uninit.
        rdonly: read-only memory is accepted (MEM_RDONLY).
        release: the reference is released (OBJ_RELEASE).
        size: bytes of a fixed-size memory argument (MEM_FIXED_SIZE), 0 if a size argument follows.
        aligned: the fixed-size memory must be aligned (MEM_ALIGNED).
        dynptr: kind of dynptr ("local", "ringbuf", "skb", "xdp") or "".
        btf: struct name for PTR_TO_BTF_ID.
        low, high: ANYTHING: the argument is a number between them, None for any value.
        object: what the body of a context argument needs: "skb", "xdp", "packet" (either), "" for any. The verifier
            ignores it: program types are only offered helpers that fit.
    """

    kind: Arg
    maybe_null: bool = False
    uninit: bool = False
    write: bool = False
    rdonly: bool = False
    release: bool = False
    size: int = 0
    aligned: bool = False
    dynptr: str = ""
    btf: str = ""
    object: str = ""
    low: int | None = None
    high: int | None = None


class Ret(Enum):
    """Kinds of helper results; the names are the kernel's without the prefix RET_."""

    INTEGER = "integer"
    VOID = "void"
    PTR_TO_MAP_VALUE = "map_value"
    PTR_TO_SOCKET = "sock"
    PTR_TO_TCP_SOCK = "tcp_sock"
    PTR_TO_SOCK_COMMON = "sock_common"
    PTR_TO_MEM = "mem"
    PTR_TO_MEM_OR_BTF_ID = "mem_or_btf_id"
    PTR_TO_BTF_ID = "ptr_"


@dataclass(frozen=True, slots=True)
class RetSpec:
    """The result of a helper.

    Attributes:
        kind: see `Ret`.
        maybe_null: may be NULL.
        acquire: the result is a reference that must be released.
        size: bytes of returned memory; 0 means the value of the CONST_ALLOC_SIZE_OR_ZERO argument.
        ringbuf: the memory is a ring-buffer record (MEM_RINGBUF).
        rdonly: the memory may not be written.
        trusted: the pointer is PTR_TRUSTED.
        btf: struct name for PTR_TO_BTF_ID; "" means that of the kptr slot.
        low, high: bounds the verifier may assume of an INTEGER result, None for none.
        within_size: an INTEGER result is a negative errno, or at most the size argument (do_refine_retval_range).
    """

    kind: Ret
    maybe_null: bool = False
    acquire: bool = False
    size: int = 0
    ringbuf: bool = False
    rdonly: bool = False
    trusted: bool = False
    btf: str = ""
    low: int | None = None
    high: int | None = None
    within_size: bool = False


# Arguments. `Any` because the engines hand over maps, bytes, contexts or ints by kind (see the table above).
MapPtr = Annotated[Any, ArgSpec(Arg.CONST_MAP_PTR)]
MapKey = Annotated[bytes, ArgSpec(Arg.PTR_TO_MAP_KEY)]
MapValue = Annotated[bytes, ArgSpec(Arg.PTR_TO_MAP_VALUE)]
StorageValueOrNull = Annotated[bytes, ArgSpec(Arg.PTR_TO_MAP_VALUE, maybe_null=True)]
UninitMapValue = Annotated[int, ArgSpec(Arg.PTR_TO_MAP_VALUE, uninit=True, write=True)]
Mem = Annotated[bytes, ArgSpec(Arg.PTR_TO_MEM, rdonly=True)]
MemOrNull = Annotated[bytes, ArgSpec(Arg.PTR_TO_MEM, rdonly=True, maybe_null=True)]
WriteMem = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, write=True)]
WriteMemOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, write=True, maybe_null=True)]
UninitMem = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, uninit=True, write=True)]
UninitMemOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, uninit=True, write=True, maybe_null=True)]
Out32 = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, write=True, size=4, aligned=True)]
Out64 = Annotated[int, ArgSpec(Arg.PTR_TO_MEM, uninit=True, write=True, size=8, aligned=True)]
Ipv4Header = Annotated[bytes, ArgSpec(Arg.PTR_TO_MEM, size=20)]
Ipv6Header = Annotated[bytes, ArgSpec(Arg.PTR_TO_MEM, size=40)]
TcpHeader = Annotated[bytes, ArgSpec(Arg.PTR_TO_MEM, size=20)]
ConstSize = Annotated[int, ArgSpec(Arg.CONST_SIZE)]
ConstSizeOrZero = Annotated[int, ArgSpec(Arg.CONST_SIZE_OR_ZERO)]
AllocSize = Annotated[int, ArgSpec(Arg.CONST_ALLOC_SIZE_OR_ZERO)]
Ctx = Annotated[Any, ArgSpec(Arg.PTR_TO_CTX)]
Skb = Annotated[Any, ArgSpec(Arg.PTR_TO_CTX, object="skb")]
Xdp = Annotated[Any, ArgSpec(Arg.PTR_TO_CTX, object="xdp")]
Packet = Annotated[Any, ArgSpec(Arg.PTR_TO_CTX, object="packet")]
CtxOrNull = Annotated[Any, ArgSpec(Arg.PTR_TO_CTX, maybe_null=True)]
Anything = Annotated[int, ArgSpec(Arg.ANYTHING)]
Unchecked = Annotated[int, ArgSpec(Arg.DONTCARE)]
Func = Annotated[int, ArgSpec(Arg.PTR_TO_FUNC)]
StackOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_STACK, maybe_null=True)]
SpinLock = Annotated[int, ArgSpec(Arg.PTR_TO_SPIN_LOCK)]
Timer = Annotated[int, ArgSpec(Arg.PTR_TO_TIMER)]
KptrXchgDest = Annotated[int, ArgSpec(Arg.KPTR_XCHG_DEST)]
KptrOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID, maybe_null=True, release=True)]
Task = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID, btf="task_struct")]
TaskOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID, maybe_null=True, btf="task_struct")]
CgroupOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID, maybe_null=True, btf="cgroup")]
InodeOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID, maybe_null=True, btf="inode")]
PercpuBtf = Annotated[int, ArgSpec(Arg.PTR_TO_PERCPU_BTF_ID)]
SockCommon = Annotated[int, ArgSpec(Arg.PTR_TO_SOCK_COMMON)]
BtfSockCommon = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID_SOCK_COMMON)]
BtfSockCommonRelease = Annotated[int, ArgSpec(Arg.PTR_TO_BTF_ID_SOCK_COMMON, release=True)]
SocketOrNull = Annotated[int, ArgSpec(Arg.PTR_TO_SOCKET, maybe_null=True)]
RingbufMemRelease = Annotated[int, ArgSpec(Arg.PTR_TO_RINGBUF_MEM, release=True)]
ConstStr = Annotated[int, ArgSpec(Arg.PTR_TO_CONST_STR)]
Dynptr = Annotated[int, ArgSpec(Arg.PTR_TO_DYNPTR, rdonly=True)]
UninitLocalDynptr = Annotated[int, ArgSpec(Arg.PTR_TO_DYNPTR, dynptr="local", uninit=True, write=True)]
UninitRingbufDynptr = Annotated[int, ArgSpec(Arg.PTR_TO_DYNPTR, dynptr="ringbuf", uninit=True, write=True)]
RingbufDynptrRelease = Annotated[int, ArgSpec(Arg.PTR_TO_DYNPTR, dynptr="ringbuf", release=True)]

# Results.
Integer = Annotated[int, RetSpec(Ret.INTEGER)]
Length = Annotated[int, RetSpec(Ret.INTEGER, within_size=True)]
# The kernel bounds the number of CPUs by its configuration; this is the largest for x86.
CpuNumber = Annotated[int, RetSpec(Ret.INTEGER, low=0, high=8191)]
Void = Annotated[int, RetSpec(Ret.VOID)]
RetMapValue = Annotated[int, RetSpec(Ret.PTR_TO_MAP_VALUE)]
MapValueOrNull = Annotated[int, RetSpec(Ret.PTR_TO_MAP_VALUE, maybe_null=True)]
KptrRefOrNull = Annotated[int, RetSpec(Ret.PTR_TO_BTF_ID, maybe_null=True, acquire=True)]
TrustedTask = Annotated[int, RetSpec(Ret.PTR_TO_BTF_ID, trusted=True, btf="task_struct")]
PtRegs = Annotated[int, RetSpec(Ret.PTR_TO_BTF_ID, btf="pt_regs")]
SocketOrNullRet = Annotated[int, RetSpec(Ret.PTR_TO_SOCKET, maybe_null=True)]
SocketRefOrNull = Annotated[int, RetSpec(Ret.PTR_TO_SOCKET, maybe_null=True, acquire=True)]
SockCommonRefOrNull = Annotated[int, RetSpec(Ret.PTR_TO_SOCK_COMMON, maybe_null=True, acquire=True)]
TcpSockOrNull = Annotated[int, RetSpec(Ret.PTR_TO_TCP_SOCK, maybe_null=True)]
RingbufMemOrNull = Annotated[int, RetSpec(Ret.PTR_TO_MEM, maybe_null=True, acquire=True, ringbuf=True)]
DynptrMemOrNull = Annotated[int, RetSpec(Ret.PTR_TO_MEM, maybe_null=True)]
PercpuMem = Annotated[int, RetSpec(Ret.PTR_TO_MEM_OR_BTF_ID, rdonly=True)]
PercpuMemOrNull = Annotated[int, RetSpec(Ret.PTR_TO_MEM_OR_BTF_ID, maybe_null=True, rdonly=True)]
