"""Guest: a network device whose wire holds exactly one packet.

A SLIP line on a pseudo terminal stops its transmit queue after every packet, and goes on when the other end of the
terminal has been read. So the root qdisc is asked for one packet at a time: when something is sent while the wire is
empty, and after each frame that is taken off.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import termios
import time
import tty

import bpf

N_SLIP, SIOCGIFNAME, SIOCSIFENCAP = 1, 0x8910, 0x8926
END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdc", b"\xdd"
SO_SNDBUFFORCE, SO_TXTIME, ETH_P_IP, TCX_EGRESS, LEAST = 32, 61, 0x0800, 47, 32


def run(command: str) -> str:
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def packet(identity: int, size: int, tos: int, sport: int, dport: int) -> bytes:
    """IPv4/UDP; the id is the IP identification and the first four bytes of the payload."""
    size = max(size, LEAST)
    payload = struct.pack("!I", identity) + bytes(size - LEAST)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, tos, size, identity & 0xFFFF, 0, 64, 17, 0, bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2])
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return (
        head[:10]
        + struct.pack("!H", check)
        + head[12:]
        + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
        + payload
    )


class Wire:
    """The device is up at once, without IPv6 chatter."""

    def __init__(self, mtu: int):
        run("modprobe slip")
        self.master, self.slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self.slave)
        fcntl.ioctl(self.slave, termios.TIOCSETD, struct.pack("i", N_SLIP))
        name = bytearray(16)
        fcntl.ioctl(self.slave, SIOCGIFNAME, name)
        self.device = name.split(b"\0")[0].decode()
        run(f"sysctl -qw net.ipv6.conf.{self.device}.disable_ipv6=1 || true")
        fcntl.ioctl(self.slave, SIOCSIFENCAP, struct.pack("i", 0))
        run(f"ip link set {self.device} mtu {mtu} up")
        self.ifindex = socket.if_nametoindex(self.device)
        os.set_blocking(self.master, False)
        self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
        self._sender.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("ii", time.CLOCK_MONOTONIC, 0))
        self._tai = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._tai.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
        self._mono = self._sender
        self._got = b""
        self._hash: int | None = None
        self._hash_mode = (False, False)

    def hash_is_mark(self, wanted: bool, tcindex: bool = False) -> None:
        """A tcx program sets the flow hash to skb->mark, so that it does not hang on the kernel's random key."""
        if (wanted, tcindex) == self._hash_mode:
            return
        self._hash_mode = (wanted, tcindex)
        if self._hash is not None:
            os.close(self._hash)
            self._hash = None
        if not wanted:
            return
        step = lambda op, regs, off, imm: struct.pack("<BBhi", op, regs, off, imm)  # noqa: E731
        more = (
            step(0x61, 0x62, 8, 0) + step(0x57, 0x02, 0, 15) + step(0x63, 0x26, 44, 0) if tcindex else b""
        )  # tc_index = mark & 15
        code = (
            step(0xBF, 0x16, 0, 0)
            + step(0x61, 0x12, 8, 0)
            + step(0x85, 0, 0, 48)
            + more
            + step(0xB7, 0, 0, -1)
            + step(0x95, 0, 0, 0)
        )  # mark; set_hash; TCX_NEXT
        program, errno, log = bpf.load(code, "sched_cls")
        if program is None:
            raise OSError(errno, log)
        attr = struct.pack("<IIII", program, self.ifindex, TCX_EGRESS, 0).ljust(64, b"\0")
        self._hash = bpf.check(bpf.call(bpf.LINK_CREATE, attr), "BPF_LINK_CREATE")
        os.close(program)

    def send(
        self,
        identity: int,
        size: int,
        *,
        mark: int,
        priority: int,
        tos: int,
        sport: int,
        dport: int,
        txtime: int | None,
    ) -> int:
        """The errno of send(): 105 (ENOBUFS) is what a qdisc's NET_XMIT_DROP becomes."""
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark))
        when = [(socket.SOL_SOCKET, SO_TXTIME, struct.pack("Q", txtime))] if txtime is not None else []
        try:
            self._sender.sendmsg([packet(identity, size, tos, sport, dport)], when, 0, (self.device, ETH_P_IP))
            return 0
        except OSError as refused:
            return refused.errno or -1

    def clock(self, name: str, deadline: bool = False) -> int:
        """Which clock transmit times are in; what to add to a monotonic time."""
        if name == "mono":
            self._sender = self._mono
            return 0
        self._sender = self._tai
        self._tai.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("iI", time.CLOCK_TAI, 1 if deadline else 0))
        return time.clock_gettime_ns(time.CLOCK_TAI) - time.monotonic_ns()

    def receive(self, wait: float) -> dict | None:
        """One frame off the wire, or None when none comes within `wait` seconds."""
        while True:
            self._got = self._got.lstrip(END)
            frame, end, rest = self._got.partition(END)
            if end:
                self._got = rest
                frame = frame.replace(ESC + ESC_END, END).replace(ESC + ESC_ESC, ESC)
                found = {"id": struct.unpack("!I", frame[28:32])[0], "len": len(frame)}
                return {**found, "tos": frame[1]} if frame[1] else found
            if not self.something(wait):
                return None
            self._got += os.read(self.master, 65536)

    def something(self, wait: float) -> bool:
        return bool(select.select([self.master], [], [], wait)[0])

    def drain(self) -> None:
        while self.receive(0.02):
            pass
