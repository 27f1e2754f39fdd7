"""Run the tests that an object carries in its declaration tags: which programs are rejected, and with which messages.

Each program is loaded by itself, with its subprograms and with those that are tagged as auxiliary. Its verdict, the
texts of the log and the result of a test run are compared with what its tags say (`ebpfvm.testing.decl_tags`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ebpfvm.btf.types import Kind
from ebpfvm.errors import Fault, LimitError, LoadError, Rejected, UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.judging import dialect_of, kernel_of
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loader.open import load
from ebpfvm.testing.decl_tags import POINTER_VALUE, Expectation, expectation
from ebpfvm.testing.log_patterns import missing
from ebpfvm.verifier import Caps, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.object import Object, Program
    from ebpfvm.testing.decl_tags import Wanted
    from ebpfvm.verifier import Verdict

INCLUDE: Final = Path(__file__).parent / "include"
"""Folder of `bpf_expect.h`."""
ARCH: Final = "X86_64"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_NOT_SUPPORTED: Final = "not supported by ebpfvm"
_REJECTED: Final = "expected to be accepted"
SHOWN: Final = 12
"""Lines of a log in a message."""
_UNPRIV_TYPES: Final = "unpriv"  # `ProgType.caps` of the types that a process without capabilities may load


@dataclass(frozen=True, slots=True)
class TaggedResult:
    """The result of one test.

    Attributes:
        name: the description of the program, or its name; ends in " @unpriv" for a load without privileges.
        program: name of the program.
        status: "passed", "failed" or "skipped".
        reason: what differs, or why the test was skipped; "" if it passed.
        verdict: the verdict, None if there is none.
        line: line of the C source where the program begins, 0 if unknown.
    """

    name: str
    program: str
    status: str
    reason: str = ""
    verdict: Verdict | None = None
    line: int = 0

    def shown(self, most: int | None = SHOWN) -> str:
        """Return the reason and, of a failed test, why the verifier rejects the program, or the end of its log.

        Args:
            most: number of lines of the log, None for all.
        """
        lines = [f"{self.name}: {self.reason}"]
        if self.verdict is not None and self.status == FAILED:
            if self.reason.startswith(_REJECTED):
                from ebpfvm.rejections import rejection
                lines += rejection(self.verdict).splitlines()
            else:
                log = self.verdict.log.splitlines()[-(most or 0):]
                lines += ["the verifier's log" + (", its end:" if most else ":"), *log]
        return "\n    ".join(lines)


@dataclass(frozen=True, slots=True)
class TaggedTest:
    """One test of an object; `TaggedObject.run` runs it."""

    name: str
    program: str
    wanted: Wanted
    unprivileged: bool
    line: int = 0


class _Skip(Exception):
    """The test cannot be run here; the text says why."""


class _Differs(Exception):
    """The test fails; the text says why."""


class TaggedObject:
    """An object whose programs say in declaration tags what is expected of them.

    Args:
        source: the object, or its path.
        kernel, btf: kernel version and types, as for `ebpfvm.verify`.
        engine: engine of the test runs, "interp" or "translate".
        limits: limits on verification and runs.

    Attributes:
        tagged: whether any program has a tag.
        tests: the tests, in the order of the programs.

    Raises:
        LoadError: the object cannot be read.
    """

    def __init__(self, source: Object | str | Path, *, kernel: str | None = None, btf: Btf | None = None,
                 engine: str = "interp", limits: Limits = DEFAULTS) -> None:
        self.object = load(source) if isinstance(source, str | Path) else source
        self._kernel, self._btf = kernel_of(self.object, kernel), btf
        self._engine, self._limits = engine, limits
        names = [*self.object.programs, *self.object.broken]
        self.expected = {name: expectation(_tags(self.object.btf, name)) for name in names}
        self.tagged = any(said.tagged for said in self.expected.values())
        self.tests = list(self._tests())

    def _tests(self) -> Iterator[TaggedTest]:
        for program, said in self.expected.items():
            if said.auxiliary:
                continue
            name, line = said.description or program, _first_line(self.object.programs.get(program))
            for wanted, suffix in ((said.privileged, ""), (said.unprivileged, " @unpriv")):
                if wanted is not None:
                    yield TaggedTest(name + suffix, program, wanted, bool(suffix), line)

    def run(self, test: TaggedTest) -> TaggedResult:
        """Run one test and return its result."""
        trial = _Trial(self, test, self.expected[test.program])
        try:
            trial.run()
            status, reason = PASSED, ""
        except _Skip as skip:
            status, reason = SKIPPED, str(skip)
        except (_Differs, LimitError) as problem:
            status, reason = FAILED, str(problem)
        return TaggedResult(test.name, test.program, status, reason, trial.verdict, test.line)

    def judge(self, program: Program, said: Expectation, caps: Caps) -> Verdict:
        """Return the verdict on one program, loaded with the flags and the log level of its tags."""
        btf: Btf | str | None = self._btf
        if said.btf_path:
            btf = str(Path(self.object.path).parent / said.btf_path)
        dialect = dialect_of(program, self._kernel, btf)
        changed = replace(program, flags=(program.flags | said.flags) & ~said.cleared)
        return verify(changed, dialect, log_level=said.log_level & 7 or 1, caps=caps, limits=self._limits)

    def result_of(self, program: Program) -> int:
        """Return the result of a test run of a verified program, on a packet of 64 zero bytes."""
        from ebpfvm.testrun import Session
        session = Session(program, engine=self._engine, source=self.object, limits=self._limits)
        return session.run().retval


class _Trial:
    """One test that is being run."""

    def __init__(self, home: TaggedObject, test: TaggedTest, said: Expectation) -> None:
        self.home, self.test, self.said, self.wanted = home, test, said, test.wanted
        self.verdict: Verdict | None = None

    def run(self) -> None:
        """Compare load, log and test run with what is expected.

        Raises:
            _Differs: something differs.
            _Skip: the test cannot be run, or not all of it.
        """
        said = self.said
        if said.problems:
            raise _Differs("; ".join(said.problems))
        if said.archs and ARCH not in said.archs:
            raise _Skip(f"for {', '.join(sorted(said.archs))}, and ebpfvm emulates {ARCH}")
        if said.load_modes == {"no_jited"}:
            raise _Skip("for kernels without a JIT compiler")
        log = self._load(self._caps())
        try:
            problem = missing(log, self.wanted.messages)
        except UsageError as error:
            problem = str(error)
        if problem:
            raise _Differs(problem)
        if not self.wanted.failure and self.wanted.retval is not None:
            self._compare_result(self.wanted.retval)
        left = [what for what, texts in (("rewritten instructions", self.wanted.xlated),
                                         ("machine code", self.wanted.jited),
                                         ("streams", self.wanted.stderr + self.wanted.stdout)) if texts]
        if left:
            raise _Skip(f"all else is as expected, but {' and '.join(left)}: comparing them is {_NOT_SUPPORTED}")

    def _caps(self) -> Caps:
        """Return the capabilities of the load.

        Raises:
            _Skip: what such a process may do is not modelled.
        """
        if not self.test.unprivileged or "CAP_SYS_ADMIN" in self.said.caps:
            return Caps()
        kept = self.said.caps
        caps = Caps("CAP_BPF" in kept, "CAP_PERFMON" in kept, "CAP_NET_ADMIN" in kept)
        program = self.home.object.programs.get(self.test.program)
        kind = dialect_of(program).prog_type(program.type) if program is not None and program.type != "" else None
        lacks = kind is not None and ((_UNPRIV_TYPES not in kind.caps and not caps.bpf)
                                      or ("net_admin" in kind.caps and not caps.net_admin)
                                      or ("perfmon" in kind.caps and not caps.perfmon))
        if not lacks and not (caps.bpf and caps.perfmon):
            raise _Skip(f"the rules for processes without CAP_BPF and CAP_PERFMON are {_NOT_SUPPORTED}")
        return caps

    def _load(self, caps: Caps) -> str:
        """Load the program and those that it needs, compare the outcome, and return the log."""
        rejected, log = self._outcome(self.test.program, self.said, caps)
        mode = "unpriv" if self.test.unprivileged else "priv"
        if not rejected:
            for name, said in self.home.expected.items():
                if mode in said.auxiliary and not rejected:
                    rejected, more = self._outcome(name, said, caps)
                    log, rejected = log + more, f"auxiliary program {name}: {rejected}" if rejected else ""
        if rejected and _NOT_SUPPORTED in rejected:
            raise _Skip(rejected)
        if bool(rejected) != bool(self.wanted.failure):
            raise _Differs(f"{_REJECTED}, but rejected: {rejected}" if rejected else
                           "expected to be rejected, but accepted")
        return log

    def _outcome(self, name: str, said: Expectation, caps: Caps) -> tuple[str, str]:
        """Return why a program cannot be loaded, "" if it can, and the log."""
        try:
            program = self.home.object.program(name)
            if program.type == "":
                raise _Differs(f"section {program.section!r} implies no program type")
            verdict = self.home.judge(program, said, caps)
        except (LoadError, UsageError) as error:
            return str(error) or "it cannot be loaded", str(error)
        if name == self.test.program:
            self.verdict = verdict
        return "" if verdict.ok else f"{verdict.message or 'rejected'} (errno {verdict.errno})", verdict.log

    def _compare_result(self, wanted: int) -> None:
        assert self.verdict is not None and self.verdict.program is not None
        if self.said.linear_size is not None:
            raise _Skip(f"verdict and log are as expected, but packets of which only a part is linear are "
                        f"{_NOT_SUPPORTED} in test runs")
        try:
            result = self.home.result_of(self.verdict.program)
        except UsageError as error:
            raise _Skip(f"verdict and log are as expected, but the program cannot be run: {error}") from error
        except (Fault, LoadError, Rejected) as error:
            raise _Differs(f"the test run failed: {error}") from error
        if wanted != POINTER_VALUE and (result ^ wanted) & U32_MAX:
            raise _Differs(f"the test run returned {_signed(result)}, not {_signed(wanted)}")


def _signed(value: int) -> int:
    low = value & U32_MAX
    return low - (1 << 32) if low >> 31 else low


def _tags(btf: Btf | None, function: str) -> tuple[str, ...]:
    type_id = btf.find(function, Kind.FUNC) if btf is not None else None
    return btf.decl_tags(type_id) if btf is not None and type_id is not None else ()


def _first_line(program: Program | None) -> int:
    return program.line_info[0].line if program is not None and program.line_info else 0


def run_tagged(source: Object | str | Path, **options: object) -> list[TaggedResult]:
    """Run all tests that an object carries in its declaration tags; the options are those of `TaggedObject`.

    A program without tags is expected to be accepted, as in Linux's tests.

    Raises:
        LoadError: the object cannot be read.
    """
    found = TaggedObject(source, **options)  # type: ignore[arg-type]
    return [found.run(test) for test in found.tests]
