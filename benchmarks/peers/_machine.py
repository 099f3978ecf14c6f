"""What the seconds were measured on; nothing that names a computer or its user."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from starfish_fetch.cpus import available_cpus

__all__ = ["machine"]


def machine() -> dict[str, str | int]:
    """Return processor, CPUs that may be used, memory, system, and the versions that matter."""
    return {
        "processor": _processor(),
        "cpus": available_cpus(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every platform
        return 0
