"""Boots the guest and talks with it: JSON lines over a virtio serial port.

A `Guest` is one virtual machine that stays up for as many requests as wanted. When a program hangs or kills it, the
oldest unanswered request gets an "error" and the others are asked again of a fresh machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.oracle import cache, image

WINDOW = 200  # requests that may be under way
WINDOW_BYTES = 1 << 20
BOOT_LIMIT = 600  # seconds; a busy host boots slowly, and a machine that ends is seen at once


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class GuestDied(Exception):
    """The machine ended or stopped answering."""


class Guest:
    """One virtual machine.

    Args:
        timeout: seconds that one request may take in the guest before the machine is given up.
        virtual_time: count instructions instead of host time (QEMU -icount): slower, but timers behave the same
            each time.
        memory: MiB.
    """

    def __init__(self, timeout: float = 60, virtual_time: bool = False, memory: int = 1024):
        self.timeout, self.virtual_time, self.memory = timeout, virtual_time, memory
        self.boots = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Boots (4 to 15 seconds); called by itself when needed."""
        qemu = shutil.which("qemu-system-x86_64")
        if not qemu:
            raise cache.NotSetUp(
                "qemu-system-x86_64 is missing: apt-get install --no-install-recommends qemu-system-x86"
            )
        kernel, base = cache.part("kernel"), cache.part("image")
        self._work = Path(tempfile.mkdtemp(prefix="oracle."))
        image.archive(cache.KIT / "inside", self._work / "inside.cpio", "inside")
        with open(self._work / "initrd", "wb") as out:
            for piece in (base, self._work / "inside.cpio"):
                with open(piece, "rb") as f:
                    shutil.copyfileobj(f, out)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._work / "rpc"))
        listener.listen(1)
        accel, more, clock = "tcg", "", []
        if self.virtual_time:
            accel, more = "tcg,thread=single", "nokaslr"
            clock = [
                "-icount",
                "shift=1,align=off,sleep=off",
                "-rtc",
                "base=2026-01-01T00:00:00,clock=vm",
                "-seed",
                os.environ.get("ORACLE_SEED", "1"),
            ]
        words = [
            qemu,
            "-accel",
            accel,
            *clock,
            "-cpu",
            "max",
            "-M",
            "q35",
            "-m",
            str(self.memory),
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-kernel",
            str(kernel),
            "-initrd",
            str(self._work / "initrd"),
            "-append",
            "console=ttyS0 rdinit=/inside/init panic=-1 quiet loglevel=3 tsc=reliable mitigations=off "
            f"net.ifnames=0 {more}",
            "-serial",
            f"file:{self._work / 'console'}",
            "-device",
            "virtio-serial-pci",
            "-chardev",
            f"socket,id=rpc,path={self._work / 'rpc'}",
            "-device",
            "virtserialport,chardev=rpc,name=oracle.rpc",
        ]
        with open(self._work / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent
            )
        self.boots += 1
        listener.settimeout(30)
        try:
            self._line, _ = listener.accept()
        except TimeoutError:
            raise GuestDied(f"QEMU did not start: {self._last_words()}") from None
        finally:
            listener.close()
        self._line.setblocking(False)
        self._in, self._out = bytearray(), bytearray()
        self._ready = False
        while not self._ready:
            for message in self._exchange(time.monotonic() + BOOT_LIMIT):
                self._ready |= bool(message.get("ready"))

    def stop(self) -> None:
        """Ends the machine and removes its working folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._line.close()
            shutil.rmtree(self._work, ignore_errors=True)
            self._process = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, one answer."""
        return next(iter(self.ask_all([request])))

    def ask_all(self, requests: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Answers in the order of the requests, many of which are under way at a time."""
        source, waiting, ended, size, tries = iter(requests), deque(), False, 0, 0
        while True:
            try:
                if self._process is None:
                    self.start()
                    for _, raw in waiting:
                        self._out += raw
                while not ended and len(waiting) < WINDOW and (size < WINDOW_BYTES or not waiting):
                    request = next(source, None)
                    if request is None:
                        ended = True
                        break
                    raw = json.dumps(request).encode() + b"\n"
                    waiting.append((request, raw))
                    size += len(raw)
                    self._out += raw
                if not waiting:
                    return
                for answer in self._exchange(time.monotonic() + self.timeout):
                    size -= len(waiting.popleft()[1])
                    tries = 0
                    yield answer
            except GuestDied as death:
                booted = self._process is not None and self._ready
                self.stop()
                tries += 1
                if not booted and tries > 2:
                    raise
                if booted:
                    size -= len(waiting.popleft()[1])
                    yield {"error": f"guest: {death}"}

    def _exchange(self, end: float) -> list[dict[str, Any]]:
        """Sends and receives until at least one message is there."""
        with selectors.DefaultSelector() as wait:
            while b"\n" not in self._in:
                wait.register(self._line, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0))
                ready = wait.select(max(0.0, end - time.monotonic()))
                wait.unregister(self._line)
                if not ready:
                    raise GuestDied("no answer in time")
                try:
                    if ready[0][1] & selectors.EVENT_WRITE:
                        sent = self._line.send(self._out[:65536])
                        del self._out[:sent]
                    if ready[0][1] & selectors.EVENT_READ:
                        got = self._line.recv(1 << 20)
                        if not got:
                            raise GuestDied(f"the machine ended: {self._last_words()}")
                        self._in += got
                except OSError as wrong:
                    raise GuestDied(f"{wrong}: {self._last_words()}") from None
        whole, _, rest = bytes(self._in).rpartition(b"\n")
        self._in = bytearray(rest)
        return [json.loads(line) for line in whole.split(b"\n")]

    def _last_words(self) -> str:
        texts = [p.read_text(errors="replace") for p in (self._work / "qemu.log", self._work / "console") if p.exists()]
        return " | ".join("".join(texts).strip().splitlines()[-6:])


def from_environment(timeout: float) -> Guest:
    """Return a guest as $ORACLE_VIRTUAL_TIME and $ORACLE_MEMORY (MiB) say; it ends when this process is terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return Guest(timeout, bool(os.environ.get("ORACLE_VIRTUAL_TIME")), int(os.environ.get("ORACLE_MEMORY") or 1024))
