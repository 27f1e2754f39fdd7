"""The control flow graph: what is reachable, and where states are worth keeping (kernel/bpf/cfg.c).

A depth-first walk without recursion; marks and messages come in the kernel's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.facts import Cfg
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes.subprogs import is_func_ref, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env

_DISCOVERED, _EXPLORED = 0x10, 0x20
_FALLTHROUGH, _BRANCH = 1, 2
_JUMPS = frozenset({c.BPF_JMP, c.BPF_JMP32})
_LD_IMM64 = 0x18


class _Walk:
    def __init__(self, env: Env) -> None:
        self.env = env
        self.insns = env.program.insns
        size = len(self.insns)
        self.cfg = Cfg(bytearray(size), bytearray(size), bytearray(size), bytearray(size))
        self.state = bytearray(size)
        self.stack: list[int] = []

    def push(self, pc: int, target: int, edge: int) -> bool:
        """Examine an edge; return True if its target must be explored first."""
        state = self.state
        if state[pc] >= (_DISCOVERED | edge):
            return False
        if not 0 <= target < len(self.insns):
            raise Refuse(p.JUMP_TARGET, EINVAL, f"jump out of range from insn {pc} to {target}", pc=pc)
        if edge == _BRANCH:
            self.cfg.prune[target] = self.cfg.jump[target] = 1
        if not state[target]:
            state[pc] = _DISCOVERED | edge
            state[target] = _DISCOVERED
            self.stack.append(target)
            return True
        if state[target] & 0xF0 == _DISCOVERED:
            if not self.env.caps.bpf:
                raise Refuse(p.MISSING_CAPABILITY, EINVAL, f"back-edge from insn {pc} to {target}", pc=pc)
            return False
        state[pc] = _DISCOVERED | edge
        return False

    def visit(self, pc: int) -> bool:
        """Examine the edges of an instruction; return True if it must be visited again."""
        insn = self.insns[pc]
        if is_func_ref(insn):
            return self.visit_call(pc, True)
        if insn.code & 7 not in (c.BPF_JMP, c.BPF_JMP32):
            return self.push(pc, pc + (2 if insn.is_ld_imm64 else 1), _FALLTHROUGH)
        op = insn.code & 0xF0
        if op == c.BPF_EXIT:
            return False
        if op == c.BPF_CALL:
            self.mark_call(pc)
            return self.visit_call(pc, insn.src == c.BPF_PSEUDO_CALL)
        cfg = self.cfg
        if op == c.BPF_JA:
            if insn.code & c.BPF_X:
                raise Refuse(p.UNSUPPORTED, EINVAL, "indirect jumps (gotox) not supported by ebpfvm", pc=pc)
            target = pc + 1 + (insn.off if insn.code & 7 == c.BPF_JMP else insn.imm)
            again = self.push(pc, target, _FALLTHROUGH)
            cfg.prune[target] = cfg.jump[target] = 1
            return again
        cfg.prune[pc] = 1
        if op == c.BPF_JCOND:
            cfg.force[pc] = 1
        return self.push(pc, pc + 1, _FALLTHROUGH) or self.push(pc, pc + insn.off + 1, _BRANCH)

    def mark_call(self, pc: int) -> None:
        """Mark checkpoints at calls that may return to themselves."""
        insn, cfg = self.insns[pc], self.cfg
        if is_kfunc_call(insn):
            kfunc = self.env.kfuncs.get(insn.imm)
            callback = kfunc.callback if kfunc else ""
            if kfunc and "iter_next" in kfunc.flags:
                cfg.prune[pc] = cfg.force[pc] = 1
        elif insn.src == 0:
            helper = self.env.dialect.helpers.get(insn.imm)
            callback = helper.callback if helper else ""
        else:
            return
        if callback == "async":
            cfg.prune[pc] = 1
        if callback == "sync":
            cfg.callback[pc] = cfg.force[pc] = cfg.prune[pc] = cfg.jump[pc] = 1

    def visit_call(self, pc: int, callee: bool) -> bool:
        """Examine a call, or a function's address: the callee is another edge."""
        insn = self.insns[pc]
        after = pc + (2 if insn.is_ld_imm64 else 1)
        if self.push(pc, after, _FALLTHROUGH):
            self.mark_after(after)
            return True
        self.mark_after(after)
        if callee:
            self.cfg.prune[pc] = 1
            return self.push(pc, pc + insn.imm + 1, _BRANCH)
        return False

    def mark_after(self, after: int) -> None:
        self.cfg.prune[after] = self.cfg.jump[after] = 1

    def run(self, start: int) -> None:
        """Explore everything that `start` reaches."""
        if self.state[start]:
            return
        self.state[start] = _DISCOVERED
        self.stack.append(start)
        insns, state, stack, size = self.insns, self.state, self.stack, len(self.insns)
        while stack:
            pc = stack[-1]
            code = insns[pc][0]
            if code & 7 not in _JUMPS and code != _LD_IMM64 and pc + 1 < size and not state[pc + 1]:
                # Inlined from `visit` for the many instructions that only fall through.
                state[pc] = _DISCOVERED | _FALLTHROUGH
                state[pc + 1] = _DISCOVERED
                stack.append(pc + 1)
            elif not self.visit(pc):
                state[pc] = _EXPLORED
                stack.pop()


def check(env: Env) -> Cfg:
    """Explore from the entry; everything must be reachable.

    Raises:
        Refuse: there are unreachable instructions, jumps into the middle of one, or loops without CAP_BPF.
    """
    walk = _Walk(env)
    walk.run(0)
    if env.exception_cb:
        walk.run(env.subprogs[env.exception_cb].start)
    pc, size = 0, len(walk.insns)
    while pc < size:
        if walk.state[pc] != _EXPLORED:
            raise Refuse(p.UNREACHABLE_INSN, EINVAL, f"unreachable insn {pc}", pc=pc)
        if walk.insns[pc].is_ld_imm64:
            if walk.state[pc + 1]:
                raise Refuse(p.JUMP_TARGET, EINVAL, f"jump into the middle of ldimm64 insn {pc}", pc=pc)
            pc += 1
        pc += 1
    return walk.cfg


def successors(env: Env, pc: int) -> tuple[int, ...]:
    """Return the slots to which control may pass inside the function (a call continues at the next one)."""
    insn = env.program.insns[pc]
    if insn.code & 7 not in (c.BPF_JMP, c.BPF_JMP32):
        return (pc + (2 if insn.is_ld_imm64 else 1),)
    op = insn.code & 0xF0
    if op == c.BPF_EXIT:
        return ()
    if op == c.BPF_CALL:
        return (pc + 1,)
    if op == c.BPF_JA:
        return (pc + 1 + (insn.off if insn.code & 7 == c.BPF_JMP else insn.imm),)
    target = pc + 1 + insn.off
    return (pc + 1,) if target == pc + 1 else (pc + 1, target)


def edges(env: Env) -> list[tuple[int, ...]]:
    """Return the `successors` of every slot."""
    # Most instructions only fall through, and computing the edges of each costs as much as walking it.
    return [(pc + 1,) if insn[0] != _LD_IMM64 and insn[0] & 7 not in _JUMPS else successors(env, pc)
            for pc, insn in enumerate(env.program.insns)]


def _straight(env: Env, after: list[tuple[int, ...]]) -> bool:
    """Return whether no edge and no callback leads back."""
    if any(targets and min(targets) <= pc for pc, targets in enumerate(after)):
        return False
    return not any(insn[0] == c.BPF_JMP | c.BPF_CALL and _reenters(env, pc)
                   for pc, insn in enumerate(env.program.insns))


def loops(env: Env, after: list[tuple[int, ...]] | None = None) -> list[int]:
    """Return the number of the loop (strongly connected component) of each slot, 0 outside of loops (compute_scc).

    Tarjan's algorithm without recursion, over the whole program; calls are not followed. `after`: see `edges`.
    """
    size = len(env.program.insns)
    after = edges(env) if after is None else after
    if _straight(env, after):
        return [0] * size
    index, low, found = [0] * size, [0] * size, [0] * size
    counter = number = 0
    open_nodes: list[int] = []
    on_stack = bytearray(size)
    for root in range(size):
        if index[root] or (root and env.program.insns[root - 1].is_ld_imm64):
            continue
        work = [(root, 0)]
        while work:
            pc, at = work.pop()
            if not at:
                counter += 1
                index[pc] = low[pc] = counter
                open_nodes.append(pc)
                on_stack[pc] = 1
            targets = after[pc]
            for position in range(at, len(targets)):
                target = targets[position]
                if not index[target]:
                    work += [(pc, position + 1), (target, 0)]
                    break
                if on_stack[target]:
                    low[pc] = min(low[pc], index[target])
            else:
                if low[pc] == index[pc]:
                    members = _closed(pc, open_nodes, on_stack)
                    if len(members) > 1 or pc in targets or _reenters(env, pc):
                        number += 1
                        for member in members:
                            found[member] = number
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[pc])
    return found


def _reenters(env: Env, pc: int) -> bool:
    # A call with a callback may be walked again from itself.
    insn = env.program.insns[pc]
    if insn.code != c.BPF_JMP | c.BPF_CALL or not env.rules.callbacks_loop:
        return False
    if is_kfunc_call(insn):
        kfunc = env.kfuncs.get(insn.imm)
        return bool(kfunc and kfunc.callback == "sync")
    helper = env.dialect.helpers.get(insn.imm) if insn.src == 0 else None
    return bool(helper and helper.callback == "sync")


def _closed(pc: int, open_nodes: list[int], on_stack: bytearray) -> list[int]:
    """Pop the component whose first slot is `pc` off the stack of Tarjan's algorithm."""
    members: list[int] = []
    while not members or members[-1] != pc:
        member = open_nodes.pop()
        on_stack[member] = 0
        members.append(member)
    return members
