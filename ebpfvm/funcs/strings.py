"""String kfuncs (kernel/bpf/helpers.c, since Linux 6.17).

Strings are read up to their NUL, at most 65536 bytes. Errors are -EFAULT for memory that cannot be read, -ERANGE for an
address of user space (NULL), -E2BIG if there is no NUL within that limit, and -ENOENT if the search finds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import kfunc
from ebpfvm.errnos import E2BIG, EFAULT, ENOENT, ERANGE
from ebpfvm.funcs.nofault import c_string

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

XATTR_SIZE_MAX: Final = 65536
_TASK_SIZE: Final = 1 << 31  # no kernel pointer is below this address


def _read(env: CallEnv, *addresses: int, limit: int = XATTR_SIZE_MAX) -> list[bytes] | int:
    """Return the strings at `addresses`, or a negative errno; a string that `limit` truncates needs no NUL."""
    if any(address < _TASK_SIZE for address in addresses):
        return -ERANGE
    found = []
    for address in addresses:
        text, complete = c_string(env.memory, address, limit)
        if text is None:
            return -EFAULT
        if not complete and limit == XATTR_SIZE_MAX:
            return -E2BIG
        found.append(text)
    return found


def _compare(a: bytes, b: bytes) -> int:
    return (a > b) - (a < b)


def _index(position: int) -> int:
    return position if position >= 0 else -ENOENT


@kfunc("int bpf_strcmp(const char *s1__ign, const char *s2__ign)")
def bpf_strcmp(env: CallEnv, s1__ign: int, s2__ign: int) -> int:
    """Compare two strings; return -1, 0 or 1."""
    read = _read(env, s1__ign, s2__ign)
    return read if isinstance(read, int) else _compare(*read)


@kfunc("int bpf_strcasecmp(const char *s1__ign, const char *s2__ign)")
def bpf_strcasecmp(env: CallEnv, s1__ign: int, s2__ign: int) -> int:
    """Compare two strings without regard to case; return -1, 0 or 1."""
    read = _read(env, s1__ign, s2__ign)
    return read if isinstance(read, int) else _compare(read[0].lower(), read[1].lower())


@kfunc("int bpf_strchr(const char *s__ign, char c)")
def bpf_strchr(env: CallEnv, s__ign: int, c: int) -> int:
    """Return the index of the first `c`; NUL is found at the end."""
    read = _read(env, s__ign)
    return read if isinstance(read, int) else _index((read[0] + b"\0").find(c & 0xFF))


@kfunc("int bpf_strchrnul(const char *s__ign, char c)")
def bpf_strchrnul(env: CallEnv, s__ign: int, c: int) -> int:
    """Return the index of the first `c`, or the length if there is none."""
    read = _read(env, s__ign)
    if isinstance(read, int):
        return read
    position = read[0].find(c & 0xFF)
    return position if position >= 0 else len(read[0])


@kfunc("int bpf_strnchr(const char *s__ign, size_t count, char c)")
def bpf_strnchr(env: CallEnv, s__ign: int, count: int, c: int) -> int:
    """Return the index of the first `c` in `count` bytes."""
    read = _read(env, s__ign, limit=min(count, XATTR_SIZE_MAX))
    return read if isinstance(read, int) else _index((read[0] + b"\0")[:count].find(c & 0xFF))


@kfunc("int bpf_strrchr(const char *s__ign, int c)")
def bpf_strrchr(env: CallEnv, s__ign: int, c: int) -> int:
    """Return the index of the last `c`."""
    read = _read(env, s__ign)
    return read if isinstance(read, int) else _index((read[0] + b"\0").rfind(c & 0xFF))


@kfunc("int bpf_strlen(const char *s__ign)")
def bpf_strlen(env: CallEnv, s__ign: int) -> int:
    """Return the length of a string."""
    read = _read(env, s__ign)
    return read if isinstance(read, int) else len(read[0])


@kfunc("int bpf_strnlen(const char *s__ign, size_t count)")
def bpf_strnlen(env: CallEnv, s__ign: int, count: int) -> int:
    """Return the length of a string, at most `count`."""
    read = _read(env, s__ign, limit=min(count, XATTR_SIZE_MAX))
    return read if isinstance(read, int) else min(len(read[0]), count)


@kfunc("int bpf_strspn(const char *s__ign, const char *accept__ign)")
def bpf_strspn(env: CallEnv, s__ign: int, accept__ign: int) -> int:
    """Return the length of the prefix that consists of `accept` only."""
    read = _read(env, s__ign, accept__ign)
    return read if isinstance(read, int) else len(read[0]) - len(read[0].lstrip(read[1] or b"\0"))


@kfunc("int bpf_strcspn(const char *s__ign, const char *reject__ign)")
def bpf_strcspn(env: CallEnv, s__ign: int, reject__ign: int) -> int:
    """Return the length of the prefix that contains none of `reject`."""
    read = _read(env, s__ign, reject__ign)
    if isinstance(read, int):
        return read
    return next((index for index, char in enumerate(read[0]) if char in read[1]), len(read[0]))


@kfunc("int bpf_strstr(const char *s1__ign, const char *s2__ign)")
def bpf_strstr(env: CallEnv, s1__ign: int, s2__ign: int) -> int:
    """Return the index of the first `s2` in `s1`."""
    read = _read(env, s1__ign, s2__ign)
    return read if isinstance(read, int) else _index(read[0].find(read[1]))


@kfunc("int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len)")
def bpf_strnstr(env: CallEnv, s1__ign: int, s2__ign: int, len: int) -> int:
    """Return the index of the first `s2` in the first `len` bytes of `s1`."""
    read = _read(env, s1__ign, s2__ign)
    return read if isinstance(read, int) else _index(read[0][:len].find(read[1]))
