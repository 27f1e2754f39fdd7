"""Adds to an installation what is made from the code: manual pages and completion of the command line in shells.

All metadata stands in setup.cfg.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from setuptools import setup
from setuptools.command.install import install  # noqa: F401 (registers what distutils calls install_data)

from distutils.command.install_data import install_data  # isort: skip (setuptools provides this module)


def shared_files() -> dict[str, str]:
    """Path below the prefix of an installation -> text."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    try:
        from ebpfvm.cli.completion import SCRIPTS, completion_script
        from ebpfvm.cli.man_pages import man_pages
    finally:
        del sys.path[0]
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    return {**{f"share/man/man1/{name}": text for name, text in man_pages(date)},
            **{path: f"{completion_script(shell)}\n" for shell, path in SCRIPTS.items()}}


class InstallShared(install_data):
    """Writes these files when a wheel is put together, so that they cannot lag behind the code."""

    def run(self) -> None:
        built = Path(self.get_finalized_command("build").build_base)
        self.data_files = []
        for path, text in shared_files().items():
            file = built / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            self.data_files.append((str(Path(path).parent), [str(file)]))
        super().run()


setup(cmdclass={"install_data": InstallShared}, data_files=[("share/man/man1", [])])
