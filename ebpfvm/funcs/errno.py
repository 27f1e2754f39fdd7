"""The kernel's errno values that helpers return (uapi/asm-generic/errno.h), the same on every host."""

from __future__ import annotations

from typing import Final

EPERM: Final = 1
ENOENT: Final = 2
E2BIG: Final = 7
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
ENONET: Final = 64
EPROTO: Final = 71
EOVERFLOW: Final = 75
ENOTSUPP: Final = 524
EOPNOTSUPP: Final = 95
ENETUNREACH: Final = 101
EPROTONOSUPPORT: Final = 93
EAFNOSUPPORT: Final = 97
ENETDOWN: Final = 100
ESOCKTNOSUPPORT: Final = 94
