"""Verifiers and engines under test, behind three methods: ebpfvm's own, the running kernel's, and any command.

A class of your own derives from `Adapter` and overrides what it has. The laws of `ebpfvm.testing.adapter_laws` take any
of them, and so does `ebpfvm.testing.fuzzing`.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import EbpfvmError, LoadError, UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.isa.insn import encode
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.loaded import open_engine
from ebpfvm.net import ETH_HLEN
from ebpfvm.testing.inside import Recorder, TooManyStates
from ebpfvm.testing.laws import BUDGET, LIMIT
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract import Dialect
    from ebpfvm.loader.object import Program
    from ebpfvm.testing.oracle import Oracle
    from ebpfvm.testing.runs import Given

_OWN_BUG: Final = "verifier bug"  # in a kernel's log
_SECONDS: Final = 30
# They see a packet from its network header on; a kernel returns zeros for the Ethernet header.
_WITHOUT_HEADER: Final = ("socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit")


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict.

    Attributes:
        ok: whether the program is accepted; None if there is no verdict, and `message` says why.
        message: why it is rejected.
    """

    ok: bool | None
    message: str = ""

    def __str__(self) -> str:
        return ("accepted" if self.ok else "no verdict" if self.ok is None else "rejected") + (
            f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run did. What an engine cannot tell is None, and is not compared.

    Attributes:
        result: the low half of r0.
        data: the packet afterwards.
        maps: the values in the program's maps afterwards, by index.
        fault: what went wrong, "" for nothing; the rest is then not compared.
    """

    result: int | None = None
    data: bytes | None = None
    maps: tuple[tuple[bytes, ...], ...] | None = None
    fault: str = ""


class Adapter:
    """A verifier, an engine, or both. Each method has a default, for what an implementation lacks.

    Attributes:
        name: for messages.
    """

    name = "adapter"

    def judge(self, program: Program) -> Opinion:
        """Return the verdict on a program."""
        return Opinion(None, f"{self.name} has no verifier")

    def run(self, program: Program, inputs: Sequence[Given]) -> list[Observed]:
        """Run an accepted program on inputs, one after the other with the same maps; fewer results end the runs."""
        return []

    def close(self) -> None:
        """Free what the adapter holds."""

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OwnAdapter(Adapter):
    """ebpfvm's verifier, and one of its engines.

    Args:
        dialect: the kernel.
        engine: "interp" or "translate".
        limit: steps of the walk after which there is no verdict; 0 for none.
    """

    def __init__(self, dialect: Dialect, engine: str = "interp", limit: int = LIMIT) -> None:
        self.dialect, self.engine, self.limit = dialect, engine, limit
        self.name = f"ebpfvm {dialect.name} {'.'.join(map(str, dialect.version))} {engine}"

    def judge(self, program: Program) -> Opinion:
        """Return the verdict of ebpfvm."""
        try:
            verdict = verify(program, self.dialect, log_level=0, observe=Recorder(self.limit, keep=False))
        except (TooManyStates, LoadError, UsageError) as error:
            return Opinion(None, str(error))
        if "not supported by ebpfvm" in verdict.message:
            return Opinion(None, verdict.message)
        return Opinion(verdict.ok, verdict.message)

    def run(self, program: Program, inputs: Sequence[Given]) -> list[Observed]:
        """Run the program; a run that exceeds its budget, or needs what is not modelled, ends the runs."""
        from ebpfvm.testing.laws import allowed
        from ebpfvm.testing.ops_runs import machine
        engine: Any = open_engine(self.engine)
        engine.budget = BUDGET
        try:
            runner = machine(program, self.dialect, engine)
        except (LoadError, UsageError):
            return []  # it calls what is only judged, or it is of a type without test runs
        found = []
        for given in inputs:
            outcome = runner(given)
            if outcome.fault and allowed(outcome):
                break
            result = outcome.result if isinstance(outcome.result, int) else None
            result = result & U32_MAX if result is not None else None
            found.append(Observed(result, outcome.data, outcome.maps, outcome.fault))
            if outcome.fault:
                break
        return found


class KernelAdapter(Adapter):
    """The running kernel, through bpf(2); nothing is attached or pinned.

    Raises:
        UsageError: no kernel can be asked here.
    """

    def __init__(self, dialect: Dialect | None = None) -> None:
        from ebpfvm.dialects import linux
        from ebpfvm.testing.oracle import Oracle, kernel_version, why_not
        why = why_not()
        if why:
            raise UsageError(why)
        self.oracle: Oracle = Oracle(dialect or linux(kernel_version()))
        self.name = "Linux " + ".".join(map(str, kernel_version()))

    def judge(self, program: Program) -> Opinion:
        """Return the kernel's verdict; none if its log reports a bug of its own."""
        try:
            judged = self.oracle.judge(program)
        except UsageError as error:
            return Opinion(None, str(error))
        if _OWN_BUG in judged.log:
            return Opinion(None, next(line for line in judged.lines if _OWN_BUG in line))
        return Opinion(judged.ok, "" if judged.ok else (judged.lines or [f"errno {judged.errno}"])[-1])

    def run(self, program: Program, inputs: Sequence[Given]) -> list[Observed]:
        """Run the program with BPF_PROG_TEST_RUN on the packets of the inputs; fields and maps are left alone."""
        from ebpfvm.testing.kernel_runs import runs_in_kernel
        hidden = ETH_HLEN if program.type in _WITHOUT_HEADER else 0
        return [Observed(retval, data[hidden:]) for retval, data in runs_in_kernel(
            self.oracle, program, [given.data for given in inputs])]

    def close(self) -> None:
        """Close maps and BTF."""
        self.oracle.close()


class CommandAdapter(Adapter):
    """A verifier and an engine that are commands.

    The words `{program}`, `{type}` and `{data}` in a command stand for a file with the program's instructions, the name
    of its type, and a file with the packet.

    Args:
        judge: its exit status is 0 if the program is accepted, and 1 if it is rejected; the last line that it prints is
            the message. Any other status is no verdict.
        run: prints r0, as a decimal or hexadecimal number, in its last line; another status than 0 is a fault.
    """

    def __init__(self, judge: Sequence[str] = (), run: Sequence[str] = ()) -> None:
        self._judge, self._run = tuple(judge), tuple(run)
        self.name = (self._judge or self._run or ("no command",))[0]
        self._folder = tempfile.TemporaryDirectory(prefix="ebpfvm-")

    def judge(self, program: Program) -> Opinion:
        """Return the verdict of the command."""
        if not self._judge:
            return super().judge(program)
        status, last = self._call(self._judge, program, b"")
        return Opinion({0: True, 1: False}.get(status), "" if status == 0 else last)

    def run(self, program: Program, inputs: Sequence[Given]) -> list[Observed]:
        """Run the command once for each input."""
        found = []
        for given in inputs if self._run else ():
            status, last = self._call(self._run, program, given.data)
            try:
                found.append(Observed(int(last, 0)) if status == 0 else Observed(fault=last or f"exit status {status}"))
            except ValueError:
                raise AdapterError(f"{self.name}: expected a number in the last line, found {last!r}") from None
        return found

    def _call(self, command: Sequence[str], program: Program, data: bytes) -> tuple[int, str]:
        folder = Path(self._folder.name)
        (folder / "program").write_bytes(encode(program.insns))
        (folder / "data").write_bytes(data)
        words = {"{program}": str(folder / "program"), "{data}": str(folder / "data"), "{type}": str(program.type)}
        try:
            done = subprocess.run([words.get(word, word) for word in command], capture_output=True, text=True,
                                  errors="replace", timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AdapterError(f"{self.name}: {error}") from error
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
        return done.returncode, lines[-1] if lines else ""

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


class AdapterError(EbpfvmError):
    """An adapter's command cannot be run, or prints something else than was agreed."""
