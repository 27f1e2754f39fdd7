"""Download Debian packages of a kernel and a small userland, and build the guest from them.

examples:
  python -m tests.oracle setup
  python -m tests.oracle setup --series 6.18 --again
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.oracle import cache, fetch, image
from tests.oracle.guest import Guest


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--suite", default="sid",
                        help="Debian suite that the userland comes from (default: %(default)s)")
    parser.add_argument("--kernel-suite",
                        help="Debian suite that the kernel comes from (default: that of the userland)")
    parser.add_argument("--series", default="7.2", help="use the newest kernel of this series (default: %(default)s)")
    parser.add_argument("--kernel", help="use exactly this release, such as 7.2.13+deb14-amd64")
    parser.add_argument("--mirror",
                        help="Debian archive to download from (default: the one that apt uses on this machine)")
    parser.add_argument("--again", action="store_true", help="build a new guest even if there is one")


def run(args: argparse.Namespace) -> None:
    """Download, build, and boot once."""
    base = cache.folder()
    if (base / "about.json").exists() and not args.again:
        print(f"{base} has kernel {cache.about()['kernel']}; add --again to build a new guest")
        return
    for need in ("apt-get", "dpkg-deb", "xz", "tar"):
        if not shutil.which(need):
            raise SystemExit(f"{need}: not found on this machine; install it first")
    base.mkdir(parents=True, exist_ok=True)
    say = Said()
    apt = fetch.Apt(base / "apt", args.suite, args.mirror)
    apt.update()
    source = apt
    if args.kernel_suite and args.kernel_suite != args.suite:
        source = fetch.Apt(base / f"apt-{args.kernel_suite}", args.kernel_suite, args.mirror)
        source.update()
    release, packages = chosen(source, args)
    say(f"kernel {release}; lists read")
    debs = apt.download(fetch.USERLAND) + source.download_alone(packages)
    say(f"{len(debs)} packages, {sum(d.stat().st_size for d in debs) >> 20} MB, downloaded")
    with tempfile.TemporaryDirectory(dir=base) as work:
        root = Path(work) / "root"
        root.mkdir()
        image.unpack(debs, root, release)
        places = (root / "usr/lib/modules" / release / "vmlinuz", root / "boot" / f"vmlinuz-{release}")
        shutil.move(next(place for place in places if place.exists()), base / "kernel")
        image.finish(root, release)
        image.archive(root, base / "image")
    say(f"image of {(base / 'image').stat().st_size >> 20} MB built")
    versions = {d.name.split("_")[0]: d.name.split("_")[1].replace("%3a", ":") for d in debs}
    (base / "about.json").write_text(
        json.dumps({"kernel": release, "suite": args.suite, "packages": versions}, indent=1)
    )
    ask_for_types(base)
    say("guest booted; vmlinux.btf and vmlinux.h taken from it")
    print(f"ready: {base}")


def chosen(source: fetch.Apt, args: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the requested release, or the newest of the series, and its packages."""
    found = source.kernels("" if args.kernel else args.series)
    if args.kernel in found:
        return args.kernel, found[args.kernel]
    if args.kernel or not found:
        raise SystemExit(
            f"no kernel {args.kernel or args.series} is offered; there are {', '.join(source.kernels('')) or 'none'}"
        )
    return next(reversed(found.items()))


def ask_for_types(base: Path) -> None:
    """Boot once, to show that the guest works, and copy the kernel's types out of it."""
    with Guest() as guest:
        for name, command in (
            ("vmlinux.btf", "cat /sys/kernel/btf/vmlinux"),
            ("vmlinux.h", "bpftool btf dump file /sys/kernel/btf/vmlinux format c"),
        ):
            reply = guest.ask({"op": "shell", "command": f"{command} > /tmp/x && gzip -1c /tmp/x | base64 -w 0"})
            if reply.get("error") or reply["rc"]:
                raise SystemExit(f"the guest could not tell its types: {reply}")
            done = subprocess.run(
                ["gzip", "-dc"], input=base64.b64decode(reply["stdout"]), capture_output=True, check=True
            )
            (base / name).write_bytes(done.stdout)


class Said:
    """Print progress lines with the seconds that have passed."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", file=sys.stderr)
