"""What tests of eBPF programs need: objects with other globals, packets, runs, simulations. The pytest plugin gives it.

Everything is also in the Python interface (docs/howto/python.md); here paths are relative to the test's folder, and a
simulation that loses a packet fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables, variables
from ebpfvm.sched.packet import build
from ebpfvm.testrun import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.loader.object import Object
    from ebpfvm.sched.run_report import Result
    from ebpfvm.testrun import TestRun

_SHOWN: Final = 5  # problems of a simulation in a message


def accounted(result: Result) -> Result:
    """Return a result in which every packet is accounted for.

    Raises:
        AssertionError: packets were lost or freed twice; the message names the first ones.
    """
    if not result.ok:
        lines = [f"{item.kind}: {item.message}" for item in result.problems[:_SHOWN]]
        raise AssertionError(f"{result.problem_count} packets were lost or disposed of twice\n" + "\n".join(lines))
    return result


@dataclass(frozen=True, slots=True)
class BpfKit:
    """The fixture `bpf` of the pytest plugin.

    Attributes:
        folder: where relative paths begin.
    """

    folder: Path

    def load(self, path: str | Path, **values: int) -> Object:
        """Return the object in a file, with other initial values of global variables.

        Raises:
            LoadError: it cannot be read.
            UsageError: it has no such variable, or the variable cannot hold the number.
        """
        return set_variables(load(self.folder / path), values)

    def session(self, path: str | Path, *, values: Mapping[str, int] | None = None, **options: Any) -> BpfSession:
        """Return a program, loaded and verified, that runs on one packet after the other.

        Args:
            path: `OBJECT:PROGRAM`, or `OBJECT` if it holds one program.
            values: initial values of global variables.
            options: `maps` and the options of `ebpfvm.testrun.Session`, as `engine="translate"` or `clock="5s"`.

        Raises:
            Rejected: the verifier rejects the program.
            UsageError: there is no such program, variable or option.
        """
        from ebpfvm.judging import only_program, verify
        name, colon, program = str(path).rpartition(":")
        found = self.load(name if colon else program, **(values or {}))
        chosen = found.program(program) if colon else only_program(found)
        if not options.get("unverified"):
            verify(chosen, kernel=options.get("kernel"), btf=options.get("btf")).require()
        return BpfSession(chosen, options.pop("maps", None), source=found, **options)

    def simulate(self, path: str | Path, *, values: Mapping[str, int] | None = None, **options: Any) -> Result:
        """Return the result of a run of a queueing discipline, with a record of each packet.

        Args:
            path: the object.
            values: initial values of global variables.
            options: those of `ebpfvm.simulate`.

        Raises:
            AssertionError: packets were lost or freed twice; the message names them.
            Rejected: the verifier rejects a program.
            UsageError: there is no such variable or option.
        """
        from ebpfvm.api import simulate
        return accounted(simulate(self.load(path, **(values or {})), **{"record": True, **options}))

    @staticmethod
    def packet(**fields: Any) -> bytes:
        """Return a frame; the fields are those of `ebpfvm.sched.packet.build`, as `proto="tcp", dport=80`."""
        return build(**fields)


class BpfSession(Session):
    """A session that takes packets of scapy as well, and knows the global variables by name."""

    def run(self, data: Any = bytes(64), ctx: Mapping[str, Any] | bytes | None = None, *, repeat: int = 1) -> TestRun:
        """Run the program on one packet, as `Session.run` does; `data` is anything that `bytes()` takes."""
        return super().run(bytes(data), ctx, repeat=repeat)

    def variable(self, name: str) -> int:
        """Return the current value of a global variable.

        Raises:
            UsageError: the object has no such variable, or it is no number.
        """
        known = {item.name: item for item in variables(self.object) if item.number}
        item = known.get(name)
        if item is None:
            raise UsageError(f"no global variable {name!r} that is a number; there are: {', '.join(known) or 'none'}")
        return item.read(self.map(item.map).sys_lookup(bytes(4)))

    @property
    def object(self) -> Object:
        """The object that the program comes from."""
        found = self.program.home.object
        assert found is not None
        return found
