"""The Python interface: load an object, verify a program, simulate a queueing discipline.

`ebpfvm.testrun` runs a program on one packet. This module only connects the other packages; `ebpfvm` imports these
functions lazily, so that importing it is cheap.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.judging import dialect_of as dialect_of
from ebpfvm.judging import kernel_of as kernel_of
from ebpfvm.judging import only_program as only_program
from ebpfvm.judging import verify as verify
from ebpfvm.loader.object import Object as Object
from ebpfvm.loader.object import Program as Program
from ebpfvm.loader.open import load as load

if TYPE_CHECKING:
    from ebpfvm.experiments import NamespaceOptions as NamespaceOptions
    from ebpfvm.experiments import open_namespace as open_namespace
    from ebpfvm.experiments import script_programs as script_programs
    from ebpfvm.kernel import Kernel as Kernel
    from ebpfvm.scenario import Scenario
    from ebpfvm.scenario import Scene as Scene
    from ebpfvm.scenario_files import load_scenario as load_scenario
    from ebpfvm.sched.run_report import Result

__all__ = ["Kernel", "Object", "Program", "dialect_of", "load", "simulate", "verify"]

# These need the simulator or what programs run in; importing it takes as long as everything that verifies a program.
_LATER: Final = {"Kernel": "ebpfvm.kernel", "NamespaceOptions": "ebpfvm.experiments",
                 "open_namespace": "ebpfvm.experiments", "script_programs": "ebpfvm.experiments",
                 "Scene": "ebpfvm.scenario", "load_scenario": "ebpfvm.scenario_files"}


def simulate(source: Scenario | Object | str | os.PathLike[str] | None = None, /, **options: Any) -> Result:
    """Run a queueing discipline in front of a link and report what happens to every packet.

    Args:
        source: object with an enqueue and a dequeue program of the RFC, or with a `Qdisc_ops` of Linux 6.16 and later,
            or its path (optional with `tc`); or a whole `ebpfvm.scenario.Scenario`.
        options: the fields of `ebpfvm.scenario.Scenario` (`help(Scenario)` explains each): pcap, flows, rate, delay,
            mtu, out, seed, duration, engine, kernel, priority, tc, enqueue, dequeue, unverified, record, ingress, pin,
            dump_maps, prepare, observer, progress, limits.

    Raises:
        LoadError: the object or the capture cannot be read, or a map cannot be created.
        Rejected: the verifier rejects a program.
        UsageError: an argument has a wrong type or value.
        Fault: a program does at run time what would crash a kernel.
        LimitError: a limit was reached; the error's `result` holds the statistics up to that moment.
    """
    from ebpfvm import experiments
    from ebpfvm.scenario import Scenario
    return experiments.run_scenario(Scenario.of(source, options))


def __getattr__(name: str) -> object:
    """Return a name that is imported on first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'ebpfvm.api' has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(_LATER[name]), name)
