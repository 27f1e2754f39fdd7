"""What declarations say of a refusal: fields of the context, functions of a similar name, structs that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.loading.missing_structs import missing_in
from ebpfvm.verifier.explanation.lineage import Spot
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg

if TYPE_CHECKING:
    from ebpfvm.verifier.explanation.story import Story


def field_access(story: Story, place: Spot) -> str:
    """Name the field of the context that the last instruction accesses, and what it allows; "" if that says nothing."""
    insn, base = story.path.insn(story.end), story.value(place)
    if not isinstance(base, Reg) or base.type != r.CTX or base.num.mask or insn.code & 7 not in (
            c.BPF_LDX, c.BPF_ST, c.BPF_STX):
        return ""
    kind = story.env.prog_type
    off, size = base.off + base.num.smin + insn.off, c.SIZE_BYTES[insn.code & 0x18]
    field = next((item for item in kind.ctx_fields(story.program.attach) if item.off <= off < item.end), None)
    writes = insn.code & 7 != c.BPF_LDX
    if not kind.ctx:
        return ""
    if field is None:
        return f"struct {kind.ctx} has no field at offset {off} that programs of this type can use."
    name = f"{kind.ctx}->{field.name}"
    if writes and field.owned:
        return f"{name} may only be set in dequeue, to NULL or to a packet that the program owns."
    if writes and not field.write:
        return f"{name} is read-only for programs of this type."
    if not writes and not field.read:
        return f"{name} cannot be read by programs of this type."
    unit = field.element or field.size
    return (f"{name} is {field.size} bytes at offset {field.off} and is {'written' if writes else 'read'} {unit} bytes "
            f"at a time; this is an access of {size} bytes at offset {off}." if unit != size or off % unit else "")


def similar_function(story: Story) -> str:
    """Name the kernel function that was probably meant; "" if none has a similar name."""
    name = story.program.kfuncs.get(story.path.insn(story.end).imm, "")
    near = story.env.dialect.similar_kfunc(name) if name else ""
    return f"Did you mean {near}()?" if near else ""


def dropped_fields(story: Story) -> str:
    """Say that the kernel drops all fields of a map if a list or tree contains a struct that is not described."""
    frame = story.path.depth(story.end)
    for number in range(1, 6):
        value = story.value(Spot(frame, number))
        used = value.what if isinstance(value, Reg) and value.type & r.BASE == r.MAP_VALUE else None
        reasons = list(missing_in(used.spec)) if used is not None else []
        if reasons:
            return (f"{reasons[0]}. The kernel then drops all fields of the map. Use the struct, for instance with "
                    "bpf_obj_new().")
    return ""
