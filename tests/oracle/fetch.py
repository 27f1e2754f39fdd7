"""Downloads the guest's Debian packages with apt, without touching the host's own package state."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

USERLAND = ["bpftool", "iproute2", "libbpf1", "python3", "busybox-static", "dash"]


def host_mirror() -> str:
    """The Debian archive that this machine's own apt uses (after one `apt-get update`)."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"], capture_output=True, text=True
    ).stdout
    for line in listed.splitlines():
        release, _, address = line.partition(" ")
        if address.rstrip("/").endswith("/debian") and "security" not in release:
            return address.rstrip("/")
    raise SystemExit("this machine's apt names no Debian archive; give one with --mirror")


class Apt:
    """apt with lists, cache and (empty) dpkg status of its own, under one folder."""

    def __init__(self, base: Path, suite: str, mirror: str | None = None):
        base = base.resolve()
        self.debs = base / "archives"
        for need in (self.debs / "partial", base / "lists" / "partial"):
            need.mkdir(parents=True, exist_ok=True)
        (base / "sources.list").write_text(f"deb {mirror or host_mirror()} {suite} main\n")
        (base / "status").touch()
        keys = next((p for p in Path("/usr/share/keyrings").glob("debian-archive-keyring.*")), None)
        self.options = [
            f"Dir::Etc::SourceList={base}/sources.list",
            "Dir::Etc::SourceParts=/dev/null",
            f"Dir::State::Lists={base}/lists",
            f"Dir::State::Status={base}/status",
            f"Dir::Cache={base}",
            f"Dir::Cache::Archives={self.debs}",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Install-Recommends=false",
            "APT::Sandbox::User=root",
            "Binary::apt-get::APT::Keep-Downloaded-Packages=true",
            "APT::Keep-Downloaded-Packages=true",
            "Debug::NoLocking=1",
            "pkgCacheFile::Essential=none",
            "Acquire::Languages=none",
        ]
        if keys is not None:
            self.options.append(f"Dir::Etc::Trusted={keys}")

    def _run(self, tool: str, *words: str) -> str:
        flags = [x for option in self.options for x in ("-o", option)]
        done = subprocess.run([tool, *flags, *words], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{tool} {' '.join(words)} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def update(self) -> None:
        self._run("apt-get", "update")

    def kernels(self, series: str) -> dict[str, list[str]]:
        """Return releases of the plain amd64 flavour that the suite offers, newest last, with the packages of each."""
        text = self._run("apt-cache", "search", "--names-only", rf"^linux-(binary|image)-{re.escape(series)}.*-amd64$")
        names = [line.split()[0] for line in text.splitlines()]
        found: dict[str, list[str]] = {}
        for kind in ("image", "binary"):  # newer kernels split what older ones have in one package
            for name in names:
                release = name.removeprefix(f"linux-{kind}-")
                if name.startswith(f"linux-{kind}-") and re.fullmatch(r"[0-9.]+(\+[^-]+|-\d+)-amd64", release):
                    found[release] = [name, f"linux-modules-{release}"] if kind == "binary" else [name]
        return dict(sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))

    def download_alone(self, packages: list[str]) -> list[Path]:
        """The packages without what they depend on."""
        have = {deb.name for deb in self.debs.glob("*.deb")}
        for name in packages:
            done = subprocess.run(
                ["apt-get", *[x for option in self.options for x in ("-o", option)], "download", name],
                cwd=self.debs,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"apt-get download {name} failed:\n{done.stderr[-1500:]}")
        wanted = tuple(f"{name}_" for name in packages)
        found = [deb for deb in sorted(self.debs.glob("*.deb")) if deb.name.startswith(wanted)]
        return found or [deb for deb in self.debs.glob("*.deb") if deb.name not in have]

    def download(self, packages: list[str]) -> list[Path]:
        """The packages and all they depend on, as .deb files."""
        self._run("apt-get", "install", "--download-only", "--yes", *packages)
        plan = self._run("apt-get", "install", "--simulate", *packages)
        wanted = {(m[1], m[2]) for m in re.finditer(r"^Inst (\S+) \((\S+) ", plan, re.M)}
        found = []
        for deb in sorted(self.debs.glob("*.deb")):
            name, version, _ = deb.name.split("_")
            if (name, version.replace("%3a", ":")) in wanted:
                found.append(deb)
        return found
