"""The translator: a verified program becomes one Python function per function of the program.

The way of a program: flow graph (`cfg`) -> what holds where (`facts`, over `domain`; `unit` knows what surrounds it)
-> which stack slots become variables (`frame`) -> lines for each instruction (`emit`, `access`, `calls`) without those
that nobody needs (`statements`) -> nested statements (`structure`) -> source (`source`).

Registers are variables, and a pointer whose origin is known is not computed at all: its load becomes an index into the
region's bytes, or an attribute of a packet. Where nothing is known, the checked access of the interpreter is used.
Only programs that the verifier accepted are translated: generated code does not check what the verifier has proved.
"""

from __future__ import annotations

import linecache
import os
import re
import struct
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.engine.common import DEFAULT_BUDGET
from ebpfvm.engine.place import locate
from ebpfvm.engine.run import Run
from ebpfvm.engine.translate.source import Source, generate
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.errors import Fault, InternalError, UsageError
from ebpfvm.kernel.ctx import Layout, ObjectRegion
from ebpfvm.kernel.state import MAX_CALL_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.engine import Context
    from ebpfvm.kernel.program import LoadedProgram

_STRUCTS: Final = {2: struct.Struct("<H"), 4: struct.Struct("<I"), 8: struct.Struct("<Q")}
_OUT_OF_BOUNDS: Final = (struct.error, IndexError, AttributeError, ValueError, TypeError)


class Translator:
    """The engine.

    Args:
        budget: rounds of loops that a run may make.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget

    def load(self, prog: LoadedProgram) -> TranslatedRun:
        """Prepare `prog` and set `prog.runnable`. It is translated when it is first run.

        Raises:
            UsageError: the verifier has not accepted it.
        """
        if not prog.verified:
            raise UsageError(f"program {prog.name} is not verified; only the interpreter runs such programs")
        run = TranslatedRun(prog, self.budget)
        prog.runnable = run
        return run


class TranslatedRun(Run):
    """A translated program.

    Attributes:
        source: the generated code of the latest translation, None before the first run.
    """

    def __init__(self, prog: LoadedProgram, budget: int) -> None:
        super().__init__(prog)
        self.budget = budget
        self.source: Source | None = None
        self._layout: Layout | None = None
        self._main: Callable[..., int] | None = None
        self._space: dict[str, Any] = {}
        self._ticks: Iterator[None] | None = None
        self._stack = prog.kernel.stack
        self._file = ""

    def translate(self, layout: Layout | None = None) -> Source:
        """Translate for contexts of `layout` (None: plain bytes) and return the source.

        Raises:
            InternalError: generated code that Python refuses.
        """
        self.source = source = generate(Unit(self.prog, layout))
        self._layout = layout
        self._file = _file_name(self.prog)
        self._space = space = {**source.names, **self._runtime()}
        try:
            exec(compile(source.code, self._file, "exec", dont_inherit=True), space)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise InternalError(f"program {self.prog.name}: Python refuses its translation: {error}",
                                {"source": source.code}) from error
        self._main = space["f0"]
        self._publish(source)
        return source

    def _runtime(self) -> dict[str, Any]:
        kernel = self.prog.kernel
        memory = kernel.memory
        structs: dict[str, Any] = {f"U{size}": s.unpack_from for size, s in _STRUCTS.items()}
        structs |= {f"P{size}": s.pack_into for size, s in _STRUCTS.items()}
        return {**structs, "GET": memory.regions.get, "LOAD": memory.load, "STORE": memory.store, "ENV": self.env,
                "READ": memory.read, "STACK": kernel.stack, "ENTER": kernel.stack.enter, "LEAVE": kernel.stack.leave,
                "OVER": self._over, "FAIL": _fail}

    def _over(self) -> Never:
        raise Fault("budget", f"the program used up its budget of {self.budget} instructions")

    def _publish(self, source: Source) -> None:
        """Let tracebacks and debuggers show the source, and dump it if asked to."""
        program = self.prog.program
        linecache.cache[self._file] = (lambda: source.annotated(program),)
        folder = os.environ.get("EBPFVM_DUMP")
        if folder:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            (path / f"{self._file.strip('<>').replace(' ', '-')}.py").write_text(source.annotated(program))

    def enter(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        """Run the function at slot `pc`."""
        env, stack = self.env, self._stack
        outer, depth, ticks = env.ctx, stack.depth, self._ticks
        env.ctx = ctx
        try:
            if ticks is None:
                ticks = self._ticks = repeat(None, self.budget)
                try:
                    return self._call(ctx, pc, args, ticks)
                finally:
                    self._ticks = None
            return self._call(ctx, pc, args, ticks)
        except Fault as fault:
            raise self._located(fault) from None
        except _OUT_OF_BOUNDS as error:
            raise self._unproved(error) from error
        finally:
            env.ctx = outer
            stack.depth = depth

    def _call(self, ctx: Context, pc: int, args: tuple[int, ...], ticks: Iterator[None]) -> int:
        if pc:
            if not self._space:
                self._prepare(ctx)
            for _ in ticks:
                break
            else:
                self._over()
            result: int = self._space[f"f{pc}"](ticks, *args)
            return result
        region = ctx.region
        layout = region.layout if isinstance(region, ObjectRegion) else None
        if self._main is None or layout is not self._layout:
            self._prepare(ctx)
            assert self._main is not None
        assert self.source is not None
        if not self.source.enters:
            self._stack.depth += 1
        return self._main(ticks, region)

    def _prepare(self, ctx: Context) -> None:
        region = getattr(ctx, "region", None)  # a timer's callback has no context
        layout = region.layout if isinstance(region, ObjectRegion) else None
        if self._main is None or _signature(layout) != _signature(self._layout):
            self.translate(layout)
        self._layout = layout

    def _slot(self, error: BaseException) -> int | None:
        """The instruction of the innermost generated line that `error` came through."""
        found, tb = None, error.__traceback__
        while tb is not None:
            if tb.tb_frame.f_code.co_filename == self._file and self.source is not None:
                found = self.source.slots[tb.tb_lineno - 1]
            tb = tb.tb_next
        return found

    def _located(self, fault: Fault) -> Fault:
        pc = self._slot(fault)
        return fault if pc is None else locate(fault, self.prog.program, pc)

    def _unproved(self, error: Exception) -> Exception:
        """An access went wrong that the verifier let pass; anything else is our bug and stays as it is."""
        tb = error.__traceback__
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        if tb is None or tb.tb_frame.f_code.co_filename != self._file:
            return error
        return self._located(Fault("memory", f"access out of bounds ({error})").with_traceback(error.__traceback__))


def _fail(args: tuple[str, str]) -> Never:
    raise Fault(*args)


def _signature(layout: Layout | None) -> object:
    return None if layout is None else (layout.name, tuple(layout.fields.values()))


def _file_name(prog: LoadedProgram) -> str:
    return f"<ebpfvm {re.sub(r'[^A-Za-z0-9_]', '_', prog.name)[:64]} {prog.id}>"


__all__ = ["MAX_CALL_FRAMES", "TranslatedRun", "Translator"]
