"""The documents beside the code are those that the code makes, and the examples keep to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from makers import record
from places import ROOT

import schemas.export
from schemas.emotions import EMOTIONS
from schemas.export import DOCUMENTS, write
from schemas.normalization import normalize
from schemas.transcripts import InvalidTranscript, Transcript, decode
from worker.dead_letters.send import headers_of
from worker.records import Rejected

EXAMPLES = ROOT / "examples" / "transcripts.jsonl"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_checked_in_document_is_fresh(name: str, tmp_path: Path) -> None:
    write(tmp_path)

    checked_in = Path(schemas.export.__file__).with_name(name).read_bytes()

    assert checked_in == (tmp_path / name).read_bytes(), "run `python -m schemas.export` and commit what it writes"


def test_the_schema_describes_every_field() -> None:
    schema = msgspec.json.decode(DOCUMENTS["transcript.schema.json"]())["$defs"]["Transcript"]

    assert list(schema["properties"]) == list(Transcript.__struct_fields__)
    assert schema["required"] == ["text"]
    assert all(field["description"] for field in schema["properties"].values())


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    if isinstance(node, list):
        for child in node:
            yield from references(child)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere(name: str) -> None:
    document = msgspec.json.decode(DOCUMENTS[name]())

    for reference in references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_all_topics_are_described_with_the_forms_they_carry() -> None:
    document = msgspec.json.decode(DOCUMENTS["asyncapi.json"]())

    assert {channel["address"]: list(channel["messages"]) for channel in document["channels"].values()} == {
        "transcripts": ["Transcript", "VoskResult", "WhisperSegment"],
        "transcripts.dead-letters": ["DeadLetter"],
        "transcripts.emotions": ["Result"],
    }


def test_the_schema_of_a_result_says_how_to_tell_repeats_and_names_every_emotion_and_no_text() -> None:
    schema = msgspec.json.decode(DOCUMENTS["result.schema.json"]())
    result, scores = schema["$defs"]["Result"], schema["$defs"]["Scores"]

    assert "may repeat some" in schema["description"]
    assert list(scores["properties"]) == scores["required"] == list(EMOTIONS)
    assert result["required"] == list(result["properties"])
    assert all(field["description"] for field in result["properties"].values())
    assert not {"text", "attributes"} & set(result["properties"])


def test_the_headers_of_a_dead_letter_are_described() -> None:
    described = msgspec.json.decode(DOCUMENTS["asyncapi.json"]())["components"]["messages"]["DeadLetter"]["headers"]
    written = headers_of(Rejected(record(0), "decode", ValueError()))

    assert set(described["required"]) == set(described["properties"]) == {name for name, _ in written}


def test_the_examples_are_transcripts_but_for_five() -> None:
    good: list[Transcript] = []
    reasons: list[str] = []
    for line in EXAMPLES.read_bytes().splitlines():
        try:
            good.append(decode(line, timestamp_ms=0))
        except InvalidTranscript as error:
            reasons.append(str(error))

    assert len(good) >= 240
    assert len(reasons) == len(set(reasons)) == 5
    named = [transcript.id for transcript in good if transcript.id]
    assert len(named) == len(set(named))
    assert 0.4 < len(named) / len(good) < 0.6


def test_the_examples_hold_what_normalization_is_for() -> None:
    texts = [line.get("text") for line in map(parsed, EXAMPLES.read_bytes().splitlines()) if isinstance(line, dict)]
    spoken = [text for text in texts if isinstance(text, str)]

    assert sum(normalize(text) != text for text in spoken) >= 20
    assert sum(not normalize(text) for text in spoken) == 2


def parsed(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
