"""The installed commands do what their help says, from any folder."""

import itertools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import WORKER, emotion_worker
from kafka import KafkaConsumer, TopicPartition
from services import PATIENCE_S, Postgres, dead_letters_of, wait_for
from sqlalchemy import create_engine, text

from schemas.emotions import EMOTIONS

SAMPLES = Path(__file__).parents[1] / "data" / "forms"
COMMANDS = [
    "run",
    "migrate",
    "publish",
    "classify",
    "rescore",
    "backfill",
    "demo",
    "dead-letters list",
    "dead-letters replay",
]


@pytest.fixture
def empty_database(session_postgres: Postgres) -> Iterator[str]:
    """Make a database without tables; its URL as an operator writes it."""
    name = session_postgres.create_database()
    yield session_postgres.url(name).replace("+psycopg", "")
    session_postgres.drop_database(name)


def query(url: str, statement: str) -> list[dict[str, Any]]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(text(statement)).mappings()]
    engine.dispose()
    return found


def records(kafka: str, topic: str, count: int) -> list[Any]:
    """Return a number of records of a topic."""
    patience = {"consumer_timeout_ms": PATIENCE_S * 1000}
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", **patience)
    found = list(itertools.islice(consumer, count))
    consumer.close()
    return found


def assert_refused(done: subprocess.CompletedProcess[str], *hints: str) -> None:
    """It ended with exit code 2 and one line, which holds the hints."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (complaint,) = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
    assert all(hint in complaint["event"] for hint in hints), complaint


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_an_example(command: str) -> None:
    done = emotion_worker(*command.split(), "--help")
    assert done.returncode == 0
    _, example = done.stdout.split("For example:")
    assert f"emotion-worker {command}" in example


def test_the_help_names_every_command() -> None:
    listed = emotion_worker("--help").stdout + emotion_worker("dead-letters", "--help").stdout
    assert all(f"│ {command.split()[-1]} " in listed for command in COMMANDS)


def test_migrate_works_from_any_folder_and_again(empty_database: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = emotion_worker("migrate", cwd=tmp_path, WORKER_DATABASE_URL=empty_database)
        assert (done.returncode, done.stdout) == (0, "the database is up to date\n"), done.stderr
    assert query(empty_database, "SELECT count(*) FROM emotion_results") == [{"count": 0}]


def test_publish_takes_a_file_of_json_and_leaves_what_is_no_transcript_for_the_worker(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    file = tmp_path / "lines"
    file.write_text('{"id": "c-1", "text": "да", "session_id": "call-1"}\n\n{not judged\n', encoding="utf-8")

    done = emotion_worker("publish", str(file), WORKER_KAFKA_BOOTSTRAP_SERVERS=kafka, WORKER_KAFKA_TOPIC=topic)

    assert (done.returncode, done.stdout) == (0, f"published 2 messages to {topic}\n"), done.stderr
    assert "1 messages hold no transcript, the first at line 3" in done.stderr
    assert {(record.key, record.value.decode()) for record in records(kafka, topic, 2)} == {
        (b"call-1", '{"id": "c-1", "text": "да", "session_id": "call-1"}'),
        (None, "{not judged"),
    }


def test_publish_takes_a_call_as_a_recognizer_wrote_it_and_keeps_its_order(kafka: str, topic: str) -> None:
    file = SAMPLES / "whisper.srt"
    settings = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka, "WORKER_KAFKA_TOPIC": topic}
    done = emotion_worker("publish", str(file), "--session", "call-17", **settings)
    assert (done.returncode, done.stdout) == (0, f"published 5 messages to {topic}\n"), done.stderr
    found = records(kafka, topic, 5)
    assert {record.key for record in found} == {b"call-17"}
    assert [json.loads(record.value)["id"] for record in found] == [f"call-17-{number}" for number in range(5)]


def test_publish_refuses_a_file_before_anything_of_it_is_published(kafka: str, topic: str, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes("алло\n".encode() * 600 + "алло\n".encode("cp1251"))
    settings = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka, "WORKER_KAFKA_TOPIC": topic}
    assert_refused(emotion_worker("publish", str(file), **settings), "line 601: it is not UTF-8", "iconv")
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    assert sum(consumer.end_offsets(partitions).values()) == 0
    consumer.close()


def test_publish_takes_standard_input(kafka: str, topic: str) -> None:
    done = emotion_worker(
        "publish", "-", stdin="алло\n", WORKER_KAFKA_BOOTSTRAP_SERVERS=kafka, WORKER_KAFKA_TOPIC=topic
    )
    assert (done.returncode, done.stdout) == (0, f"published 1 messages to {topic}\n"), done.stderr
    assert [record.value.decode() for record in records(kafka, topic, 1)] == ['{"text":"алло"}']


def test_publish_to_a_topic_that_does_not_exist_is_refused(kafka: str) -> None:
    done = emotion_worker(
        "publish", "-", stdin="алло\n", WORKER_KAFKA_BOOTSTRAP_SERVERS=kafka, WORKER_KAFKA_TOPIC="no-such-topic"
    )
    assert_refused(done, "there is no topic no-such-topic")


def test_classify_answers_each_line_in_order_from_any_folder(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": "first", "text": "Мне очень страшно за неё!"}),
        json.dumps({"text": "ты меня бесишь как же я зол"}),
        "",
        json.dumps({"text": ""}),
        *(json.dumps({"text": f"фраза номер {number}"}) for number in range(300)),
    ]

    done = emotion_worker("classify", stdin="\n".join(lines), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == [
        "Мне очень страшно за неё!",
        "ты меня бесишь как же я зол",
        "",
        *(f"фраза номер {number}" for number in range(300)),
    ]
    assert {tuple(answer) for answer in answers} == {
        ("id", "text", "emotions", "scores", "model_version", "convention")
    }
    fear, anger, silence = answers[:3]
    assert (fear["id"], fear["emotions"]) == ("first", ["fear"])
    assert (anger["id"], anger["emotions"]) == (None, ["anger"])
    assert tuple(fear["scores"]) == EMOTIONS
    assert all(0 <= score <= 1 for score in fear["scores"].values())
    assert (silence["emotions"], silence["scores"]) == ([], None)


def test_a_whole_call_as_one_message_has_an_emotion_for_each_turn() -> None:
    calm = ["добрый день чем могу помочь", "я хотела бы уточнить адрес доставки", "назовите пожалуйста номер заказа"]
    furious = ["да вы что издеваетесь надо мной", "я в бешенстве это безобразие", "верните мои деньги сволочи"]
    turns = [*calm * 7, *furious * 13]
    call = {"id": "call-60", "text": " ".join(turns), "segments": [{"text": f" {turn}"} for turn in turns]}
    windowed = {"id": "endless", "text": "ненавижу" * 100}

    done = emotion_worker("classify", stdin="\n".join(json.dumps(each) for each in (call, windowed)))

    assert done.returncode == 0, done.stderr
    *answers, endless = map(json.loads, done.stdout.splitlines())
    assert [(answer["text"], answer["cut"]) for answer in answers] == [(turn, "segment") for turn in turns]
    assert [answer["id"] for answer in answers[:2]] == ["call-60", "call-60#0002"]
    assert {tuple(answer["emotions"]) for answer in answers[: len(calm) * 7]} == {("neutral",)}
    assert all("anger" in answer["emotions"] for answer in answers[len(calm) * 7 :])
    assert endless["windows"] > 1


def test_classify_says_who_spoke_and_leaves_another_language_without_scores() -> None:
    lines = [
        json.dumps({"text": "ты меня бесишь", "speaker": "client", "language": "Russian"}),
        json.dumps({"text": "maghan unamaidy", "language": "kk", "attributes": {"channel": 0}}),
    ]
    done = subprocess.run(
        [WORKER, "classify"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"WORKER_CHANNEL_ROLES": "0=agent"},
    )
    russian, kazakh = map(json.loads, done.stdout.splitlines())
    assert (russian["role"], russian["language"], russian["emotions"]) == ("customer", "ru", ["anger"])
    assert "not_scored" not in russian
    assert (kazakh["role"], kazakh["language"], kazakh["not_scored"]) == ("agent", "kk", "language")
    assert (kazakh["emotions"], kazakh["scores"]) == ([], None)


def test_classify_reads_a_file_and_stops_when_its_reader_does(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("алло\n" * 2_000, encoding="utf-8")
    with subprocess.Popen([WORKER, "classify", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["text"] == "алло"
        process.stdout.close()
        assert "Traceback" not in process.stderr.read().decode()
    assert process.returncode in {0, -signal.SIGPIPE}


@pytest.fixture
def heeded_ctrl_c() -> Iterator[None]:
    """A shell has its background jobs ignore Ctrl-C, and their children would too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_ends_a_command_without_a_trace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_broker:
        address = f"127.0.0.1:{silent_broker.getsockname()[1]}"
        with subprocess.Popen(
            [WORKER, "dead-letters", "list"],
            env=os.environ | {"WORKER_KAFKA_BOOTSTRAP_SERVERS": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            silent_broker.accept()
            process.send_signal(signal.SIGINT)
            assert process.communicate() == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_a_command_whose_reader_has_gone_ends_as_others_do(empty_database: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [WORKER, "migrate"],
        env=os.environ | {"WORKER_DATABASE_URL": empty_database},
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        said = process.communicate()[1].splitlines()
    assert {json.loads(line)["level"] for line in said} <= {"info"}, "it complains of its reader"
    assert process.returncode == -signal.SIGPIPE


def test_classify_names_the_line_that_is_no_transcript() -> None:
    assert_refused(emotion_worker("classify", stdin='{"text": "да"}\n{"id": 1}\n'), "line 2 holds no transcript")
    assert_refused(emotion_worker("classify", stdin='алло\n{"id": 1}\n'), "line 2 is no plain text")


def test_classify_refuses_a_folder_that_holds_no_bundle(tmp_path: Path) -> None:
    done = emotion_worker("classify", "--model", str(tmp_path), stdin="алло\n")
    assert_refused(done, "manifest.json is missing", "emotion-training fit")


@pytest.mark.parametrize("command", ["classify", "publish"])
def test_a_file_that_cannot_be_read_is_refused(command: str, tmp_path: Path) -> None:
    assert_refused(emotion_worker(command, "nowhere"), "cannot read nowhere: No such file or directory")
    assert_refused(emotion_worker(command, str(tmp_path)), "Is a directory")


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes("алло\n".encode("cp1251"))
    assert_refused(emotion_worker("classify", str(file)), "line 1: it is not UTF-8")


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_a_command_that_needs_a_database_asks_for_its_url(command: str) -> None:
    assert_refused(emotion_worker(command), "WORKER_DATABASE_URL is not set", "postgresql://")


def test_a_misspelt_setting_is_refused_with_the_nearest_name() -> None:
    done = emotion_worker("run", WORKER_KAFKA_TOPICS="transcripts")
    assert_refused(done, "WORKER_KAFKA_TOPICS is no setting", "did you mean WORKER_KAFKA_TOPIC?")


def test_a_setting_that_cannot_be_right_is_refused_by_its_name() -> None:
    assert_refused(emotion_worker("run", WORKER_MAX_RECORDS="many"), "WORKER_MAX_RECORDS: ", "got 'many'")


def test_from_an_empty_database_to_a_row_by_three_commands(
    kafka: str, topic: str, empty_database: str, tmp_path: Path
) -> None:
    settings = {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "WORKER_KAFKA_TOPIC": topic,
        "WORKER_KAFKA_GROUP_ID": f"group-of-{topic}",
        "WORKER_KAFKA_DEAD_LETTER_TOPIC": dead_letters_of(topic),
        "WORKER_DATABASE_URL": empty_database,
        "WORKER_HTTP_PORT": "0",
    }
    assert emotion_worker("migrate", **settings).returncode == 0
    assert emotion_worker("publish", "-", stdin="мне очень страшно за нее\n", **settings).returncode == 0
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen([WORKER, "run"], env=os.environ | settings, stderr=log, cwd=tmp_path)
    try:
        wait_for(lambda: query(empty_database, "SELECT text FROM emotion_results"), "the row")
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
    finally:
        worker.kill()
        worker.wait()
    (row,) = query(empty_database, "SELECT * FROM emotion_results")
    assert (row["text"], row["emotions"]) == ("мне очень страшно за нее", ["fear"])
    assert row["fear"] > 0.5
