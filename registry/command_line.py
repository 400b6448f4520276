"""What the command lines of both programs share: the version, and how errors and exit codes look."""

import signal
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Final

import structlog
from cyclopts import App, CycloptsError

from schemas.errors import UserError

REFUSED: Final = 2
"""Exit code of a command that the user can put right."""

log = structlog.get_logger(__name__)


def version() -> str:
    """Return the version of the installed distribution."""
    return metadata.version("asr-emotions")


def run_command(app: App, account: Callable[[UserError], str], arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an expected error is told in one line.

    A reader that has seen enough, such as head, ends the command by SIGPIPE, as it ends any other.

    Args:
        app: commands of the program.
        account: returns what may be told of an error.
        arguments: words of the command line; None takes those of the process.
    """
    try:
        code = _exit_code(app, account, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
        raise
    return code


def tell_error(app: App, message: str) -> None:
    """Tell an error in one line on standard error: plain on a terminal, JSON elsewhere."""
    if sys.stderr.isatty():
        print(f"{app.name[0]}: {message}", file=sys.stderr)  # noqa: T201 - the command's answer.
    else:
        log.error(message)


def _exit_code(app: App, account: Callable[[UserError], str], arguments: Sequence[str] | None) -> int:
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
    except CycloptsError as error:
        tell_error(app, f"{' '.join(str(error).split())} `{_help_of(app, error)}` tells more")
        return REFUSED
    except UserError as error:
        tell_error(app, account(error))
        return REFUSED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _help_of(app: App, error: CycloptsError) -> str:
    return " ".join([app.name[0], *(error.command_chain or ()), "--help"])
