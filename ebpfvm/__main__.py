"""Entry point of `python -m ebpfvm`."""

from __future__ import annotations

import sys

from ebpfvm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
