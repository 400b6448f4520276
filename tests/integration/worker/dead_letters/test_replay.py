"""Dead letters are listed, repaired and published again: each once, and each stays the record that it was."""

import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from commands import emotion_worker
from fakes import POISON
from flow import BAD, Flow
from kafka import KafkaProducer
from services import PATIENCE_S, dead_letters_of, wait_for

import worker.dead_letters.replay
from schemas.transcripts import record_id
from worker.dead_letters.headers import REPLAY_OF
from worker.dead_letters.replay import replay_dead_letters
from worker.kafka.unreadable import HeaderName
from worker.settings import Settings

pytestmark = pytest.mark.kafka

YESTERDAY_MS = time.time_ns() // 10**6 - 24 * 3600 * 1000
REPAIR = """\
import json, sys
message = json.load(sys.stdin)
if "txt" not in message:
    sys.exit("there is nothing to repair")
print(json.dumps({"text": message["txt"]}))
"""


def send(flow: Flow, *values: bytes, key: bytes | None = None, timestamp_ms: int | None = None) -> None:
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    for value in values:
        producer.send(flow.topic, value, key=key, partition=2, timestamp_ms=timestamp_ms).get(PATIENCE_S)
    producer.close()


def bury(flow: Flow) -> None:
    """Let a worker send what is bad to the dead letters, and end."""
    worker = flow.start(WORKER_DEAD_LETTERS_IN_A_ROW="0")
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert worker.stop() == 0


def settings_of(flow: Flow) -> dict[str, str]:
    """The settings of the flow, for a command whose output is read."""
    return {name: value for name, value in flow.settings.items() if name != "WORKER_LOG_LEVEL"}


def dead_letters(flow: Flow, *arguments: str) -> str:
    """Run a command that goes well, and return what it prints."""
    done = emotion_worker("dead-letters", *arguments, **settings_of(flow))
    assert done.returncode == 0, done.stderr
    return done.stdout


def replayed(flow: Flow) -> list[bytes]:
    """The values that replays have published."""
    records = flow.records(flow.topic)
    return sorted(record.value for record in records if REPLAY_OF in dict(record.headers))


def typo(number: int) -> bytes:
    return json.dumps({"txt": f"да {number}"}).encode()


def poisons(count: int) -> list[bytes]:
    """Messages that only the model refuses."""
    return [json.dumps({"text": f"{POISON} {number}"}, ensure_ascii=False).encode() for number in range(count)]


@pytest.fixture
def repairing(tmp_path: Path) -> tuple[str, str]:
    repair = tmp_path / "repair.py"
    repair.write_text(REPAIR, encoding="utf-8")
    return "--repair", f"{sys.executable} {repair}"


def test_what_is_repaired_is_replayed_once_and_what_is_not_stays_and_says_why(
    flow: Flow, repairing: tuple[str, str]
) -> None:
    send(flow, typo(1), *BAD)
    bury(flow)

    listed = dead_letters(flow, "list")
    first = dead_letters(flow, "replay", *repairing)
    again = dead_letters(flow, "replay", *repairing)
    listed_after = dead_letters(flow, "list")

    assert listed.count("decode: ") == listed.count("    waiting, rejected 20") == 1 + len(BAD)
    assert f"{flow.topic}[2]@0  decode: " in listed
    assert "exit code 1: there is nothing to repair" in first
    assert first.count(f"left {flow.topic}[2]@") == len(BAD)
    assert first.endswith(f"published 1 messages again, left {len(BAD)} where they are\n")
    assert again.endswith(f"published 0 messages again, left {len(BAD)} where they are\n")
    assert listed_after.count("    waiting, ") == len(BAD)
    assert listed_after.count("    replayed 20") == 1
    assert dead_letters(flow, "list", "--waiting").count("decode: ") == len(BAD)
    flow.start()
    flow.wait_for_rows(1)
    assert [row["text"] for row in flow.rows()] == ["да 1"]


def test_a_call_with_one_bad_segment_is_one_letter_and_all_of_its_rows_once_it_is_repaired(flow: Flow) -> None:
    """Replayed again, and delivered again, it has the same rows."""

    def call(name: str, bad: Any) -> bytes:
        segments = [{"text": "алло"}, {"text": "да", "speaker": bad}, {"text": "пока"}]
        return json.dumps({"id": name, "segments": segments}, ensure_ascii=False).encode()

    poisoned = {"id": "poisoned", "segments": [{"text": "алло"}, {"text": POISON}]}
    good = call("good", "agent")
    send(flow, call("broken", {"name": "agent"}), good, json.dumps(poisoned, ensure_ascii=False).encode())
    bury(flow)
    assert {row["message_id"] for row in flow.rows()} == {"good"}
    assert "decode: Expected `int | str | null`, got `object` - at `$.segments[1].speaker`" in dead_letters(
        flow, "list"
    )
    assert len(flow.dead_letters()) == 2

    repair = rf"""sed -e 's/{{"name": "agent"}}/"agent"/' -e 's/{POISON}/мед/'"""
    assert dead_letters(flow, "replay", "--repair", repair).startswith("published 2 messages again, left 0")
    for _ in range(2):
        bury(flow)
        rows = sorted((row["message_id"], row["part"], row["text"]) for row in flow.rows())
        whole = [(1, "алло"), (2, "да"), (3, "пока")]
        assert rows == [
            *(("broken", *part) for part in whole),
            *(("good", *part) for part in whole),
            ("poisoned", 1, "алло"),
            ("poisoned", 2, "мед"),
        ]
        flow.query("UPDATE consumer_offsets SET next_offset = 0")


def test_letters_that_one_replay_left_are_published_by_another(flow: Flow, repairing: tuple[str, str]) -> None:
    """What the letters between them did is kept for each, not as one position."""
    send(flow, b'{"tekst": "a"}', typo(1), b'{"tekst": "b"}', typo(2), b'{"tekst": "c"}')
    bury(flow)

    dead_letters(flow, "replay", *repairing)
    other = dead_letters(flow, "replay", "--repair", "sed s/tekst/text/")

    assert other == "published 3 messages again, left 0 where they are\n"
    flow.start()
    flow.wait_for_rows(5)
    assert sorted(row["text"] for row in flow.rows()) == ["a", "b", "c", "да 1", "да 2"]


def test_a_repair_that_makes_no_message_of_a_letter_leaves_it_unsent(flow: Flow) -> None:
    send(flow, typo(1), b'{"id": "no-text"}')
    bury(flow)

    said = dead_letters(flow, "replay", "--repair", "sed 's/txt/text/; s/no-text/repaired/'")

    assert f"left {flow.topic}[2]@1: " in said
    assert "text" in said
    assert said.endswith("published 1 messages again, left 1 where they are\n")
    assert dead_letters(flow, "list", "--waiting").count("decode: ") == 1


def test_what_still_holds_no_transcript_is_not_sent_to_stop_the_worker(flow: Flow) -> None:
    send(flow, *BAD)
    bury(flow)
    assert dead_letters(flow, "replay").endswith(f"published 0 messages again, left {len(BAD)} where they are\n")
    assert replayed(flow) == []


def test_a_replayed_record_keeps_its_timestamp_key_headers_and_identity(flow: Flow) -> None:
    send(flow, typo(1), key=b"call-1", timestamp_ms=YESTERDAY_MS)
    bury(flow)

    dead_letters(flow, "replay", "--repair", "sed s/txt/text/")

    flow.start()
    flow.wait_for_rows(1)
    (row,) = flow.rows()
    assert round(row["spoken_at"].timestamp() * 1000) == YESTERDAY_MS
    assert row["session_id"] == "call-1"
    assert row["transcript_id"] == record_id(flow.topic, 2, 0, YESTERDAY_MS)


def test_a_letter_that_fails_again_keeps_its_first_place(flow: Flow) -> None:
    send(flow, json.dumps({"text": f"{POISON} да"}).encode(), timestamp_ms=YESTERDAY_MS)
    bury(flow)
    dead_letters(flow, "replay")
    bury(flow)

    first, second = flow.dead_letters()
    assert first.headers == second.headers
    dead_letters(flow, "replay", "--repair", """printf '{"text": "да"}'""")
    flow.start()

    flow.wait_for_rows(1)
    assert [row["transcript_id"] for row in flow.rows()] == [record_id(flow.topic, 2, 0, YESTERDAY_MS)]


def test_only_letters_that_fit_all_filters_are_replayed(flow: Flow) -> None:
    send(flow, typo(1), json.dumps({"text": f"{POISON} 1"}).encode(), key=b"call-1")
    send(flow, json.dumps({"text": f"{POISON} 2"}).encode(), key=b"\xff\x01")
    bury(flow)
    now = datetime.now(UTC)
    before, after = (f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}" for hours in (-1, 1))

    def count(*filters: str) -> int:
        return dead_letters(flow, "list", *filters).count("rejected 20")

    assert (count(), count("--reason", "Poison"), count("--reason", "decode"), count("--key", "call-1")) == (3, 2, 1, 2)
    assert (count("--key", "ff01"), count("--key", "call")) == (1, 0)
    assert (count("--since", before), count("--since", after)) == (3, 0)
    assert (count("--until", before), count("--until", after)) == (0, 3)
    said = dead_letters(flow, "replay", "--reason", "poison", "--key", "call-1", "--since", before)
    assert said == "published 1 messages again, left 0 where they are\n"
    assert replayed(flow) == [json.dumps({"text": f"{POISON} 1"}).encode()]


def test_a_dry_run_shows_what_would_be_published_and_publishes_nothing(flow: Flow) -> None:
    send(flow, b'{"txt": "yes"}', *BAD)
    bury(flow)

    shown = dead_letters(flow, "replay", "--dry-run", "--repair", "sed s/txt/text/")

    assert f'would publish {flow.topic}[2]@0 to {flow.topic}\n    {{"text": "yes"}}\n' in shown
    assert shown.endswith(f"would publish 1 messages again, left {len(BAD)} where they are\n")
    assert replayed(flow) == []
    assert dead_letters(flow, "list").count("    waiting, ") == 1 + len(BAD)


def test_a_replay_that_is_killed_loses_and_doubles_nothing(flow: Flow) -> None:
    letters = poisons(6)
    send(flow, *letters)
    bury(flow)
    killing = """read -r letter; case $letter in *3*) kill -9 $PPID;; esac; printf '%s' "$letter" """

    killed = emotion_worker("dead-letters", "replay", "--repair", killing, **settings_of(flow))
    dead_letters(flow, "replay")

    assert killed.returncode == -signal.SIGKILL
    assert replayed(flow) == sorted(letters)


def die(*_: Any) -> None:
    raise SystemExit


@pytest.mark.parametrize("step", ["_send", "_end"])
def test_a_replay_that_dies_within_a_transaction_loses_and_doubles_nothing(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    letters = poisons(6)
    send(flow, *letters)
    bury(flow)
    for name, value in settings_of(flow).items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patched:
        send_all: Callable[..., Any] = worker.dead_letters.replay._Transactions._send
        patched.setattr(worker.dead_letters.replay._Transactions, "_end", die)
        if step == "_send":
            patched.setattr(worker.dead_letters.replay._Transactions, "_send", lambda *args: die(send_all(*args)))
        with pytest.raises(SystemExit):
            replay_dead_letters(Settings.load())

    dead_letters(flow, "replay")

    assert replayed(flow) == sorted(letters)


def test_of_two_replays_at_once_the_later_publishes_each_letter_once_and_the_earlier_ends(
    flow: Flow, tmp_path: Path
) -> None:
    letters = poisons(6)
    send(flow, *letters)
    bury(flow)
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    slow = f"touch {begun}; until [ -e {go_on} ]; do sleep 0.1; done; cat"
    answers = []
    earlier = Thread(
        target=lambda: answers.append(emotion_worker("dead-letters", "replay", "--repair", slow, **settings_of(flow)))
    )
    earlier.start()
    wait_for(begun.exists, what="the first letter of the earlier replay")

    assert dead_letters(flow, "replay") == "published 6 messages again, left 0 where they are\n"
    go_on.touch()
    earlier.join()

    (answer,) = answers
    assert answer.returncode == 2
    assert "another replay of this group has begun" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert replayed(flow) == sorted(letters)


def test_a_header_whose_name_is_no_text_goes_through_letter_and_replay_byte_by_byte(flow: Flow) -> None:
    name = HeaderName(b"\xff\xfetrace")
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    producer.send(flow.topic, b'{"txt": "yes"}', headers=[(name, b"1"), ("span", b"2")]).get(PATIENCE_S)
    producer.close()
    bury(flow)

    assert "\n    waiting, " in dead_letters(flow, "list")
    dead_letters(flow, "replay", "--repair", "sed s/txt/text/")

    (letter,) = flow.dead_letters()
    (record,) = (each for each in flow.records(flow.topic) if each.value == b'{"text": "yes"}')
    for each in (letter, record):
        assert [(name.encode(), value) for name, value in each.headers[:2]] == [
            (b"\xff\xfetrace", b"1"),
            (b"span", b"2"),
        ]
    flow.start()
    flow.wait_for_rows(1)


def test_a_letter_whose_headers_say_no_place_is_replayed_under_its_own(flow: Flow) -> None:
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    sent = producer.send(dead_letters_of(flow.topic), b'{"text": "yes"}', timestamp_ms=YESTERDAY_MS).get(PATIENCE_S)
    producer.close()

    dead_letters(flow, "replay")
    flow.start()

    flow.wait_for_rows(1)
    assert [row["transcript_id"] for row in flow.rows()] == [
        record_id(dead_letters_of(flow.topic), sent.partition, sent.offset, YESTERDAY_MS)
    ]


def test_a_topic_that_is_gone_ends_a_replay_with_one_line(flow: Flow) -> None:
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    place = {"topic": "no-such-topic", "partition": "0", "offset": "7", "timestamp": str(YESTERDAY_MS)}
    headers = [(f"__connect.errors.{name}", value.encode()) for name, value in place.items()]
    producer.send(dead_letters_of(flow.topic), b'{"text": "yes"}', headers=headers).get(PATIENCE_S)
    producer.close()

    done = emotion_worker("dead-letters", "replay", **settings_of(flow))

    assert done.returncode == 2
    assert "there is no topic no-such-topic" in done.stderr
    assert "Traceback" not in done.stderr
    assert "waiting" in dead_letters(flow, "list")
