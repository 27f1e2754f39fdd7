"""Changes and values in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.value_text import value_text
from ebpfvm.escape import escape
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.kernel.memory import REGION_SHIFT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.debugger.recording import Change, Executed, Recording
    from ebpfvm.debugger.watched import Value

_SLOT = 8
_SHORT = 24  # bytes of a value that fit into a line


def raw(data: bytes) -> str:
    """Return bytes in hexadecimal, shortened to what fits into a line."""
    text = data[:_SHORT].hex(" ")
    return text + f" ... ({len(data)} bytes)" if len(data) > _SHORT else text


def value(item: Value | None) -> str:
    """Return a recorded value in words."""
    if item is None:
        return "nothing"
    if isinstance(item, bytes):
        return raw(item)
    return escape(item) if isinstance(item, str) else f"{item:#x}" if item > 9 else str(item)


def key(recording: Recording, name: str, text: str) -> str:
    """Return the key of an element of a map, by its type if that is known; `text` has its bytes in hexadecimal."""
    spec = recording.specs.get(name)
    return value_text(spec.btf, spec.key_type, bytes.fromhex(text)) if spec and spec.btf and spec.key_type else text


def element(recording: Recording, name: str, item: Value | None) -> str:
    """Return the value of an element of a map, by its type if that is known."""
    spec = recording.specs.get(name)
    if not (isinstance(item, bytes) and spec and spec.btf and spec.value_type):
        return value(item)
    places = recording.places
    return value_text(spec.btf, spec.value_type, item, lambda number: places.get(number >> REGION_SHIFT, hex(number)))


def changes(recording: Recording, step: Executed, following: Executed | None) -> list[str]:
    """Return one line for each thing that a step changed, registers first.

    Args:
        recording: to which the step belongs.
        step: what was executed.
        following: the step after it, which has the registers afterwards; None at the end.
    """
    found = []
    if following is not None and following.depth == step.depth and following.run == step.run:
        found += [f"r{number}: {number_text(old)} -> {number_text(new)}"
                  for number, (old, new) in enumerate(zip(step.regs, following.regs, strict=True)) if old != new]
    for change in step.changes:
        found += _change(recording, change)
    return found


def number_text(number: int) -> str:
    """Return a register's value: in decimal if it is small, in hexadecimal otherwise."""
    return str(number) if number < 1 << 16 else f"{number:#x}"


def _change(recording: Recording, change: Change) -> Iterator[str]:
    (kind, *rest), old, new = change
    if kind in ("stack", "packet") and isinstance(old, bytes) and isinstance(new, bytes) and len(old) == len(new):
        yield from _bytes(str(kind), rest[0], old, new)
    elif kind == "packet" and isinstance(old, bytes) and isinstance(new, bytes):
        yield f"packet #{rest[0]}: {len(old)} -> {len(new)} bytes"
    elif kind == "map":
        name, where = map(str, rest)
        yield (f"map {name}, key {key(recording, name, where)}: {element(recording, name, old)} -> "
               f"{element(recording, name, new)}")
    elif kind == "ctx":
        if old is not None and new is not None:
            yield f"context, {rest[0]}: {value(old)} -> {value(new)}"
    elif kind == "owner":
        yield f"{rest[0]} is held by {value(new)}" if new is not None else f"{rest[0]} is freed"
    elif kind == "known":
        yield f"{rest[1]}: {value(old)} -> {value(new)}"
    elif kind == "printk" and new is not None:
        yield f"printk: {value(new)}"


def _bytes(kind: str, number: object, old: bytes, new: bytes) -> Iterator[str]:
    """Yield the words of eight bytes in which two versions differ."""
    for at in range(0, len(new), _SLOT):
        before, after = old[at:at + _SLOT], new[at:at + _SLOT]
        if before != after:
            name = f"fp{at - FRAME_SIZE}" if kind == "stack" else f"packet #{number}, offset {at}"
            yield f"{name}: {before.hex(' ')} -> {after.hex(' ')}"
