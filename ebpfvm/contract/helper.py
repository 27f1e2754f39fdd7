"""Declare helpers: the signature is the contract, the body is the run time, the docstring is the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

from ebpfvm.contract.args import Arg, ArgSpec, Ret, RetSpec
from ebpfvm.contract.roles import Callback, HelperRole, MapOp, contradictions, known, options_known
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper function of a kernel; dialects determine its number and who may call it.

    Attributes:
        name: kernel name, "bpf_map_lookup_elem".
        args: contract of R1..R5, only as many as it takes.
        ret: what R0 holds afterwards.
        body: called as `body(env, *converted_args)`; None when only the name and contract are known (calling it at
            run time is a fault "not supported by ebpfvm").
        doc: first lines of documentation.
        gpl_only: needs a GPL-compatible program.
        changes_packet: packet pointers become invalid (bpf_helper_changes_pkt_data).
        might_sleep: only for sleepable programs.
        pkt_access: a packet pointer may be a memory argument (pkt_access) if the program type allows it.
        cap: "bpf" or "perfmon" if the kernel's base set offers it only with that capability.
        barred: "probe" if the kernel lists it for a program type but then rejects the call; "" otherwise.
        needs_function: only for programs that are attached to a function (check_get_func_ip).
        callback: "sync" or "async" if it takes a function.
        context_to: register of the callback that gets the context argument (`Arg.PTR_TO_STACK`); 0: none does.
        memory_to: registers of the callback that get pointers to plain memory that the helper provides.
        role: its special rules; see `ebpfvm.contract.roles`.
        map_op: its operation on the map, if the map's type determines whether that is allowed.
        in_lock: it may be called while a bpf_spin_lock is held.
        modelled: whether the verifier implements its special cases; otherwise a call is rejected as unsupported.
        bare: its body does not look at its environment, so that an engine may pass None.
        in_engine: whether the engines themselves execute it, so that it needs no body.
        arms: it may add an event to the event loop.
        tells_time: it returns the kernel's clock and does nothing else.
        of_flow: its result is the same for all packets of a flow that nobody has changed.
    """

    name: str
    args: tuple[ArgSpec, ...]
    ret: RetSpec
    body: Callable[..., int] | None
    doc: str = ""
    gpl_only: bool = False
    changes_packet: bool = False
    might_sleep: bool = False
    pkt_access: bool = False
    cap: Literal["", "bpf", "perfmon"] = ""
    barred: Literal["", "probe"] = ""
    needs_function: bool = False
    callback: Callback = ""
    context_to: int = 0
    memory_to: tuple[int, ...] = ()
    role: HelperRole = ""
    map_op: MapOp = ""
    in_lock: bool = False
    modelled: bool = True
    bare: bool = False
    in_engine: bool = False
    arms: bool = False
    tells_time: bool = False
    of_flow: bool = False

    def __post_init__(self) -> None:
        what = f"helper {self.name}"
        known(f"{what}: role", self.role, HelperRole)
        known(f"{what}: map_op", self.map_op, MapOp)
        known(f"{what}: callback", self.callback, Callback)
        contradictions(what, self._claims())

    def _claims(self) -> Iterator[tuple[bool, bool, str]]:
        """Yield what options and signature require of each other, for `contradictions`."""
        kinds = {spec.kind for spec in self.args}
        func, callback = Arg.PTR_TO_FUNC in kinds, bool(self.callback)
        yield func, callback, "takes a function, and 'callback' does not say when it runs"
        yield callback, func, "has a callback, and takes no function"
        yield callback, bool(self.role), "has a callback, and no role that says what it is given"
        yield bool(self.memory_to), callback, "gives memory to a callback, and has none"
        yield bool(self.context_to), callback and Arg.PTR_TO_STACK in kinds, "passes on a context, and takes none"
        yield bool(self.map_op), Arg.CONST_MAP_PTR in kinds, f"map_op is {self.map_op!r}, and it takes no map"
        for roles, kind, thing in _PARTS:
            yield self.role in roles, kind in kinds, f"role is {self.role!r}, and it takes no {thing}"
        for roles, kind, thing in _ALWAYS:
            yield kind in kinds, self.role in roles, f"takes a {thing}, and its role is {self.role!r}"
        yield self.ret.within_size, bool(kinds & _SIZES), "its result is within a size, and it takes none"
        pointer = self.ret.kind not in (Ret.INTEGER, Ret.VOID)
        yield self.ret.acquire, pointer, "acquires a reference, and gives no pointer"
        yield self.role == "cast", pointer, "casts a pointer, and gives none"
        yield self.role == "tail_call", self.in_engine, "makes tail calls, which engines carry out: 'in_engine'"
        yield self.in_engine, self.body is None, "is carried out by the engines, and has a body too"


_SIZES: Final = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
_ALWAYS: Final[tuple[tuple[tuple[HelperRole, ...], Arg, str], ...]] = (
    (("lock", "unlock"), Arg.PTR_TO_SPIN_LOCK, "lock"), (("kptr_xchg",), Arg.KPTR_XCHG_DEST, "kptr to exchange"))
_PARTS: Final[tuple[tuple[tuple[HelperRole, ...], Arg, str], ...]] = (
    *_ALWAYS, (("tail_call", "walk_map", "drain", "local_storage"), Arg.CONST_MAP_PTR, "map"),
    (("set_timer",), Arg.PTR_TO_TIMER, "timer"), (("format",), Arg.PTR_TO_CONST_STR, "format string"),
    (("dynptr_from_mem", "dynptr_data", "dynptr_write"), Arg.PTR_TO_DYNPTR, "dynptr"),
    (("tail_call", "tc_classify"), Arg.PTR_TO_CTX, "context"))


class HelperOptions(TypedDict, total=False):
    """The options of `helper` and `contract_only`; see the attributes of `Helper`."""

    gpl_only: bool
    changes_packet: bool
    might_sleep: bool
    pkt_access: bool
    cap: Literal["", "bpf", "perfmon"]
    needs_function: bool
    callback: Callback
    context_to: int
    memory_to: tuple[int, ...]
    role: HelperRole
    map_op: MapOp
    in_lock: bool
    modelled: bool
    bare: bool
    in_engine: bool
    arms: bool
    tells_time: bool
    of_flow: bool


def _specs(function: Callable[..., int]) -> tuple[tuple[ArgSpec, ...], RetSpec]:
    """Return the contract that the annotations state; the first parameter is the environment and has none."""
    code = function.__code__
    args = []
    for name in code.co_varnames[1:code.co_argcount]:
        spec = _metadata(_hint(function, name), ArgSpec)
        if not isinstance(spec, ArgSpec):
            raise InternalError(f"helper {function.__name__}: parameter {name!r} has no contract")
        args.append(spec)
    ret = _metadata(_hint(function, "return"), RetSpec)
    if not isinstance(ret, RetSpec):
        raise InternalError(f"helper {function.__name__}: the result has no contract")
    return tuple(args), ret


def _hint(function: Callable[..., int], name: str) -> object:
    """Return the annotation of a parameter or of the result.

    It is nearly always one name of the function's module. `typing.get_type_hints` evaluates each one as an expression,
    for hundreds of helpers, at every start.
    """
    text = function.__annotations__.get(name)
    if not isinstance(text, str):
        return text
    names = function.__globals__
    return names[text] if text in names else eval(text, names, {"Any": Any})


def _metadata(hint: Any, kind: type) -> object:
    return next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, kind)), None)


def helper(**options: Unpack[HelperOptions]) -> Callable[[Callable[..., int]], Helper]:
    """Return a decorator that turns an annotated function into a `Helper` of the same name.

    In `name__variant`, the suffix is not part of the kernel's name: some types have a helper of the same name with
    another contract.

    Raises:
        InternalError: at import, if a parameter or the result has no contract, or the options contradict it.
    """

    def wrap(function: Callable[..., int]) -> Helper:
        args, ret = _specs(function)
        options_known(f"helper {function.__name__}", options, HelperOptions)
        doc = (function.__doc__ or "").strip()
        return Helper(function.__name__.split("__")[0], args, ret, function, doc, **options)

    return wrap


def contract_only(name: str, *args: object, ret: object, **options: Unpack[HelperOptions]) -> Helper:
    """Declare a helper of which only name and contract are known: the verifier checks calls, running one is a fault.

    Args:
        args, ret: aliases of `ebpfvm.contract.args`, or plain `ArgSpec` and `RetSpec`.

    Raises:
        InternalError: at import, if one of them is not a contract, or the options contradict them.
    """
    options_known(f"helper {name}", options, HelperOptions)
    specs = tuple(arg if isinstance(arg, ArgSpec) else _metadata(arg, ArgSpec) for arg in args)
    result = ret if isinstance(ret, RetSpec) else _metadata(ret, RetSpec)
    if not isinstance(result, RetSpec) or len(specs) > 5:
        raise InternalError(f"helper {name}: bad contract")
    kinds = tuple(spec for spec in specs if isinstance(spec, ArgSpec))
    if len(kinds) != len(specs):
        raise InternalError(f"helper {name}: an argument has no contract")
    return Helper(name, kinds, result, None, **options)
