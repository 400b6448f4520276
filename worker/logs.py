"""Log lines: for people on a terminal, JSON elsewhere."""

import logging
import sys

import stamina
import structlog


def configure_logs(level: str) -> None:
    """Set up structlog, on standard error, for this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        processors.append(structlog.dev.ConsoleRenderer())
    else:
        processors += [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The client tells of every reconnect; what matters of it comes up as our own lines.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([_on_retry])


def _on_retry(details: stamina.instrumentation.RetryDetails) -> None:
    structlog.get_logger("worker.stages").warning(
        "a service is away: the chunk waits and is stored when it is back; polling goes on",
        error=str(details.caused_by),
        attempt=details.retry_num,
        in_seconds=round(details.wait_for, 2),
    )
