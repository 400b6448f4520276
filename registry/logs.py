"""Log lines of both programs: for people on a terminal, JSON elsewhere."""

import logging
import sys
from collections.abc import Callable

import structlog

from registry.traces import format_trace, show_traces


def configure_logs(level: str, account: Callable[[BaseException], str]) -> None:
    """Set up structlog, on standard error, for this process.

    Args:
        level: least level that is logged, such as info.
        account: returns what may be told of an error.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(lambda raised: format_trace(raised[1], account)),
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    show_traces(account)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up at each line: whoever calls this within a process may have put another stream in its place since.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
