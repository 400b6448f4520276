"""What is accepted can be stored in Postgres and read back as it was."""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from chunks import TOPIC, Message, chunk_of
from fakes import StubClassifier
from hypothesis import given, settings
from hypothesis import strategies as st
from services import engine_fixture
from sqlalchemy import Engine, text

from schemas.transcripts import Transcript
from worker.claims import Claim
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Partition, Rejected
from worker.stages import Inference
from worker.storage.database import connect
from worker.storage.store import ResultStore

ZONES = ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "America/New_York", "Europe/Moscow")
COLUMNS = "source, session_id, speaker, segment, text, language, asr_confidence, attributes, spoken_at"
READ = f"SELECT {COLUMNS} FROM emotion_results WHERE kafka_offset = :offset".replace("attributes", "attributes::text")  # noqa: S608 - a constant.

engine = engine_fixture(connect, "test")

NAMES = st.none() | st.text(max_size=140) | st.integers() | st.floats()
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = (
    st.none()
    | st.floats()
    | st.integers(0, 2**70)
    | st.datetimes(timezones=st.none() | OFFSETS).map(str)
    | st.dates().map(str)
    | st.sampled_from(["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9998-12-31T23:59:59-14:00"])
)
NUMBERS = st.integers(-(10**400), 10**400) | st.floats(allow_nan=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=9), inner, max_size=4)
    ),
)
ATTRIBUTES = st.dictionaries(st.text(st.characters(), max_size=9), ANYTHING, max_size=5)
VALUES = st.fixed_dictionaries(
    {"text": st.text(st.characters())},
    optional={
        **dict.fromkeys(("id", "source", "session_id", "speaker"), NAMES),
        "segment": st.none() | st.integers(-1, 2**31) | st.floats(0, 2**31),
        "spoken_at": MOMENTS,
        "asr_confidence": st.none() | st.floats(),
        "avg_logprob": st.none() | st.floats(),
        "language": st.none() | st.sampled_from(["ru", "ru_RU", "Russian", "kk", "auto"]) | st.text(max_size=36),
        "role": NAMES | ATTRIBUTES,
        "attributes": ATTRIBUTES | ATTRIBUTES.map(json.dumps) | ANYTHING,
    },
).map(json.dumps)
KEYS = st.none() | st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


@pytest.fixture
def store(engine: Engine) -> Iterator[ResultStore]:
    store = ResultStore(engine, "group", normalizer="normalizer-1")
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    return store


def bury(rejected: Sequence[Rejected]) -> None:
    """Let rejected records go: what is accepted is not to be among them."""


def read_back(engine: Engine, offset: int, zone: str) -> dict[str, Any]:
    """Return the row of a record as a client in some time zone reads it."""
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('TimeZone', :zone, true)"), {"zone": zone})
        found = connection.execute(text(READ), {"offset": offset})
        row = dict(found.mappings().one())
    return row | {"attributes": parsed(row["attributes"])}


def parsed(attributes: str | None) -> Any:
    """Return JSON with its numbers as they are written, since Postgres may write 3e16 as a whole number."""
    return None if attributes is None else json.loads(attributes, parse_float=Decimal, parse_int=Decimal)


def test_every_transcript_that_is_accepted_is_stored_and_read_back_as_it_was_in_any_time_zone(
    store: ResultStore, engine: Engine
) -> None:
    classify = Inference(Serving(StubClassifier()), Metrics(), None)
    offsets = itertools.count()

    @settings(max_examples=200)
    @given(VALUES, KEYS, st.just(-1) | st.integers(-(2**63), 2**63 - 1) | st.just(1_700_000_000_000))
    def check(value: str, key: bytes | None, timestamp: int) -> None:
        offset = next(offsets)
        chunk = chunk_of([Message(offset, value.encode(), timestamp=timestamp, key=key)])
        classify(chunk)
        accepted = [item.transcript for item in chunk.utterances]
        store.write(chunk, bury)
        assert len(chunk.utterances) == len(accepted), "what is accepted must be stored"
        # A message of a name that was drawn before may be older than its row.
        for transcript, zone in itertools.product([] if chunk.written.outdated else accepted, ZONES):
            assert read_back(engine, offset, zone) == expected(transcript)

    check()


def expected(transcript: Transcript) -> dict[str, Any]:
    columns = {name: getattr(transcript, name) for name in COLUMNS.split(", ")}
    confidence = transcript.asr_confidence
    return columns | {
        "source": transcript.source or TOPIC,
        "asr_confidence": None if confidence is None else pytest.approx(confidence, rel=1e-6, abs=1e-37),
        "attributes": parsed(transcript.attributes),
    }
