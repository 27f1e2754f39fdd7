"""Parse values for `__kconfig` variables: `NAME=VALUE`, or a kernel's configuration file."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FILE = 16 << 20
_ASSIGNMENT = pattern(r"((?:CONFIG|LINUX)_\w+)=(.*)", re.ASCII | re.DOTALL)


def read_values(words: Iterable[str]) -> dict[str, int | str]:
    """Return the values in `words`: `NAME=VALUE`, or the path of a file such as /boot/config-6.18 or /proc/config.gz.

    Raises:
        LoadError: a file cannot be read.
        UsageError: a name does not begin with CONFIG_ or LINUX_.
    """
    found: dict[str, int | str] = {}
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match:
            found[match[1]] = _value(match[2])
        else:
            found.update(_file(word))
    return found


def _value(text: str) -> int | str:
    try:
        return int(text, 0)
    except ValueError:
        return text


def _file(path: str) -> dict[str, int | str]:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
        if data[:2] == b"\x1f\x8b":
            data = zlib.decompressobj(wbits=31).decompress(data, MAX_FILE + 1)
    except (OSError, ValueError, zlib.error) as error:
        if "=" in path:
            raise UsageError(f"--kconfig {path}: expected the path of a file, or NAME=VALUE with a name such as "
                             "CONFIG_HZ") from None
        hint = f"; for one value, write {path}=VALUE" if path.startswith("CONFIG_") else ""
        raise LoadError(f"cannot be read: {getattr(error, 'strerror', None) or error}{hint}", path=path) from error
    if len(data) > MAX_FILE:
        raise LoadError(f"larger than {MAX_FILE >> 20} MiB; no kernel's configuration is", path=path)
    matches = (_ASSIGNMENT.fullmatch(line) for line in data.decode("utf-8", "replace").splitlines())
    return {match[1]: _value(match[2]) for match in matches if match}
