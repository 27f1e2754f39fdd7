"""Read a large file in windows: parts of it that are in memory one at a time, so that memory does not grow with it."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from ebpfvm.errors import LoadError

if TYPE_CHECKING:
    from typing import Protocol

    class Contents(Protocol):
        """The bytes of a capture, wherever they are."""

        def __len__(self) -> int: ...

        def window(self, start: int, size: int) -> tuple[bytes, int]:
            """Return bytes that include `size` bytes from offset `start` on, and the offset of their first.

            They are fewer only if the file ends before.
            """

        def is_file(self, path: str) -> bool:
            """Return whether the contents still depend on the file at `path`."""

WINDOW: Final = 1 << 20
HELD: Final = 4 << 20  # a smaller capture stays in memory, so that nobody can change it during the run


class HeldContents:
    """Contents that are in memory as a whole."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def window(self, _start: int, _size: int) -> tuple[bytes, int]:
        """Return everything, which is the one window."""
        return self._data, 0

    def is_file(self, _path: str) -> bool:
        """Return whether the contents still depend on the file at `path`; they do not."""
        return False


class FileContents:
    """Contents that are read from an open file when they are needed; the file stays open as long as this object lives.

    Args:
        file: the file, which the caller may close.
        path: for messages.
        step: bytes of a window, if no more are needed.
    """

    __slots__ = ("__weakref__", "_descriptor", "_length", "_path", "_step")

    def __init__(self, file: BinaryIO, path: str, step: int = WINDOW) -> None:
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._length = os.fstat(self._descriptor).st_size
        self._path = path
        self._step = step

    def __len__(self) -> int:
        return self._length

    def window(self, start: int, size: int) -> tuple[bytes, int]:
        """Read the window that begins at `start`.

        Raises:
            LoadError: the file cannot be read, or is shorter than it was when it was opened.
        """
        wanted = min(max(size, self._step), self._length - start)
        pieces, at = [], start
        try:
            while at < start + wanted:
                piece = _read_at(self._descriptor, start + wanted - at, at)
                if not piece:
                    raise LoadError("the capture became shorter while it was read", path=self._path, offset=at)
                pieces.append(piece)
                at += len(piece)
        except OSError as error:
            raise LoadError(f"cannot read the capture: {error.strerror or error}", path=self._path) from None
        return b"".join(pieces), start

    def is_file(self, path: str) -> bool:
        """Return whether the contents still depend on the file at `path`, so that nobody may write to it."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except OSError:
            return False


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


class Spool:
    """Collect bytes of unknown number: in memory up to `HELD`, in an unnamed temporary file from there on.

    Without a place for temporary files everything stays in memory.

    Args:
        path: of what the bytes come from, for messages.
        held: how many bytes stay in memory.
    """

    def __init__(self, path: str, held: int = HELD) -> None:
        self._path = path
        self._room = held
        self._buffer = bytearray()
        self._file: BinaryIO | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            LoadError: the temporary file cannot be written.
        """
        self._length += len(data)
        self._buffer += data
        if len(self._buffer) > self._room:
            if self._file is None and (file := _temporary()) is not None:
                self._file = file
                self._room = WINDOW
                weakref.finalize(self, file.close)
            if self._file is not None:
                self._flush(self._file)

    def contents(self) -> Contents:
        """Return what was written, and end the collection."""
        if self._file is None:
            return HeldContents(bytes(self._buffer))
        self._flush(self._file)
        with self._file as file:
            return FileContents(file, self._path)

    def _flush(self, file: BinaryIO) -> None:
        try:
            file.write(self._buffer)
            file.flush()
        except OSError as error:
            raise LoadError("cannot keep the capture in a temporary file; set TMPDIR to a folder with room: "
                            f"{error.strerror or error}", path=self._path) from None
        self._buffer.clear()


def _temporary() -> BinaryIO | None:
    import tempfile  # costs more than all of this module, and few captures need it
    try:
        return cast("BinaryIO", tempfile.TemporaryFile("w+b"))
    except OSError:
        return None
