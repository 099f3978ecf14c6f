"""A progress bar for what takes long, on stderr, at a terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starfish_fetch.errors import require

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    shown: bool, description: str, total: int, *, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how far a long task is, with its rate and the time that remains.

    Parameters
    ----------
    shown : bool
        Whether to show anything; nothing is shown where stderr is neither a terminal nor a
        notebook.
    description : str
        What is counted.
    total : int
        How much there is of it.
    in_bytes : bool, optional
        Whether bytes are counted. Default: False.

    Yields
    ------
    callable
        To be called, from any thread, with what was done since the last call.

    Raises
    ------
    MissingExtraError
        Without rich, if a bar is to be shown.
    """
    if not shown:
        yield lambda done: None
        return
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        raise require("rich", "cli", "a progress bar") from None
    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda done: None
        return
    counts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, advance=done)
