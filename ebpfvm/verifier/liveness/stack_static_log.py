"""The tables that the pass before the walk prints at level 2: where pointers into frames go, and how they are used.

Sources: print_subprog_arg_access, print_instance of kernel/bpf/liveness.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.verifier.liveness.arg_tracks import text
from ebpfvm.verifier.passes.subprogs import CALL

if TYPE_CHECKING:
    from ebpfvm.verifier.liveness.arg_tracks import Slots, Track
    from ebpfvm.verifier.liveness.instances import Instance
    from ebpfvm.verifier.machine.env import Env, Subprog
    from ebpfvm.verifier.report.log import Log

    Point = tuple[list[Track], Slots]


def _name(item: Subprog) -> str:
    # Only BTF gives a function a name.
    return f"subprog#{item.index} {item.name}" if item.type_id else f"subprog#{item.index}"


def order(log: Log, env: Env, indices: list[int]) -> None:
    """Print the order of the functions, callees first."""
    for at, index in enumerate(indices):
        item = env.subprogs[index]
        log.detail(f"topo_order[{at}] = {item.name if item.type_id else ''}")


def transition(log: Log, pc: int, before: Point, behind: Point) -> None:
    """Print what an instruction did to registers and spill slots, if anything."""
    parts = [f"\tr{number}: {text(was)} -> {text(now)}"
             for number, (was, now) in enumerate(zip(before[0], behind[0], strict=True)) if was != now]
    parts += [f"\tfp{-8 * slot - 8}: {text(before[1].get(slot))} -> {text(behind[1].get(slot))}"
              for slot in sorted({*before[1], *behind[1]}) if before[1].get(slot) != behind[1].get(slot)]
    if parts:
        log.detail(f"{pc:3d}: {log.insn_text(pc)}{''.join(parts)}")


def joined(log: Log, where: str, was: Track, track: Track, now: Track) -> None:
    """Print that two paths meet with different values."""
    log.detail(f"arg JOIN insn {where}: {text(was)} + {text(track)} => {text(now)}")


def tracks(log: Log, env: Env, item: Subprog, points: dict[int, Point]) -> None:
    """Print a function with the pointers that exist at its loads, stores and calls."""
    log.detail(_name(item) + ":")
    pc = item.start
    while pc < item.end:
        insn = env.program.insns[pc]
        extra = ""
        if pc in points and (insn.code & 7 in (c.BPF_LDX, c.BPF_STX) or insn.code == CALL):
            regs, slots = points[pc]
            extra = "".join(f" r{number}={text(track)}" for number, track in enumerate(regs[:10]) if track is not None)
            extra += "".join(f" fp{-8 * slot - 8}={text(slots[slot])}" for slot in sorted(slots)
                             if slots[slot] is not None)
        log.detail(f"{pc:3d}: {log.insn_text(pc)}{' //' + extra if extra else ''}")
        pc += 2 if insn.is_ld_imm64 else 1


def use_def(log: Log, env: Env, one: Instance) -> None:
    """Print a function as it is called at one place, with what each instruction reads and writes."""
    log.detail(f"stack use/def {_name(one.subprog)} (d{one.depth},cs{one.callsite}):")
    pc = one.subprog.start
    while pc < one.subprog.end:
        line = f"{pc:3d}: {log.insn_text(pc)}"
        uses, defs = (" ".join(filter(None, (_masks(frame, found.get(frame, {}).get(pc, 0))
                                             for frame in range(one.depth, -1, -1))))
                      for found in (one.reads, one.writes))
        if uses or defs:
            column = (max(len(line) + 4, 40) + 7) // 8 * 8
            line += " " * (column - len(line) - 1) + ";"
        log.detail(line + (f" use: {uses}" if uses else "") + (f" def: {defs}" if defs else ""))
        pc += 2 if env.program.insns[pc].is_ld_imm64 else 1


def _masks(frame: int, mask: int) -> str:
    """Return half slots as `fp0-8 fp0-16`, `fp0-4h` for one half, `fp0-8..-24` for three slots and more."""
    parts, slot = [], 0
    while mask >> 2 * slot:
        half = mask >> 2 * slot & 3
        first = slot
        if half == 3:
            while mask >> 2 * slot + 2 & 3 == 3:
                slot += 1
            if slot - first < 2:
                slot = first
            end = f"..{-8 * slot - 8}" if slot > first else ""
            parts.append(f"fp{frame}{-8 * first - 8}{end}")
        elif half:
            parts.append(f"fp{frame}{-8 * slot - (4 if half == 1 else 8)}h")
        slot += 1
    return " ".join(parts)
