"""The arrangement of folders that lets `maps/` and `sched/` be `ebpfvm.maps` and `ebpfvm.sched` everywhere."""

from __future__ import annotations

import configparser
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.tree import PACKAGE_FOLDERS, ROOT, modules, shown, tracked_files


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_setup_cfg_names_every_package() -> None:
    found = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(setup_cfg()["options"]["packages"].split()) == found | {"ebpfvm.samples"}  # data only


def test_the_core_depends_on_three_libraries() -> None:
    lines = setup_cfg()["options"]["install_requires"].strip().splitlines()
    assert sorted(line.split()[0] for line in lines) == ["ply", "pyelftools", "sortedcontainers"]


def test_the_wheel_takes_samples_at_every_depth() -> None:
    """setuptools has no pattern for "and all folders below"."""
    patterns = [part.strip() for part in setup_cfg()["options.package_data"]["ebpfvm.samples"].split(",")]
    samples = ROOT / "samples"
    assert {path for pattern in patterns for path in samples.glob(pattern) if path.is_file()} >= {
        path for path in tracked_files() if path.is_relative_to(samples)}


def test_links_lead_to_the_real_folders() -> None:
    for package, folder in PACKAGE_FOLDERS.items():
        link = ROOT / package.replace(".", "/")
        if link.is_dir():
            assert link.samefile(folder)
        else:  # a checkout without symbolic links; ebpfvm/_checkout.py takes care of it
            assert link.read_text() == f"../{folder.name}"


def test_no_conftest_at_the_root() -> None:
    """It would put the root on sys.path first, and with it the folder `sched` before the standard module."""
    assert not (ROOT / "conftest.py").exists()


def test_the_standard_sched_is_reachable_from_the_root() -> None:
    code = (
        "import sched, sys\n"
        "import ebpfvm.sched\n"
        "sched.scheduler\n"
        "assert sys.modules['sched'] is sched is not ebpfvm.sched\n"
        "print(ebpfvm.sched.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ebpfvm.sched\n", "", 0)


def checkout_module(folder: Path) -> ModuleType:
    """ebpfvm/_checkout.py as it would be imported from `folder`."""
    copy = folder / "_checkout.py"
    copy.write_bytes((ROOT / "ebpfvm" / "_checkout.py").read_bytes())
    spec = importlib.util.spec_from_file_location("_checkout", copy)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "ebpfvm").mkdir()
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "__init__.py").touch()
    return tmp_path / "ebpfvm"


def test_a_checkout_without_links_searches_the_root(package: Path) -> None:
    (package / "maps").write_text("../maps")
    path = [str(package)]
    checkout_module(package).extend_search_path(path)
    assert path == [str(package), str(package.parent)]


def test_a_checkout_with_links_is_left_alone(package: Path) -> None:
    (package / "maps").symlink_to("../maps")
    path = [str(package)]
    checkout_module(package).extend_search_path(path)
    assert path == [str(package)]


def test_no_tracked_file_names_a_place_on_some_machine() -> None:
    # Put together here, so that this file does not hold them.
    places = [("/" + name + "/").encode() for name in ("work", "root", "home")] + [b"/" + b"farm"]
    strays = [
        f"{shown(path)} holds {place.decode()}"
        for path in tracked_files()
        for place in places
        if place in path.read_bytes()
    ]
    assert strays == []
