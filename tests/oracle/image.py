"""The guest's file system, an uncompressed cpio archive made of Debian packages, and the archive format itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

NOT_NEEDED = {
    "perl-base",
    "debconf",
    "dpkg",
    "tar",
    "kmod",
    "linux-base",
    "init-system-helpers",
    "media-types",
    "netbase",
    "tzdata",
    "readline-common",
    "sensible-utils",
    "ucf",
    "coreutils",
    "debianutils",
    "install-info",
    "initramfs-tools",
}
MODULES = (
    "net/sched",
    "net/core",
    "net/packet",
    "net/psample",
    "drivers/net/dummy",
    "drivers/net/veth",
    "drivers/net/ifb",
    "drivers/net/tun",
    "drivers/net/slip",
    "drivers/net/netkit",
    "drivers/net/macvlan",
    "drivers/virtio",
    "drivers/char/virtio_console",
)
LIBRARY_WASTE = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "pydoc_data",
    "sqlite3",
    "curses",
    "dbm",
    "xmlrpc",
    "__pycache__",
    "asyncio",
    "multiprocessing",
    "unittest",
    "wsgiref",
    "distutils",
    "venv",
    "lib2to3",
)


def unpack(debs: list[Path], root: Path, release: str) -> None:
    """Unpacks the packages into `root`, a merged-/usr layout, without documents and firmware."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    skip = ["--exclude=./usr/share/*", "--exclude=./usr/lib/debug/*", "--exclude=./etc/*", "--exclude=./var/*"]
    for deb in debs:
        name = deb.name.split("_")[0]
        if name in NOT_NEEDED:
            continue
        words = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--wildcards", *skip]
        if name.startswith(("linux-modules-", "linux-image-")):
            places = [f"./{place}/modules/{release}" for place in ("usr/lib", "lib")]
            words += [f"{place}/kernel/{part}*" for place in places for part in MODULES]
            words += [f"{place}/modules.{part}" for place in places for part in ("order", "builtin*")]
            words += [f"./boot/{part}-{release}" for part in ("vmlinuz", "config")]
        feed = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        done = subprocess.run(words, stdin=feed.stdout, capture_output=True, text=True)
        feed.wait()
        wrong = [x for x in done.stderr.splitlines() if "Not found in archive" not in x and "previous errors" not in x]
        if wrong:
            raise SystemExit(f"unpacking {deb.name}: {wrong[0]}")


def finish(root: Path, release: str) -> None:
    """Small things a guest needs: folders, applets, module index, the kernel's configuration, a slim Python."""
    for name in ("proc", "sys", "dev", "tmp", "run", "etc", "root", "boot", "inside"):
        (root / name).mkdir(exist_ok=True)
    modules = root / "usr/lib/modules" / release
    for module in modules.rglob("*.ko.xz"):
        subprocess.run(["xz", "-d", str(module)], check=True)
    if (modules / "config").exists():
        shutil.move(modules / "config", root / "boot" / f"config-{release}")  # libbpf reads it for __kconfig externs
    busybox = next(p for p in (root / "usr/bin/busybox", root / "usr/sbin/busybox") if p.exists())
    subprocess.run([str(busybox), "depmod", "-b", str(root), release], check=True, capture_output=True)
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if not any(os.path.lexists(root / "usr" / place / applet) for place in ("bin", "sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    sh = root / "usr/bin/sh"
    sh.unlink(missing_ok=True)
    sh.symlink_to("dash")  # busybox's shell would run its own tc and ip
    (root / "usr/sbin/modprobe").unlink(missing_ok=True)
    (root / "usr/sbin/modprobe").symlink_to("../bin/busybox")  # what the kernel calls for a missing qdisc
    for library in (root / "usr/lib").glob("python3*"):
        for waste in LIBRARY_WASTE:
            shutil.rmtree(library / waste, ignore_errors=True)
        for waste in library.glob("config-*"):
            shutil.rmtree(waste)
    for waste in ("gconv", "audit", "perl-base"):
        for path in (root / "usr/lib").glob(f"*/{waste}"):
            shutil.rmtree(path, ignore_errors=True)
    for place in ("share", "include", "games", "lib/systemd", "lib/python3", "lib/modules-load.d", "lib/locale"):
        shutil.rmtree(root / "usr" / place, ignore_errors=True)


def entry(name: str, mode: int, data: bytes, inode: int) -> bytes:
    """One member of a newc cpio archive, owned by root."""
    raw = name.encode() + b"\0"
    head = b"070701" + b"".join(b"%08X" % x for x in (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
    head += raw
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def archive(root: Path, out: Path, prefix: str = "") -> None:
    """Writes a folder as a newc cpio archive, padded so that another may follow."""
    with open(out, "wb") as f:
        inode = 1
        if prefix:
            f.write(entry(prefix, stat.S_IFDIR | 0o755, b"", inode))
        for path in sorted(root.rglob("*")):
            info = path.lstat()
            name = f"{prefix}/{path.relative_to(root)}" if prefix else str(path.relative_to(root))
            if path.is_symlink():
                data = os.readlink(path).encode()
            elif path.is_file():
                data = path.read_bytes()
            elif path.is_dir():
                data = b""
            else:
                continue
            inode += 1
            f.write(entry(name, info.st_mode, data, inode))
        f.write(entry("TRAILER!!!", 0, b"", 0))
        f.write(b"\0" * (-f.tell() % 512))
