from __future__ import annotations

import errno
import os
import sys

import pytest

from ebpfvm import errnos


def test_names_and_texts() -> None:
    assert (errnos.name(22), errnos.name(524), errnos.name(3999)) == ("EINVAL", "ENOTSUPP", "3999")
    assert (errnos.describe(2), errnos.describe(524)) == ("No such file or directory", "Unknown error 524")


@pytest.mark.parametrize("name", sorted(set(errnos.NAMES.values()) - {"ENOTSUPP"}))
def test_a_linux_host_says_the_same(name: str) -> None:
    if sys.platform == "linux":
        number = getattr(errnos, name)
        assert (getattr(errno, name), os.strerror(number)) == (number, errnos.describe(number))
