"""``starfish-fetch``, the command line.

Nothing imports this package; it, and of ``starfish_fetch`` it alone with ``testing``, imports
``synth``.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started with, and exit with its status."""
    try:
        from starfish_fetch.cli._app import run
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        print(
            f"error: the command line needs {package}: pip install 'starfish-fetch[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    try:
        run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
