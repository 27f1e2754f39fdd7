"""Guest: reads requests (JSON lines) from a port, answers each with one JSON line."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import traceback

OPERATIONS = {"raw": "raw", "maps": "maps", "verdicts": "verdicts", "run": "objrun", "qdisc": "qdisc"}


def shell(request: dict) -> dict:
    done = subprocess.run(request["command"], shell=True, capture_output=True, text=True)
    return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def answer(request: dict) -> dict:
    name = request.pop("op")
    if name == "shell":
        return shell(request)
    return importlib.import_module(OPERATIONS[name]).answer(request)


def main(port: str) -> None:
    line = os.open(port, os.O_RDWR)
    with open(line, "rb", closefd=False) as requests:
        say(line, {"ready": True, "kernel": platform.release()})
        for text in requests:
            try:
                reply = answer(json.loads(text))
            except Exception as wrong:  # a request must never end the server
                reply = {"error": f"{type(wrong).__name__}: {wrong}", "traceback": traceback.format_exc()}
            say(line, reply)


def say(line: int, reply: dict) -> None:
    rest = json.dumps(reply).encode() + b"\n"
    while rest:
        rest = rest[os.write(line, rest[:32768]) :]


main(sys.argv[1])
