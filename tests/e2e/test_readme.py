"""The README's commands run as written, and its tables are what the database answers.

Every command of a ``console`` block is of one of these kinds, so that none goes unchecked:

- ``docker compose``: the files that it names exist.
- ``export``: the variable is a setting. The tests have values of their own.
- ``emotion-training``, or whatever names ``models/mine``: its arguments are right. Fitting takes a GPU and hours.
- any other with ``emotion-worker``: it runs, and prints what the README says.

After the marker ``<!-- scores -->`` stands what the released model says, after ``<!-- answers -->`` what the
queries of examples/queries.sql answer; where it does not match, the failure prints what to write.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from kafka import KafkaAdminClient
from psycopg.rows import dict_row
from services import PATIENCE_S, Postgres, wait_for

from training.cli import app as training_app
from worker.cli import app as worker_app
from worker.demo.services import embedded_kafka
from worker.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SQL = (ROOT / "examples" / "queries.sql").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^-- (.+?\?).*\n([^;]+);", SQL, re.MULTILINE))
"""The statement that answers each question."""


class Command(NamedTuple):
    """A command of the README and what it says that the command prints."""

    line: str
    output: str

    @property
    def kind(self) -> str:
        """How it is checked."""
        if self.line.startswith(("docker compose ", "export ")):
            return self.line.split()[0]
        if self.line.startswith("emotion-training ") or "models/mine" in self.line:
            return "parse"
        return "run" if "emotion-worker " in self.line else "unknown"


def commands() -> list[Command]:
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append(Command(line, output))
    return found


COMMANDS = commands()


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(command, id=command.line.rpartition("| ")[2]) for command in COMMANDS if command.kind == kind]


class Walk(NamedTuple):
    """What the commands have printed, and the database in which they have left their rows."""

    printed: dict[str, str]
    database_url: str

    def rows(self, statement: str, *values: str) -> list[dict[str, Any]]:
        url = self.database_url.replace("+psycopg", "")
        with psycopg.connect(url, row_factory=dict_row, options="-c timezone=UTC") as connection:
            return connection.execute(statement.encode(), values or None).fetchall()


@pytest.fixture(scope="module")
def walk(session_postgres: Postgres) -> Iterator[Walk]:
    """Every command that can run here has run, in the README's order, on an empty database and an empty topic."""
    url = session_postgres.url(session_postgres.create_database())
    with embedded_kafka() as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker)
        layout = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics({"transcripts": layout, "transcripts.dead-letters": layout})
        admin.close()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": broker,
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "WORKER_DATABASE_URL": url,
            "WORKER_HTTP_PORT": "0",
        }
        walk = Walk({}, url)
        run_all(walk, environment)
        yield walk


def run_all(walk: Walk, environment: dict[str, str]) -> None:
    worker: subprocess.Popen[bytes] | None = None
    try:
        for command in (command.line for command in COMMANDS if command.kind == "run"):
            if command == "emotion-worker run":
                worker = subprocess.Popen([*SHELL, f"exec {command}"], cwd=ROOT, env=environment)
                continue
            if "dead-letters" in command:
                wait_for(lambda: stored(walk) == published(walk), "all that was published to be stored")
            done = subprocess.run(
                [*SHELL, command], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            walk.printed[command] = done.stdout
        assert worker
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
    finally:
        if worker:
            worker.kill()
            worker.wait()


SHELL = ("bash", "-euo", "pipefail", "-c")


def published(walk: Walk) -> int:
    return sum(int(count) for count in re.findall(r"published (\d+)", "".join(walk.printed.values())))


def stored(walk: Walk) -> int:
    return int(walk.rows("SELECT coalesce(sum(next_offset), 0) AS stored FROM consumer_offsets")[0]["stored"])


@pytest.mark.parametrize("command", of_kind("run"))
def test_a_command_prints_what_the_readme_says(command: Command, walk: Walk) -> None:
    if not command.output:
        return
    printed = walk.printed[command.line]
    if printed.startswith("{"):
        assert command.output.startswith("{"), f"the README shall say:\n{printed}"
        assert_alike(json.loads(command.output), json.loads(printed))
    else:
        assert command.output == printed


def assert_alike(said: dict[str, Any], printed: dict[str, Any]) -> None:
    expected = said | {"scores": pytest.approx(said["scores"], abs=0.03)}
    assert printed == expected, f"the README shall say:\n{json.dumps(printed, ensure_ascii=False)}"


class Answer(NamedTuple):
    """A table of the README, and the last question asked before it."""

    question: str
    header: list[str]
    rows: list[list[str]]


def tables(marker: str) -> list[Answer]:
    found = []
    for part in re.finditer(rf"<!-- {marker} -->\n\n((?:\|.*\n)+)", README):
        header, _, *rows = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in part[1].splitlines())
        questions = re.findall(r"[A-Z][^.?!:\n`]+\?", README[: part.start()])
        found.append(Answer(questions[-1] if questions else "", header, rows))
    return found


def test_the_row_of_the_message_is_the_one_shown(walk: Walk) -> None:
    (table,) = tables("scores")
    (message,) = re.findall(r"^```json\n(.*)\n```$", README, re.MULTILINE)
    assert message in (ROOT / "examples/transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    found = walk.rows("SELECT * FROM emotion_results WHERE transcript_id = %s", json.loads(message)["id"])
    assert_among(table, found)


@pytest.mark.parametrize("answer", tables("answers"), ids=lambda answer: answer.question)
def test_a_question_has_the_answer_shown(answer: Answer, walk: Walk) -> None:
    assert_among(answer, walk.rows(QUERIES[answer.question]))


def test_each_question_of_the_examples_has_its_answer_in_the_readme() -> None:
    assert {answer.question for answer in tables("answers")} == set(QUERIES)


def test_the_query_shown_is_one_of_the_examples() -> None:
    (shown,) = re.findall(r"^```sql\n(.*?)LIMIT \d+;\n```$", README, re.MULTILINE | re.DOTALL)
    assert [shown] == [query.rpartition("LIMIT")[0] for query in QUERIES.values() if query.startswith(shown[:20])]


def assert_among(table: Answer, rows: list[dict[str, Any]]) -> None:
    """Each row of the table is one of these, in the table's columns."""
    found = [[row[name] for name in table.header] for row in rows]
    for shown in table.rows:
        if not any(all(map(same, shown, row)) for row in found):
            lines = "\n".join(f"| {' | '.join(map(text_of, row))} |" for row in found)
            pytest.fail(f"the README says {shown}, the database:\n{lines}")


def same(cell: str, value: Any) -> bool:
    """Whether a cell shows a value; another CPU rounds otherwise, which may carry a text over a threshold."""
    if isinstance(value, int | float | Decimal) and re.fullmatch(r"-?[\d.]+", cell):
        near = 0.03 if "." in cell else max(1.0, 0.35 * abs(float(value)))
        return abs(float(cell) - float(value)) <= near
    return cell == text_of(value)


def text_of(value: object) -> str:
    """As psql shows it, with two decimals."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00"
    if isinstance(value, list):
        return "{" + ",".join(value) + "}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    assert COMMANDS
    assert [command.line for command in COMMANDS if command.kind == "unknown"] == []


@pytest.mark.parametrize("command", of_kind("docker"))
def test_the_compose_files_that_a_command_names_exist(command: Command) -> None:
    for file in re.findall(r"-f (\S+)", command.line) or ["compose.yaml"]:
        assert (ROOT / file).is_file()


@pytest.mark.parametrize("command", of_kind("export"))
def test_a_variable_that_is_exported_is_a_setting(command: Command) -> None:
    name, _, value = command.line.removeprefix("export ").partition("=")
    field = name.removeprefix(PREFIX).lower()
    Settings.load(**{field: value})
    assert field in Settings.model_fields


@pytest.mark.parametrize("command", of_kind("parse"))
def test_a_command_that_is_not_run_has_arguments_that_exist(command: Command) -> None:
    program, *arguments = shlex.split(command.line.rpartition("| ")[2])
    app = {"emotion-training": training_app, "emotion-worker": worker_app}[program]
    app.parse_args(arguments, exit_on_error=False, print_error=False)
