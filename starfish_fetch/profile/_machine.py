"""What of a machine seconds depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from starfish_fetch.cpus import available_cpus
from starfish_fetch.profile._values import Machine

__all__ = ["this_machine"]

_PACKAGES = ("starfish-fetch", "numpy", "tifffile", "imageio", "imagecodecs")


def this_machine() -> Machine:
    """Return the facts of this machine, and no name of it.

    Examples
    --------
    >>> "numpy" in this_machine().packages
    True
    """
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Machine(
        cpus=available_cpus(),
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        python=platform.python_version(),
        packages=packages,
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor()
