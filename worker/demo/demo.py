"""The whole flow on one machine, with nothing installed but Python packages."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Engine, text

from schemas.emotions import EMOTIONS
from worker.dead_letters.read import read_dead_letters
from worker.demo.services import embedded_kafka, embedded_postgres
from worker.errors import ConfigurationError
from worker.forms.files import TranscriptFile
from worker.kafka.publish import publish
from worker.kafka.topics import create_topics
from worker.observability.logs import configure_logs
from worker.run import run_worker
from worker.settings import Settings
from worker.signals import stop_on_signals
from worker.storage.database import connect
from worker.storage.migrate import migrate

_EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "transcripts.jsonl"
_SHOWN: Final = 20
_REPORT: Final = Path("calls.html")
_MIXED: Final = """
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY emotions ORDER BY transcript_id) AS place FROM emotion_results
    ) AS placed ORDER BY place, transcript_id LIMIT :shown
"""
"""Rows of as many different sets of emotions as there are."""

_TRY: Final = """\
SELECT session_id, role, segments, share_anger, peak_anger FROM session_emotions ORDER BY peak_anger DESC LIMIT 5;
SELECT * FROM hourly_emotions WHERE emotion = 'sadness' ORDER BY share DESC LIMIT 5;
SELECT text, fear FROM emotion_results WHERE emotions @> ARRAY['fear'] ORDER BY fear DESC LIMIT 5;"""

_COLOURS: Final = dict(
    zip(EMOTIONS, ("red", "green", "magenta", "yellow", "blue", "cyan", "bright_black"), strict=True)
)


def run_demo(*, keep: bool) -> None:
    """Publish the sample calls, classify them and show what stands in the database.

    Args:
        keep: leave broker and database up until Ctrl-C.

    Raises:
        ConfigurationError: the samples are not installed with the code.
    """
    if not _EXAMPLES.is_file():
        raise ConfigurationError(f"{_EXAMPLES} is not there: run the demo from a checkout of the repository")
    console = Console()
    with embedded_kafka() as broker, embedded_postgres() as url:
        settings = Settings.load(
            kafka_bootstrap_servers=broker,
            kafka_session_timeout_ms=6_000,  # The embedded broker takes half of it for each join.
            database_url=url,
            http_port=0,
            max_records=32,  # So that rows come a few at a time, for the eye.
            log_level="error",
        )
        configure_logs(settings.log_level)
        migrate(url)
        create_topics(settings, settings.kafka_topic, settings.kafka_dead_letter_topic)
        engine = connect(url, "emotion-demo")
        _flow(settings, engine, console)
        _show_rows(engine, console)
        _show_summary(settings, engine, console)
        console.print("\n[bold]Try next[/bold], with `emotion-worker demo --keep` and psql:\n" + _TRY)
        _write_page(settings, console)
        if keep:
            _wait_for_interrupt(broker, url, console)
        engine.dispose()


def _flow(settings: Settings, engine: Engine, console: Console) -> None:
    """Publish, and run a worker until all of it is stored."""
    with TranscriptFile(str(_EXAMPLES), for_rows=True) as examples:
        messages = list(examples.messages())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress, _worker(settings) as worker:
        sending = progress.add_task("published to Kafka", total=len(messages))
        count = publish(messages, settings, on_sent=lambda: progress.advance(sending))
        storing = progress.add_task("classified into Postgres (the model loads first)", total=count)
        while (stored := _stored(engine)) < count:
            if not worker.is_alive():
                raise ConfigurationError("the worker has stopped; its last line says why")
            progress.update(storing, completed=stored)
            time.sleep(0.05)
        progress.update(storing, completed=stored)


@contextmanager
def _worker(settings: Settings) -> Iterator[threading.Thread]:
    stop = threading.Event()
    worker = threading.Thread(target=run_worker, args=(settings,), kwargs={"stop": stop}, name="worker")
    worker.start()
    try:
        yield worker
    finally:
        stop.set()
        worker.join()


def _stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets")).scalar_one())


def _rows(engine: Engine, statement: str, **values: int) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]


def _show_rows(engine: Engine, console: Console) -> None:
    table = Table(title="emotion_results (some of its rows)", header_style="bold", expand=False)
    for name in ("time", "session", "text", "emotions with scores"):
        table.add_column(name, overflow="fold")
    rows = _rows(engine, _MIXED, shown=_SHOWN)
    for row in sorted(rows, key=lambda row: (row["spoken_at"], row["session_id"] or "")):
        marks = [f"[{_COLOURS[emotion]}]{emotion} {row[emotion]:.2f}[/]" for emotion in row["emotions"]]
        table.add_row(f"{row['spoken_at']:%m-%d %H:%M}", row["session_id"] or "", row["text"], " ".join(marks))
    console.print(table)


def _show_summary(settings: Settings, engine: Engine, console: Console) -> None:
    (total,) = _rows(
        engine,
        "SELECT count(*) AS rows, count(DISTINCT session_id) AS sessions, "
        "extract(epoch FROM max(processed_at) - min(processed_at)) AS seconds FROM emotion_results",
    )
    letters = list(read_dead_letters(settings))
    rate = f", {total['rows'] / float(total['seconds']):.0f} msg/s" if total["seconds"] else ""
    console.print(
        f"\n[bold]{total['rows']} rows[/bold] of {total['sessions']} sessions, {len(letters)} dead letters{rate}"
    )
    counts = Counter(
        emotion for row in _rows(engine, "SELECT emotions FROM emotion_results") for emotion in row["emotions"]
    )
    most = max(counts.values(), default=1)
    for emotion, count in counts.most_common():
        console.print(f"  {emotion:9}[{_COLOURS[emotion]}]{'█' * max(1, 40 * count // most)}[/] {count}")
    console.print("\n[bold]Dead letters[/bold]")
    for letter in letters:
        value = (letter.value or b"").decode("utf-8", "replace")
        console.print(f"  {letter.errors['exception.message']}\n    {value[:90]}", markup=False, highlight=False)


def _write_page(settings: Settings, console: Console) -> None:
    """Write the report of the sample calls, whose days the examples name."""
    try:
        from worker.report.run import Order, write_report  # noqa: PLC0415 - the libraries of an extra.
    except ModuleNotFoundError as error:
        console.print(f"\nNo report: {error.name} is not installed; `pip install 'asr-emotions[report]'`", markup=False)
        return
    write_report(Order(since="2026-03-02", until="2026-03-05", calls=10), settings, _REPORT)
    console.print(f"\n[bold]Look[/bold], in a browser: {_REPORT.absolute()}", soft_wrap=True)


def _wait_for_interrupt(broker: str, url: str, console: Console) -> None:
    stop = threading.Event()
    stop_on_signals(stop)
    plain = url.replace("+psycopg", "")
    console.print(f"\nStill up until Ctrl-C:\n  Kafka     {broker}\n  Postgres  {plain}\n  psql '{plain}'")
    stop.wait()
    console.print("stopped")
