"""Test runs of program types whose context is neither an skb nor an xdp_buff; see `ebpfvm.testrun`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import UsageError
from ebpfvm.ints import U16_MAX, U32_MAX
from ebpfvm.kernel import BytesCtx, SkbCtx, SkBuff
from ebpfvm.kernel.ctx import ObjectCtx
from ebpfvm.net import ETH_HLEN

if TYPE_CHECKING:
    from ebpfvm.contract import ProgType
    from ebpfvm.kernel import Kernel
    from ebpfvm.kernel.layouts import Layout
    from ebpfvm.kernel.program import Runnable

Ran = tuple[int, bytes, dict[str, Any]]
_KEYS_SIZE: Final = 56  # struct bpf_flow_keys
_KEYS_FLAGS: Final = 48
_MAX_ARGS: Final = 12 * 8  # MAX_BPF_FUNC_ARGS
_SK_LOOKUP: Final = {"family": 0, "protocol": 0, "remote_ip4": 0, "remote_ip6": [0] * 4, "remote_port": 0,
                     "local_ip4": 0, "local_ip6": [0] * 4, "local_port": 0, "ingress_ifindex": 0}
_FAMILIES: Final = {2: "ip6", 10: "ip4"}  # AF_INET, AF_INET6: which addresses read as zero


class RunRequest(Protocol):
    """The part of a test run that these functions use; see `ebpfvm.runners.Request`."""

    kernel: Kernel
    kind: ProgType
    data: bytes
    ctx: dict[str, Any]
    raw: bytes
    repeat: int
    warnings: list[str]

    @property
    def layout(self) -> Layout:
        """What the program may see of its context."""


def flow_dissector(request: RunRequest, run: Runnable) -> Ran:
    """Run a program as bpf_prog_test_run_flow_dissector does, and return `struct bpf_flow_keys` as data.

    `ctx["flags"]` sets the flags of the keys.
    """
    kernel, data = request.kernel, request.data
    flags = request.ctx.pop("flags", 0)
    if request.raw or request.ctx:
        raise UsageError("a flow dissector accepts no context except flags=NUMBER (BPF_FLOW_DISSECTOR_F_*)")
    region = kernel.memory.add("flow_keys", bytearray(_KEYS_SIZE), name="flow_keys")
    skb = SkBuff(kernel, data, protocol=int.from_bytes(data[12:14], "little"), flow_keys=region.base)
    context, keys, retval = SkbCtx(kernel, skb, request.layout), region.data, 0
    for _ in range(request.repeat):
        keys[:] = bytes(_KEYS_SIZE)
        keys[0:4] = ETH_HLEN.to_bytes(2, "little") * 2
        keys[10:12] = data[12:14]
        keys[_KEYS_FLAGS:_KEYS_FLAGS + 4] = (flags & U32_MAX).to_bytes(4, "little")
        retval = run(context)
        network = min(max(int.from_bytes(keys[0:2], "little"), ETH_HLEN), len(data))
        transport = min(max(int.from_bytes(keys[2:4], "little"), network), len(data))
        keys[0:4] = network.to_bytes(2, "little") + transport.to_bytes(2, "little")
    return retval, bytes(keys), {}


def plain(request: RunRequest, run: Runnable) -> Ran:
    """Run a program as bpf_prog_test_run_syscall and bpf_prog_test_run_raw_tp do: its context is plain memory.

    The memory is returned as `ctx["context"]`.
    """
    if request.ctx:
        raise UsageError(f"a program of type {request.kind.name} takes its context as bytes (ctx_in)")
    writable, raw = request.kind.name == "syscall", request.raw
    if not writable and (len(raw) > _MAX_ARGS or len(raw) % 8):
        request.warnings.append(f"{len(raw)} bytes of context: Linux takes up to 12 numbers of 8 bytes (EINVAL)")
    if len(raw) > U16_MAX:
        request.warnings.append(f"{len(raw)} bytes of context: Linux takes at most {U16_MAX} (EINVAL)")
    context, retval = BytesCtx(request.kernel, raw, writable=writable), 0
    for _ in range(request.repeat):
        retval = run(context)
    return retval, b"", {"context": bytes(context.data)}


class _SkLookup:
    """The context of a program that selects a socket: addresses and ports of the packet."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.sk = 0
        other = _FAMILIES.get(fields.get("family", 0), "ip")
        seen = {name: value for name, value in fields.items() if other not in name}
        self.__dict__.update({**_SK_LOOKUP, **seen})


def sk_lookup(request: RunRequest, run: Runnable) -> Ran:
    """Run a program as bpf_prog_test_run_sk_lookup does; it returns SK_PASS or SK_DROP.

    No socket is ever selected, because there are none.
    """
    given = dict(request.ctx)
    unknown = set(given) - set(_SK_LOOKUP)
    if unknown:
        raise UsageError(f"the context has no field {min(unknown)!r} that can be set; it has: {', '.join(_SK_LOOKUP)}")
    if given.get("family") not in _FAMILIES:
        request.warnings.append("family: Linux takes 2 (AF_INET) and 10 (AF_INET6) (EAFNOSUPPORT)")
    if given.get("local_port", 0) > U16_MAX:
        request.warnings.append(f"local_port {given['local_port']}: Linux returns ERANGE above {U16_MAX}")
    if given.get("ingress_ifindex"):
        request.warnings.append("field 'ingress_ifindex' must be zero in a test run of Linux (EINVAL)")
    target, retval = _SkLookup(given), 0
    context = ObjectCtx(request.kernel, target, request.layout)
    for _ in range(request.repeat):
        retval = run(context)
    return retval, b"", {**_SK_LOOKUP, **given}


RUNNERS: Final[dict[str, Callable[[Any, Runnable], Ran]]] = {
    "flow_dissector": flow_dissector, "syscall": plain, "raw_tracepoint": plain, "sk_lookup": sk_lookup}
"""Types that are run so."""
PLAIN: Final = frozenset(RUNNERS) - {"sk_lookup"}
"""Those whose context has no fields that bpf(2) would take by their place in a structure."""
