"""Traces and log lines show where and of which kind, and nothing that a person said."""

import subprocess
import sys
from typing import Any

import psycopg
import pytest
import structlog

from registry.traces import format_trace
from schemas.transcripts import InvalidTranscript
from worker import cli
from worker.errors import ConfigurationError, RejectedData, loggable_text
from worker.observability.logs import configure_logs

MARK = "секретное слово"


def raise_from_two(text: str) -> None:
    """Raise an error that came from another; both quote the text, which is a local variable besides."""
    try:
        {}[text]
    except KeyError as error:
        raise ValueError(text) from error


def test_a_trace_has_all_frames_and_kinds_and_neither_messages_nor_variables_that_quote() -> None:
    with pytest.raises(ValueError, match=MARK) as raised:
        raise_from_two(MARK)
    trace = format_trace(raised.value, loggable_text)
    assert "in raise_from_two" in trace
    assert trace.index("KeyError") < trace.rindex("ValueError")
    assert MARK not in trace


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigurationError("set WORKER_X"), "set WORKER_X"),
        (InvalidTranscript("the record has no value"), "the record has no value"),
        (RejectedData("a score is no number"), "a score is no number"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (psycopg.errors.CheckViolation(f"DETAIL: Failing row contains ({MARK})"), "CheckViolation"),
        (UnicodeEncodeError("cp1251", MARK, 0, 1, "no such character"), "UnicodeEncodeError"),
        (KeyError(MARK), "KeyError"),
    ],
)
def test_of_an_error_that_may_quote_only_its_kind_is_told(error: Exception, said: str) -> None:
    assert loggable_text(error) == said


def test_why_data_are_rejected_is_told_by_the_kind_of_what_refused_them() -> None:
    error = RejectedData(f"invalid input: {MARK}")
    error.__cause__ = psycopg.errors.InvalidTextRepresentation(MARK)
    assert loggable_text(error) == "RejectedData: InvalidTextRepresentation"


_DYING = """
import logging, threading, structlog
from worker.observability.logs import configure_logs
configure_logs("info")
said = "секретное слово"
def die():
    try:
        {}[said]
    except KeyError as error:
        structlog.get_logger().exception("logged")
        logging.getLogger("library").warning("failed: %s", error, exc_info=True)
        logging.getLogger("library").warning("%d", said)
        raise ValueError(said) from error
class Unraisable:
    def __del__(self):
        die()
Unraisable()
thread = threading.Thread(target=die)
thread.start(); thread.join()
die()
"""


def test_neither_a_log_line_nor_a_dying_thread_or_process_shows_a_text() -> None:
    done = subprocess.run([sys.executable, "-c", _DYING], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("ValueError") >= 3
    assert "in die" in done.stderr
    assert done.stderr.count("failed: KeyError") == 3
    assert MARK not in done.stderr + done.stdout


def test_a_terminal_shows_no_variables_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("registry.logs.show_traces", lambda _: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    before: dict[str, Any] = structlog.get_config()
    configure_logs("info")
    try:
        raise_from_two(MARK)
    except ValueError:
        structlog.get_logger().exception("it failed")
    finally:
        structlog.configure(**before)
    said = capsys.readouterr().err
    assert "in raise_from_two" in said
    assert MARK not in said


def test_a_command_that_ends_by_refused_data_does_not_quote_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = RejectedData(MARK)
    refused.__cause__ = psycopg.errors.RaiseException(MARK)

    def refuse(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr("worker.cli.app", refuse)
    assert cli._run() == 2
    said = capsys.readouterr()
    assert "RejectedData: RaiseException" in said.out + said.err
    assert MARK not in said.out + said.err
