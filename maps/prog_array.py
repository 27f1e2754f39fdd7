"""Programs by index, for tail calls (Linux 7.2 kernel/bpf/arraymap.c, fd_array)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.maptype import MapType
from ebpfvm.errnos import E2BIG, EBADF, EINVAL, ENOENT
from ebpfvm.loading.array_owners import why_refused
from ebpfvm.maps import base
from ebpfvm.maps.array import descriptors_check, next_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.program import LoadedProgram
    from ebpfvm.loader.object import MapSpec
    from ebpfvm.loading.array_owners import ArrayOwner


class ProgArray(base.BpfMap):
    """BPF_MAP_TYPE_PROG_ARRAY; `put` takes a loaded program instead of the descriptor that user space would write.

    Attributes:
        owner: which programs may use it, None before the first is loaded.
    """

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._progs: dict[int, LoadedProgram] = {}
        self.owner: ArrayOwner | None = None

    def prog(self, index: int) -> LoadedProgram | None:
        """Return the program at `index`, or None."""
        return self._progs.get(index)

    def put(self, index: int, prog: LoadedProgram) -> int:
        """Set a slot; return 0, -E2BIG beyond the end, or -EINVAL for a program of another type or hook."""
        if index >= self.max_entries:
            return -E2BIG
        first = next(iter(self._progs.values()), prog)
        if first.type is not prog.type or (self.owner is not None and why_refused(self.name, self.owner, prog.program)):
            return -EINVAL
        self._progs[index] = prog
        return 0

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        """Refuse the update from user space, because there are no descriptors."""
        if flags != base.BPF_ANY:
            return -EINVAL
        return -E2BIG if int.from_bytes(key, "little") >= self.max_entries else -EBADF

    def delete(self, key: bytes) -> int:
        if int.from_bytes(key, "little") >= self.max_entries:
            return -E2BIG
        gone = self._progs.pop(int.from_bytes(key, "little"), None)
        return 0 if gone is not None else -ENOENT

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Return the id of the program in a slot."""
        self._check_syscall(key, writes=False)
        prog = self._progs.get(int.from_bytes(key or b"", "little"))
        if prog is None:
            raise base.kernel_error(ENOENT, f"lookup in map {self.name!r}")
        return prog.id.to_bytes(4, "little")

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)

    def keys(self) -> Iterator[bytes]:
        """Yield the slots that hold a program."""
        return iter([index.to_bytes(4, "little") for index in sorted(self._progs)])


PROG_ARRAY = MapType("prog_array", ProgArray, frozenset({"bpf_tail_call"}), inner=False, check=descriptors_check,
                     sleepable="later", kernel_struct="bpf_array",
                     doc="Programs by index, for tail calls.")
ProgArray.type = PROG_ARRAY
