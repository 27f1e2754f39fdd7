"""How a translated program is entered: a function of one context, made once for each translation.

Entry and exit are paid for each packet, so such a function keeps what it needs in variables of its own, and does not do
what its program cannot need: only code that passes its environment on can be called back or run inside itself, and only
code with loops has a budget.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.call_env import CallEnv
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import Context, LoadedProgram

_ENDLESS: Final = repeat(None)


class Entered(Protocol):
    """What `TranslatedRun` does for the function that enters its program; see there."""

    prog: LoadedProgram
    budget: int
    ticks: Iterator[None] | None

    @property
    def env(self) -> CallEnv: ...

    def serves(self, region: Region) -> bool: ...

    def enter_slowly(self, ctx: Context) -> int: ...

    def leave(self, held: int, result: int) -> None: ...

    def ended(self, error: BaseException, ctx: Context, held: int, depth: int) -> int: ...


def with_environment(run: Entered, main: Callable[..., int], counts: bool,
                     extra: int) -> Callable[[Context], int]:
    """Return the function that runs `main`, whose helpers may call it back or run the program again.

    Args:
        counts: whether it has loops, or functions that helpers may call repeatedly.
        extra: frames to count when the program itself does not use one.
    """
    env, kernel, budget = run.env, run.prog.kernel, run.budget
    stack, refs, memory = kernel.stack, kernel.refs, kernel.memory
    latest: Region | None = None

    def call(ctx: Context) -> int:
        nonlocal latest
        region = ctx.region
        if region is not latest:
            if not run.serves(region):
                return run.enter_slowly(ctx)
            latest = region
        if run.ticks is not None:  # it is running already, and calls itself through a helper
            return run.enter_slowly(ctx)
        depth, held = stack.depth, refs.held
        env.ctx = ctx
        run.ticks = ticks = repeat(None, budget) if counts else _ENDLESS
        stack.depth = depth + extra
        try:
            result = main(ticks, region)
            if refs.held > held:
                run.leave(held, result)
        except BaseException as error:
            result = run.ended(error, ctx, held, depth)
        stack.depth = depth
        run.ticks = env.ctx = None
        if (memory.retired_bytes or memory.retired) and not depth:
            memory.quiesce()
        return result
    return call


def alone(run: Entered, main: Callable[..., int], counts: bool, extra: int) -> Callable[[Context], int]:
    """Return the function that runs `main` as `with_environment` does, for code that never names its environment."""
    kernel, budget = run.prog.kernel, run.budget
    stack, refs, memory = kernel.stack, kernel.refs, kernel.memory
    latest: Region | None = None

    def call(ctx: Context) -> int:
        nonlocal latest
        region = ctx.region
        if region is not latest:
            if not run.serves(region):
                return run.enter_slowly(ctx)
            latest = region
        depth, held = stack.depth, refs.held
        stack.depth = depth + extra
        try:
            result = main(repeat(None, budget) if counts else _ENDLESS, region)
            if refs.held > held:
                run.leave(held, result)
        except BaseException as error:
            result = run.ended(error, ctx, held, depth)
        stack.depth = depth
        if (memory.retired_bytes or memory.retired) and not depth:
            memory.quiesce()
        return result
    return call


def alone_without_frames(run: Entered, main: Callable[..., int]) -> Callable[[Context], int]:
    """Return the function that runs `main` as `alone` does, for code that uses neither frames nor a budget."""
    kernel = run.prog.kernel
    stack, refs, memory = kernel.stack, kernel.refs, kernel.memory
    latest: Region | None = None

    def call(ctx: Context) -> int:
        nonlocal latest
        region = ctx.region
        if region is not latest:
            if not run.serves(region):
                return run.enter_slowly(ctx)
            latest = region
        held = refs.held
        try:
            result = main(_ENDLESS, region)
            if refs.held > held:
                run.leave(held, result)
        except BaseException as error:
            result = run.ended(error, ctx, held, stack.depth)
        if (memory.retired_bytes or memory.retired) and not stack.depth:
            memory.quiesce()
        return result
    return call
