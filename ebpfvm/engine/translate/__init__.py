"""The translator: a verified program becomes one Python function per function of the program.

A program passes through these modules in turn: flow graph (`flow_graph`) -> facts about values in each function
(`function_facts`, over `ranges` and `unit`) and across functions (`program_facts`) -> which stack slots become
variables (`frame`) -> lines for each instruction (`emit`, `emit_memory` and `emit_calls`, over `code_writer`), without
unused ones (`statements`) -> nested statements (`structure`) -> source (`source`).

Registers are variables, and a pointer of known origin is not computed at all: a load through it becomes an index into
the region's bytes, or an attribute of a packet. If nothing is known, the interpreter's checked access is used. Only
programs that the verifier accepted are translated: generated code does not check what the verifier has proved.
"""

from __future__ import annotations

import linecache
import os
import re
import struct
from itertools import islice, repeat
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.engine.common import touch, used_up
from ebpfvm.engine.run import Run
from ebpfvm.engine.translate.errors_in_code import OUT_OF_BOUNDS, explained, innermost_line
from ebpfvm.engine.translate.program_entry import alone, alone_without_frames, with_environment
from ebpfvm.engine.translate.source import GeneratedSource, generate
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.errors import Fault, InternalError, UsageError
from ebpfvm.kernel.call_env import CallEnv
from ebpfvm.kernel.program import Thrown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.layouts import Layout
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import Context, LoadedProgram

_STRUCTS: Final = {2: struct.Struct("<H"), 4: struct.Struct("<I"), 8: struct.Struct("<Q")}
_CONSUMING: Final = ("in ticks:", "SLICE(ticks", "next(ticks", "ADD_")  # code that counts against the budget


class Translator:
    """The translating engine.

    Args:
        budget: number of loop iterations that a run may execute (default: the kernel's limit `run_instructions`).
    """

    checks: Final = False

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget

    def load(self, prog: LoadedProgram) -> TranslatedRun:
        """Prepare `prog` and set `prog.runnable`; it is translated when it first runs.

        Raises:
            UsageError: the verifier has not accepted it.
        """
        if not prog.verified:
            raise UsageError(f"program {prog.name} is not verified; only the interpreter runs such programs")
        touch(prog)
        run = TranslatedRun(prog, self.budget or prog.kernel.limits.run_instructions)
        prog.runnable = run
        return run


class TranslatedRun(Run):
    """A translated program.

    Attributes:
        source: the generated code of the latest translation, None before the first run.
        entry: what `__call__` does, without a call in between; each translation sets another.
        ticks: remaining budget of the current call, None while it does not run.
        functions, callbacks: its functions except the program itself, by entry slot; the same for calls by helpers.
    """

    def __init__(self, prog: LoadedProgram, budget: int) -> None:
        super().__init__(prog)
        self.budget = budget
        self.source: GeneratedSource | None = None
        self.entry: Callable[[Context], int] = self.enter_slowly
        self._layout: Layout | None = None
        self._main: Callable[..., int] | None = None
        self.functions: dict[int, Callable[..., int]] = {}
        self.callbacks: dict[int, Callable[..., int]] = {}
        self.ticks: Iterator[None] | None = None
        self._stack = prog.kernel.stack
        self._refs = prog.kernel.refs
        self._tails = False  # whether it makes tail calls
        self._file = ""
        self._extra = 0  # frames to count when the program itself does not use one
        self.env: TranslatedEnv = TranslatedEnv(self)

    def translate(self, layout: Layout | None = None) -> GeneratedSource:
        """Translate for contexts of `layout` (None: plain bytes) and return the source.

        Raises:
            InternalError: generated code that Python refuses.
        """
        unit = Unit(self.prog, layout)
        self.source = source = generate(unit).without_budget(self.budget)
        for template in unit.templates:
            template.told.append(self.forget)
        self._layout = layout
        self._file = _file_name(self.prog)
        space = {**source.names, **self.runtime()}
        try:
            exec(compile(source.code, self._file, "exec", dont_inherit=True), space)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise InternalError(f"program {self.prog.name}: Python refuses its translation: {error}",
                                {"source": source.code}) from error
        self._main = space["f0"]
        self._extra = 0 if source.enters else 1
        self._tails = "TAIL" in source.names
        self.entry = self._entry(source, space["f0"])
        self.functions = {entry: space[f"f{entry}"] for entry in source.entries if entry}
        self.callbacks = {entry: _callback(self, function, source.objects[entry])
                          for entry, function in self.functions.items()}
        self._publish(source)
        return source

    def _entry(self, source: GeneratedSource, main: Callable[..., int]) -> Callable[[Context], int]:
        """Return the function that runs `main`, with no more around it than the code needs."""
        counts = len(source.entries) > 1 or any(text in source.code for text in _CONSUMING)
        if "ENV" in source.code or self.prog.catches:
            return with_environment(self, main, counts, self._extra)
        if counts or source.enters or "STACK" in source.code:
            return alone(self, main, counts, self._extra)
        return alone_without_frames(self, main)

    def forget(self) -> None:
        """Translate again before the next run, because what the code assumes of maps has ceased to be so."""
        self._main, self.entry = None, self.enter_slowly

    def runtime(self) -> dict[str, Any]:
        """Return the objects that all generated code may refer to, by name."""
        kernel = self.prog.kernel
        memory = kernel.memory
        structs: dict[str, Any] = {f"U{size}": s.unpack_from for size, s in _STRUCTS.items()}
        structs |= {f"B{size}": struct.Struct(code).unpack_from for size, code in ((2, ">H"), (4, ">I"), (8, ">Q"))}
        structs |= {f"P{size}": s.pack_into for size, s in _STRUCTS.items()}
        return {**structs, "GET": memory.regions.get, "LOAD": memory.load, "LOAD_PROBE": memory.probe,
                "STORE": memory.store, "ENV": self.env,
                "READ": memory.read, "STACK": kernel.stack, "ENTER": kernel.stack.enter,
                "OVER": self.over, "FAIL": _fail, "HINT": length_hint, "SLICE": islice}

    def over(self) -> Never:
        """Raise the error that the budget is used up."""
        raise used_up(self.budget)

    def _publish(self, source: GeneratedSource) -> None:
        """Make the source available to tracebacks and debuggers, and dump it if requested."""
        linecache.cache[self._file] = (lambda: source.annotated(self.prog),)
        folder = os.environ.get("EBPFVM_DUMP")
        if folder:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            (path / f"{self._file.strip('[]').replace(' ', '-')}.py").write_text(source.annotated(self.prog))

    def __call__(self, ctx: Context) -> int:
        """Run the program and return r0 as unsigned 64 bits.

        Raises:
            Fault: with the place; a reference that is still held at the end is a "leak".
        """
        enter = self.entry  # CPython calls a local variable faster than an attribute
        return enter(ctx)

    def enter_slowly(self, ctx: Context) -> int:
        """Run the program as `Run` does: when there is no code yet, and for tail calls and calls of itself."""
        return super().__call__(ctx)

    def serves(self, region: Region) -> bool:
        """Return whether `entry` may run the program on this context: the code is for it, and makes no tail calls."""
        return not self._tails and getattr(region, "layout", None) is self._layout

    def ended(self, error: BaseException, ctx: Context, held: int, depth: int) -> int:
        """Return the result of a program that has thrown; clean up after any other error, and raise it with its place.

        Args:
            held, depth: references and frames in use when the program began.
        """
        stack = self._stack
        stack.depth = depth
        try:
            if isinstance(error, Thrown):
                return self._after(error, ctx, held)
            if isinstance(error, (Fault, RecursionError, *OUT_OF_BOUNDS)):
                self._refs.abandon(held, self.prog.name)
                raise self._explained(error) from error
            raise error
        finally:
            stack.depth = depth
            self.ticks = self.env.ctx = None

    def _after(self, thrown: Thrown, ctx: Context, held: int) -> int:
        """Return the result of a program that has thrown, as `Run` does."""
        refs = self._refs
        try:
            result = self.caught(thrown, ctx)
            if refs.held > held:
                refs.program_exit(held, self.prog.name)
        except (Fault, RecursionError, *OUT_OF_BOUNDS) as error:
            refs.abandon(held, self.prog.name)
            raise self._explained(error) from error
        return result

    def enter(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        """Run the function at slot `pc`."""
        env, stack = self.env, self._stack
        outer, depth, ticks = env.ctx, stack.depth, self.ticks
        env.ctx = ctx
        if ticks is None:
            self.ticks = repeat(None, self.budget)
        try:
            return self._call(ctx, pc, args)
        except (Fault, *OUT_OF_BOUNDS) as error:
            raise self._explained(error) from error
        finally:
            self.ticks = ticks
            env.ctx = outer
            stack.depth = depth

    def _call(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        if self._main is None or (not pc and _layout_of(ctx) is not self._layout):
            self._prepare(ctx)
        assert self._main is not None and self.ticks is not None
        if pc:
            if pc not in self.functions:
                raise Fault("call", f"callback to slot {pc}, where no function begins")
            return self.env.call(self.env.base + pc, *args)
        depth = self._stack.depth
        self._stack.depth = depth + self._extra
        try:
            return self._main(self.ticks, ctx.region)
        except Thrown as thrown:
            self._stack.depth = depth
            return self.caught(thrown, ctx)

    def _prepare(self, ctx: Context) -> None:
        """Translate for the context's layout, unless code for a layout with the same fields exists."""
        layout = _layout_of(ctx)
        if self._main is None or _signature(layout) != _signature(self._layout):
            self.translate(layout)
        self._layout = layout

    def _explained(self, error: Exception) -> Exception:
        """Return `error` with its place if it comes from generated code."""
        line = innermost_line(error, self._file)
        slot = self.source.slots[line - 1] if line is not None and self.source is not None else None
        return explained(error, self.prog, slot, self._file)


class TranslatedEnv(CallEnv):
    """The environment of a translated program: callbacks into it take a shortcut."""

    __slots__ = ("base", "run")

    def __init__(self, run: TranslatedRun) -> None:
        super().__init__(run.prog)
        self.run = run
        self.base = run.prog.func_base

    def function(self, func_ptr: int) -> Callable[..., int]:
        """Return the function at `func_ptr`, as `CallEnv.function` does."""
        run = self.run
        found = run.callbacks.get(func_ptr - self.base) if run.ticks is not None else None
        return found if found is not None else super().function(func_ptr)


def _callback(run: TranslatedRun, function: Callable[..., int], objects: tuple[int, ...]) -> Callable[..., int]:
    """Return `function` as helpers call it: it consumes budget, and releases the references that it acquires.

    Helpers pass addresses, also for the arguments that are `objects`.
    """
    refs, memory = run.env.refs, run.env.memory

    def call(a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> int:
        ticks = run.ticks
        assert ticks is not None  # helpers ask for it during a run, and call it before they return
        for _ in ticks:
            break
        else:
            run.over()
        held = refs.held
        if objects:
            given: list[Any] = [a, b, c, d, e]
            for n in objects:
                given[n - 1] = memory.region(given[n - 1]).owner if given[n - 1] else None
            result = function(ticks, *given)
        else:
            result = function(ticks, a, b, c, d, e)
        if refs.held > held:
            refs.program_exit(held, run.prog.name)
        return result
    return call


def _layout_of(ctx: Context | None) -> Layout | None:
    """Return the layout of a context, None for plain bytes; a timer's callback has no context at all."""
    layout: Layout | None = getattr(getattr(ctx, "region", None), "layout", None)
    return layout


def _fail(args: tuple[str, str]) -> Never:
    raise Fault(*args)


def _signature(layout: Layout | None) -> object:
    return None if layout is None else (layout.name, tuple(layout.fields.values()))


def _file_name(prog: LoadedProgram) -> str:
    # No angle brackets: linecache only loads lines on demand if the name could be a file's.
    return f"[ebpfvm {re.sub(r'[^A-Za-z0-9_]', '_', prog.name)[:64]} {prog.id}]"


__all__ = ["TranslatedRun", "Translator"]
