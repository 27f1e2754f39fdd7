"""What holds for every test: examples of hypothesis are the same each time, unless one goes looking for new ones.

The default suite is deterministic: a failure on a fresh clone is a fault of the change and not of the dice.
`tox -e laws` sets EBPFVM_EXPLORE: then examples are random, and the seed with which they can be made again is printed.
"""

from __future__ import annotations

import os
import secrets

import pytest
from hypothesis import settings

EXPLORE = bool(os.environ.get("EBPFVM_EXPLORE"))

settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", database=None, print_blob=True, deadline=None)
settings.load_profile("explore" if EXPLORE else "fixed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of an exploration, unless one was given with --hypothesis-seed."""
    if EXPLORE and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbelow(1 << 32))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print the seed of an exploration."""
    return f"exploring with --hypothesis-seed={config.option.hypothesis_seed}" if EXPLORE else None
