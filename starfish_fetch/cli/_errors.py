"""How an error ends a command: one line on stderr, and an exit status."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import click

__all__ = ["Failure", "Group", "TerminatedError", "asked", "one_line", "others_code"]

_SELF_EXPLAINING = (OSError, ValueError, ImportError)


class Failure(click.ClickException):
    """What was asked for did not work."""

    exit_code = 1


class InterruptedFailure(Failure):
    """Somebody pressed Ctrl-C."""

    exit_code = 130


class TerminatedFailure(Failure):
    """The process was told to end."""

    exit_code = 143


class TerminatedError(KeyboardInterrupt):
    """Raised where the process is when it is told to end, so that it cleans up as it goes."""


@contextmanager
def _ended_by_failures() -> Iterator[None]:
    """Within it, an interrupt is a :class:`Failure`; click would end it in two lines."""
    try:
        yield
    except TerminatedError as error:
        raise TerminatedFailure(_with_notes("terminated", error)) from error
    except KeyboardInterrupt as error:
        raise InterruptedFailure(_with_notes("interrupted", error)) from error


class Context(click.Context):
    """What a command is given, and gives back at its end."""

    def __exit__(self, *error: Any) -> bool | None:
        with _ended_by_failures():
            return super().__exit__(*error)


class Group(click.Group):
    """Commands that end every failure in one line."""

    context_class = Context

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line."""
        with _ended_by_failures():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what it raises into a :class:`Failure`."""
        try:
            return self._invoke(ctx)
        except click.ClickException as error:
            if ctx.parent is None and ctx.params.get("debug") and error.__cause__ is not None:
                traceback.print_exception(error.__cause__)
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            with _ended_by_failures():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads the output any more
            hint = "" if isinstance(error, _SELF_EXPLAINING) else " (--debug shows where)"
            raise Failure(one_line(error) + hint) from error

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command line and exit."""
        click_main: Any = super().main
        if not standalone_mode:
            return click_main(*args, standalone_mode=False, **extra)
        try:
            status = click_main(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            click.echo(f"error: {_message(error)}", err=True)
            status = error.exit_code
        except click.Abort:
            click.echo("error: interrupted", err=True)
            status = InterruptedFailure.exit_code
        sys.exit(status if isinstance(status, int) else 0)


def _message(error: click.ClickException) -> str:
    message = _joined([error.format_message()])
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message += f" (see '{error.ctx.command_path} --help')"
    return message


@contextmanager
def others_code() -> Iterator[None]:
    """Within it, a fetcher's code can neither end the command well nor write into its output."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise Failure(f"the fetcher's code called sys.exit({error.code!r})") from error


@contextmanager
def asked(name: str | None = None) -> Iterator[None]:
    """Within it, a value that is not allowed is the fault of who gave the command.

    Parameters
    ----------
    name : str, optional
        The option that the value came by.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        prefix = "" if name is None else f"{name}: "
        raise click.UsageError(prefix + one_line(error)) from error


def one_line(error: BaseException) -> str:
    """Return what an exception says, and what its notes add, in one line.

    Examples
    --------
    >>> error = FileNotFoundError(2, "No such file or directory", "r1.tiff")
    >>> error.add_note("tile (fov=0, round=1, ch=0, zplane=0)")
    >>> one_line(error)
    'r1.tiff: No such file or directory; tile (fov=0, round=1, ch=0, zplane=0)'
    >>> one_line(KeyError("r9"))
    "KeyError: 'r9'"
    """
    return _with_notes(_text(error), error)


def _with_notes(text: str, error: BaseException) -> str:
    return _joined([text, *getattr(error, "__notes__", ())])


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = "" if error.filename is None else f"{error.filename}: "
        return named + error.strerror
    text = str(error)
    if isinstance(error, _SELF_EXPLAINING) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _joined(parts: list[str]) -> str:
    lines = [" ".join(map(str.strip, part.splitlines())).strip() for part in parts]
    return "; ".join(filter(None, lines))
