"""Decompress files: gzip, bzip2 and xz are recognised by their first bytes and decompressed in bounded memory."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import LoadError
from ebpfvm.sched.windows import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.windows import Contents

_STEP: Final = 1 << 20
_XZ_MEMORY: Final = 128 << 20

_OPENERS: Final[dict[bytes, tuple[str, Callable[[], Any]]]] = {
    b"\x1f\x8b": ("gzip", lambda: _Gzip()),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))}
_UNREAD: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


class _Gzip:
    """zlib's decompressor with the interface of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, size: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, size)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def unpack(data: Contents, path: str, limit: int) -> tuple[Contents, str]:
    """Return what a file holds, unpacked if it is compressed, and a warning if the compressed data ends too early.

    Args:
        data: the file's contents.
        path: for messages.
        limit: bytes that it may unpack to.

    Raises:
        LoadError: the compressed data is damaged, larger than `limit`, or of a kind that cannot be unpacked here.
    """
    start = _bytes(data, 0, 6)
    for magic, name in _UNREAD.items():
        if start.startswith(magic):
            raise LoadError(f"compression with {name} is not supported by ebpfvm: unpack the file first", path=path)
    for magic, (name, opener) in _OPENERS.items():
        if start.startswith(magic):
            return _unpack(data, path, limit, name, opener)
    return data, ""


def _unpack(data: Contents, path: str, limit: int, name: str, opener: Callable[[], Any]) -> tuple[Contents, str]:
    found = Spool(path)
    machine, at = opener(), 0
    magic = next(magic for magic, (other, _) in _OPENERS.items() if other == name)
    try:
        while True:
            if machine.eof:  # several members are one file; anything else after a member is skipped
                at -= len(machine.unused_data)
                if _bytes(data, at, len(magic)) != magic:
                    return found.contents(), ""
                machine = opener()
            piece = _bytes(data, at, _STEP) if machine.needs_input else b""
            if machine.needs_input and not piece:
                return found.contents(), f"the {name} data ends too early"
            at += len(piece)
            found.write(machine.decompress(piece, _STEP))
            if len(found) > limit:
                raise LoadError(f"the {name} file unpacks to more than {limit >> 20} MiB", path=path)
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise LoadError(f"the {name} data is damaged: {error}", path=path) from None


def _bytes(data: Contents, start: int, size: int) -> bytes:
    """Return the bytes from `start` on, at most `size`."""
    view, base = data.window(start, size)
    return view[start - base:start - base + size]
