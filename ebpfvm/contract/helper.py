"""Declare helpers: the signature is the contract, the body is the run time, the docstring is the documentation."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ebpfvm.contract.args import ArgSpec, RetSpec
from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper function of a kernel; which number it has and who may call it is a dialect's matter.

    Attributes:
        name: kernel name, "bpf_map_lookup_elem".
        args: contract of R1..R5, only as many as it takes.
        ret: what R0 holds afterwards.
        body: called as `body(env, *converted_args)`; None when only the name and contract are known (calling it at
            run time is a fault "not supported by ebpfvm").
        gpl_only: needs a GPL-compatible program.
        changes_packet: packet pointers become invalid (bpf_helper_changes_pkt_data).
        might_sleep: only for sleepable programs.
        fastcall: clobbers R0 only (KF_FASTCALL / allow_fastcall).
        pkt_access: a packet pointer may stand for a memory argument (pkt_access), where the program type allows it.
        cap: "bpf" or "perfmon" where the kernel's base set offers it only with that capability.
        doc: first lines of documentation.
        barred: the kernel lists it for a program type and then bars the call: "probe"; "" otherwise.
        needs_function: works only where a program knows which function it was called for (check_get_func_ip).
        context_to: register of the callback that gets the context argument (`Arg.PTR_TO_STACK`) of a helper that runs
            a callback before it returns; 0: it runs none.
        modelled: the verifier has the kernel's special cases of it; without them a call is refused as unsupported.
        in_engine: the engines themselves carry it out, so it needs no body.
    """

    name: str
    args: tuple[ArgSpec, ...]
    ret: RetSpec
    body: Callable[..., int] | None
    gpl_only: bool = False
    changes_packet: bool = False
    might_sleep: bool = False
    fastcall: bool = False
    doc: str = ""
    pkt_access: bool = False
    cap: Literal["", "bpf", "perfmon"] = ""
    barred: Literal["", "probe"] = ""
    needs_function: bool = False
    context_to: int = 0
    modelled: bool = True
    in_engine: bool = False


def _specs(function: Callable[..., int]) -> tuple[tuple[ArgSpec, ...], RetSpec]:
    """Return the contract that the annotations state; the first parameter is the environment and has none."""
    hints = typing.get_type_hints(function, include_extras=True, localns={"Any": Any, "CallEnv": Any})
    code = function.__code__
    args = []
    for name in code.co_varnames[1:code.co_argcount]:
        spec = _metadata(hints.get(name), ArgSpec)
        if not isinstance(spec, ArgSpec):
            raise InternalError(f"helper {function.__name__}: parameter {name!r} has no contract")
        args.append(spec)
    ret = _metadata(hints.get("return"), RetSpec)
    if not isinstance(ret, RetSpec):
        raise InternalError(f"helper {function.__name__}: the result has no contract")
    return tuple(args), ret


def _metadata(hint: Any, kind: type) -> object:
    return next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, kind)), None)


def helper(*, gpl_only: bool = False, changes_packet: bool = False, might_sleep: bool = False,
           fastcall: bool = False, pkt_access: bool = False,
           cap: Literal["", "bpf", "perfmon"] = "", context_to: int = 0) -> Callable[[Callable[..., int]], Helper]:
    """Decorator: turn an annotated function into a `Helper` of the same name.

    A trailing underscore and what follows it in `name__variant` is not part of the kernel's name: some types have a
    helper of the same name with another contract.

    Raises:
        InternalError: at import, when a parameter or the result has no contract.
    """

    def wrap(function: Callable[..., int]) -> Helper:
        args, ret = _specs(function)
        return Helper(function.__name__.split("__")[0], args, ret, function, gpl_only, changes_packet, might_sleep,
                      fastcall, (function.__doc__ or "").strip(), pkt_access, cap, context_to=context_to)

    return wrap


def contract_only(name: str, *args: object, ret: object, gpl_only: bool = False, changes_packet: bool = False,
                  might_sleep: bool = False, pkt_access: bool = False,
                  cap: Literal["", "bpf", "perfmon"] = "", context_to: int = 0, modelled: bool = True,
                  in_engine: bool = False) -> Helper:
    """A helper of which only name and contract are known: the verifier judges calls, running one is a fault.

    Args:
        args, ret: aliases of `ebpfvm.contract.args`, or plain `ArgSpec` and `RetSpec`.

    Raises:
        InternalError: at import, when one of them is no contract.
    """
    specs = tuple(arg if isinstance(arg, ArgSpec) else _metadata(arg, ArgSpec) for arg in args)
    result = ret if isinstance(ret, RetSpec) else _metadata(ret, RetSpec)
    if not isinstance(result, RetSpec) or len(specs) > 5:
        raise InternalError(f"helper {name}: bad contract")
    kinds = tuple(spec for spec in specs if isinstance(spec, ArgSpec))
    if len(kinds) != len(specs):
        raise InternalError(f"helper {name}: an argument has no contract")
    return Helper(name, kinds, result, None, gpl_only, changes_packet, might_sleep, False, "", pkt_access, cap,
                  context_to=context_to, modelled=modelled, in_engine=in_engine)
