"""Run a program of a filter or an action on a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import s32

if TYPE_CHECKING:
    from ebpfvm.kernel.ctx import SkbContexts
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.skb import SkBuff


def run_program(contexts: SkbContexts, program: Runnable, skb: SkBuff, hook: str) -> int:
    """Run a program of type sched_cls or sched_act on a packet, and return its result as a signed 32-bit number.

    Args:
        contexts: the contexts of the hook.
        program: the program.
        skb: the packet.
        hook: "cls" or "act", for who records the run.
    """
    value = s32(contexts.run(program, skb))
    account = getattr(skb.dev, "account", None)
    if account is not None and account.recorder is not None:
        account.recorder.program(f"{hook} {program.prog.name} {value}", skb)
    return value
