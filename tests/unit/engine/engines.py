"""The engines that every test of behaviour runs on."""

from __future__ import annotations

from ebpfvm.engine import Interpreter, Translator

ENGINES = [Interpreter, Translator]
