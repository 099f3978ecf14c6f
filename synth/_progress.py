"""A progress bar over bytes, on stderr, at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starfish_fetch.errors import require

__all__ = ["progress_over"]


@contextmanager
def progress_over(
    total: int, what: str, *, shown: bool, purpose: str
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with each number of bytes done; safe from several threads.

    Parameters
    ----------
    total : int
        Bytes in all.
    what : str
        Stands beside the bar.
    shown : bool
        Whether there is to be a bar at all.
    purpose : str
        What needs the bar, for the message where rich is not installed.
    """
    if not shown:
        yield lambda done: None
        return
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError as error:
        raise require("rich", "cli", purpose) from error
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        yield lambda done: None
        return
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
