"""The errno values of Linux (uapi/asm-generic/errno.h), as programs and callers of bpf(2) see them.

They are the same on every host, unlike Python's `errno`, which has the numbers of the host. Only code that deals with
the host (files, its own bpf(2)) uses Python's.
"""

from __future__ import annotations

from typing import Final

EPERM: Final = 1
ENOENT: Final = 2
ESRCH: Final = 3
E2BIG: Final = 7
EBADF: Final = 9
EAGAIN: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EBUSY: Final = 16
EEXIST: Final = 17
ENODEV: Final = 19
EINVAL: Final = 22
ENOSPC: Final = 28
ERANGE: Final = 34
EDEADLK: Final = 35
ENOSYS: Final = 38
ENONET: Final = 64
EPROTO: Final = 71
EOVERFLOW: Final = 75
EOPNOTSUPP: Final = 95
EAFNOSUPPORT: Final = 97
ENETDOWN: Final = 100
EINPROGRESS: Final = 115
ENOTSUPP: Final = 524  # internal to the kernel; user space's headers do not define it

NAMES: Final[dict[int, str]] = {value: name for name, value in list(globals().items()) if isinstance(value, int)}

_TEXTS: Final = {
    EPERM: "Operation not permitted",
    ENOENT: "No such file or directory",
    ESRCH: "No such process",
    E2BIG: "Argument list too long",
    EBADF: "Bad file descriptor",
    EAGAIN: "Resource temporarily unavailable",
    ENOMEM: "Cannot allocate memory",
    EACCES: "Permission denied",
    EFAULT: "Bad address",
    EBUSY: "Device or resource busy",
    EEXIST: "File exists",
    ENODEV: "No such device",
    EINVAL: "Invalid argument",
    ENOSPC: "No space left on device",
    ERANGE: "Numerical result out of range",
    EDEADLK: "Resource deadlock avoided",
    ENOSYS: "Function not implemented",
    ENONET: "Machine is not on the network",
    EPROTO: "Protocol error",
    EOVERFLOW: "Value too large for defined data type",
    EOPNOTSUPP: "Operation not supported",
    EAFNOSUPPORT: "Address family not supported by protocol",
    ENETDOWN: "Network is down",
    EINPROGRESS: "Operation now in progress",
}


def name(number: int) -> str:
    """Return the name of a positive errno; the number itself if it has none here.

    >>> name(22), name(524), name(3999)
    ('EINVAL', 'ENOTSUPP', '3999')
    """
    return NAMES.get(number, str(number))


def describe(number: int) -> str:
    """Return the text that strerror(3) returns on Linux for a positive errno.

    >>> describe(2), describe(524)
    ('No such file or directory', 'Unknown error 524')
    """
    return _TEXTS.get(number, f"Unknown error {number}")
