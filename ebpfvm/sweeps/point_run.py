"""One run of a sweep, in whichever process it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.comparing import measure
from ebpfvm.errors import EbpfvmError, Rejected, kind_of

if TYPE_CHECKING:
    from ebpfvm.scenario import Scenario


def run_point(scenario: Scenario) -> dict[str, Any]:
    """Run a scenario and return its `traffic` (one row for each kind, see `ebpfvm.comparing`), or its `error`.

    Errors are returned as data, because an exception would not survive the way back from another process.
    """
    try:
        rows = measure("", scenario)
    except EbpfvmError as error:
        return point_error(kind_of(error), _words(error))
    except Exception as error:  # whatever it is: the other points go on
        return point_error("internal", f"{type(error).__name__}: {error} (a bug in ebpfvm)")
    return {"traffic": [{name: value for name, value in row._asdict().items() if name != "qdisc"} for row in rows]}


def point_error(kind: str, message: str) -> dict[str, Any]:
    """Return the result of a point that failed."""
    return {"error": {"kind": kind, "message": message}}


def _words(error: EbpfvmError) -> str:
    if isinstance(error, Rejected):
        from ebpfvm.rejections import rejection
        return rejection(error.verdict).partition("\n")[0]
    return str(error)
