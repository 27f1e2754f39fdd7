"""What cannot run is refused before the run, with the function's name and the reason."""

from __future__ import annotations

import pytest

import ebpfvm
from ebpfvm.errors import LoadError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.testrun import test_run as run_once


def program(text: str, type: str = "sched_cls") -> ebpfvm.Program:
    return ebpfvm.Program.from_bytes(encode(assemble(text)), type)


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize(("call", "reason"), [
    ("r1 = 9\ncall 109", "helper bpf_send_signal is not supported by ebpfvm at run time: there are no processes"),
    ("call 158\nr0 = 0", "helper bpf_get_current_task_btf is not supported .*: the kernel's own structures"),
])
def test_helpers(engine: str, call: str, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        run_once(program(f"{call}\nr0 = 0\nexit"), engine=engine)


def test_code_that_nothing_reaches_does_not_count() -> None:
    assert run_once(program("r0 = 4\ngoto out\ncall 109\nout:\nexit")).retval == 4
