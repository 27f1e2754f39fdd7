"""Campaigns that can be stopped and continued: cases by number, each held to a target; what differs is made small.

A target is what a case is held to: the laws of ebpfvm's own verifier and engines, the agreement of both engines, the
running kernel's verdict, or that of a command. `ebpfvm fuzz` is the command line.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.dialects import linux
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import dataclass, field, replace
from ebpfvm.testing import campaign, case_files, generate, laws
from ebpfvm.testing.adapter_laws import Disagreement, no_fault, same_results, same_verdict
from ebpfvm.testing.adapters import CommandAdapter, KernelAdapter, OwnAdapter
from ebpfvm.testing.reducer import reduce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.contract import Dialect
    from ebpfvm.testing.adapters import Adapter
    from ebpfvm.testing.campaign import Case

SCHEMA: Final = "ebpfvm.fuzz/1"
TARGETS: Final = ("laws", "engines", "kernel", "command")
_OPS_EVERY: Final = 5  # each case whose number this divides is for a member of Qdisc_ops
_EDGES: Final = (1, 3)  # remainders of those that are at the edge of a rule
_KERNEL_TYPES: Final = ("sched_cls", "xdp", "socket_filter")
_SAVE_NS: Final = 2_000_000_000
_REDUCTION: Final = 1_500  # trials


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """What one case showed: the law and the kind of difference, who says what, and an answer for the statistics."""

    word: str
    law: str = ""
    answers: dict[str, str] = field(default_factory=dict)


class FuzzTarget:
    """What the cases are held to.

    Args:
        name: one of `TARGETS`.
        types: types of the programs (default: those of `generate.TYPES`, members of `Qdisc_ops`, and small programs at
            the edge of a rule).
        version: kernel version (default: all; with "kernel", the running one).
        command: for "command": words of a command, as `CommandAdapter` takes them.

    Raises:
        UsageError: there is no such target, or no kernel can be asked here.
    """

    def __init__(self, name: str, types: Sequence[str] = (), version: tuple[int, int] | None = None,
                 command: Sequence[str] = ()) -> None:
        if name not in TARGETS:
            raise UsageError(f"target {name!r}: expected one of {', '.join(TARGETS)}")
        self.name, self.types, self.version = name, tuple(types), version
        self.mixed = not types
        self.judge: Adapter | None = None
        if name == "kernel":
            from ebpfvm.testing.oracle import kernel_version
            self.judge = KernelAdapter(linux(kernel_version()))
            self.version = kernel_version()
            self.types = self.types or _KERNEL_TYPES
        elif name == "command":
            if not command:
                raise UsageError("the target 'command' needs a command that judges programs")
            self.judge = CommandAdapter(judge=command)
            self.types = self.types or _KERNEL_TYPES

    def close(self) -> None:
        """Free what the target holds."""
        if self.judge is not None:
            self.judge.close()

    def case(self, number: int) -> Case:
        """Return the case of a number."""
        if not self.types and not number % _OPS_EVERY and self.version in (None, linux().version):
            return campaign.ops_case(number)
        versions = (self.version,) if self.version is not None else campaign.VERSIONS
        if self.mixed and number % _OPS_EVERY in _EDGES:
            return campaign.edge_case(number, versions)
        return campaign.case(number, types=self.types or generate.TYPES, versions=versions)

    def hold(self, case: Case) -> CaseAnswer:
        """Check a case against the target; an exception that nothing announces is a finding too."""
        try:
            return CaseAnswer(self._word(case))
        except laws.LawBroken as broken:
            return CaseAnswer("different", broken.law, {"ebpfvm": broken.what})
        except Disagreement as difference:
            return CaseAnswer("different", f"{difference.law} {difference.kind}", difference.answers)
        except Exception as error:  # whatever it is, a user would see it
            return CaseAnswer("different", f"traceback {type(error).__name__}", {"ebpfvm": str(error)})

    def _word(self, case: Case) -> str:
        if self.name == "laws":
            verdict = laws.check(case.program, case.dialect, case.inputs)
            return "no verdict" if verdict is None else "accepted" if verdict.ok else "rejected"
        own = OwnAdapter(case.dialect)
        if self.judge is not None:
            ok = same_verdict(case.program, own, self.judge).ok
        else:
            ok = own.judge(case.program).ok
            if ok:
                no_fault(case.program, own, case.inputs)
                same_results(case.program, own, OwnAdapter(case.dialect, "translate"), case.inputs)
        return "no verdict" if ok is None else "accepted" if ok else "rejected"

    def reduced(self, case: Case, found: CaseAnswer) -> Case:
        """Return the case with the smallest program that shows the same."""
        def shows(dialect: Dialect) -> Callable[[Any], bool]:
            return lambda program: self.hold(replace(case, program=program, dialect=dialect)).law == found.law
        return replace(case, program=reduce(case.program, shows(case.dialect), _REDUCTION))


@dataclass(slots=True)
class CampaignState:
    """How far a campaign is; `save` and `load` keep it in a file.

    Attributes:
        options: what identifies the campaign: target, types, kernel and first number.
        next: number of the next case.
        counts: answer -> number of cases.
        findings: number, law, size before and after, and file of each difference.
    """

    options: dict[str, Any]
    next: int
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state; the file is never half written."""
        data = {"schema": SCHEMA, "options": self.options, "next": self.next, "counts": dict(self.counts),
                "findings": self.findings}
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path, options: dict[str, Any]) -> CampaignState:
        """Return the state of a file, or a new one if there is no file.

        Raises:
            LoadError: the file is not the state of a campaign.
            UsageError: it is that of a campaign with other options.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            state = cls(data["options"], int(data["next"]), Counter(data["counts"]), list(data["findings"]))
        except FileNotFoundError:
            return cls(options, options["seed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LoadError(f"is not the state of a campaign: {error}", path=str(path)) from error
        if state.options != options:
            raise UsageError(f"{path}: the state is that of a campaign with other options: {state.options}")
        return state


class Fuzzer:
    """One campaign.

    Args:
        target: what cases are held to.
        state: where it begins.
        folder: where findings are written; None to keep them in `texts`, by number.
    """

    def __init__(self, target: FuzzTarget, state: CampaignState, folder: Path | None = None) -> None:
        self.target, self.state, self.folder = target, state, folder
        self.stopped = False
        self.texts: dict[int, str] = {}

    def run(self, end: int, seconds: float | None = None, save: Path | None = None) -> None:
        """Check the cases up to number `end` (exclusive), for at most `seconds`, and keep the state."""
        until = time.monotonic() + seconds if seconds is not None else None
        saved = time.monotonic_ns()
        while self.state.next < end and not self.stopped and (until is None or time.monotonic() < until):
            self._one(self.state.next)
            self.state.next += 1
            if save is not None and time.monotonic_ns() - saved > _SAVE_NS:
                self.state.save(save)
                saved = time.monotonic_ns()
        if save is not None:
            self.state.save(save)

    def _one(self, number: int) -> None:
        case = self.target.case(number)
        found = self.target.hold(case)
        self.state.counts[found.word] += 1
        if not found.law:
            return
        small = self.target.reduced(case, found)
        again = self.target.hold(small)
        row = {"number": number, "law": found.law, "size": len(case.program.insns), "reduced": len(small.program.insns),
               "file": ""}
        text = case_files.text_of(small, f"case {number}, {found.law}", again.answers or found.answers)
        if self.folder is None:
            self.texts[number] = text
        else:
            row["file"] = str(self._written(self.folder, number, text))
        self.state.findings.append(row)

    def _written(self, folder: Path, number: int, text: str) -> Path:
        path = folder / f"{self.target.name}-{number}.s"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
        return path
