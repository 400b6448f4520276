"""The contract for those who publish in other languages: made from the Structs, checked in next to them.

`python -m schemas.export` writes the documents again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.attributes import Attributes
from schemas.keys import KEY_DESCRIPTION
from schemas.leniency import LENIENCY
from schemas.results import REPEATS, RESULT_KEY, Result
from schemas.transcripts import Transcript, VoskResult, WhisperSegment

_FORMS: Final = {
    Transcript: "The project's own form",
    VoskResult: "A result of Vosk, as it is",
    WhisperSegment: "A segment of Whisper, as it is",
}

_DEAD_LETTER_HEADERS: Final = {
    "topic": "Topic that the record was in first, before any replay.",
    "partition": "Its partition there, a decimal number.",
    "offset": "Its offset there, a decimal number.",
    "timestamp": "Its timestamp there, milliseconds since the epoch, or -1; a replay keeps it.",
    "exception.class.name": "Kind of the error.",
    "exception.message": "What is wrong with the record.",
    "stage": "Where it failed: decode, classify or store.",
}


def json_schema() -> bytes:
    """Return the JSON Schema (2020-12) of a transcript."""
    return _document(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "description": LENIENCY,
            **msgspec.json.schema(Transcript, schema_hook=_schema_of),
        }
    )


def result_schema() -> bytes:
    """Return the JSON Schema (2020-12) of a result."""
    return _document(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "description": REPEATS,
            **msgspec.json.schema(Result),
        }
    )


def asyncapi() -> bytes:
    """Return the AsyncAPI 3.0 document of the topics, under their default names, as JSON."""
    _, schemas = msgspec.json.schema_components(
        [*_FORMS, Result], schema_hook=_schema_of, ref_template="#/components/schemas/{name}"
    )
    messages = {
        form.__name__: _json_message(form.__name__, title, LENIENCY, KEY_DESCRIPTION) for form, title in _FORMS.items()
    }
    messages["Result"] = _json_message("Result", "What the worker says of one transcript", REPEATS, RESULT_KEY)
    return _document(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": "asr-emotions",
                "version": "1.0.0",
                "description": "What the emotion worker reads from Kafka and what it writes there.",
                "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            },
            "defaultContentType": "application/json",
            "channels": {
                "transcripts": _channel(
                    "transcripts",
                    "Transcribed utterances in any of the forms, told apart by their fields.",
                    *(form.__name__ for form in _FORMS),
                ),
                "deadLetters": _channel(
                    "transcripts.dead-letters",
                    "Records that could not become rows; one with the header asr-emotions.replayed is no letter, but "
                    "a mark of letters that were replayed.",
                    "DeadLetter",
                ),
                "results": _channel(
                    "transcripts.emotions",
                    "Results, where WORKER_KAFKA_RESULTS_TOPIC names the topic; it has no default.",
                    "Result",
                ),
            },
            "operations": {
                "readTranscript": {"action": "receive", "channel": {"$ref": "#/channels/transcripts"}},
                "sendDeadLetter": {"action": "send", "channel": {"$ref": "#/channels/deadLetters"}},
                "sendResult": {"action": "send", "channel": {"$ref": "#/channels/results"}},
            },
            "components": {
                "messages": {**messages, "DeadLetter": _dead_letter_message()},
                "schemas": schemas,
            },
        }
    )


DOCUMENTS: Final[dict[str, Callable[[], bytes]]] = {
    "transcript.schema.json": json_schema,
    "result.schema.json": result_schema,
    "asyncapi.json": asyncapi,
}
"""The files of this folder that are made, and what makes them."""


def write(folder: Path) -> None:
    """Write the documents into a folder."""
    for name, make in DOCUMENTS.items():
        (folder / name).write_bytes(make())


def _schema_of(kind: type) -> dict[str, Any]:
    """Return the schema of what the worker keeps in a form of its own: attributes, which are an object as sent."""
    if kind is Attributes:
        return {"type": "object"}
    raise NotImplementedError


def _channel(address: str, description: str, *messages: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _json_message(name: str, title: str, description: str, key_description: str) -> dict[str, Any]:
    key = {"type": "string", "description": key_description}
    return {
        "name": name,
        "title": title,
        "description": description,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


def _dead_letter_message() -> dict[str, Any]:
    headers = {f"__connect.errors.{name}": text for name, text in _DEAD_LETTER_HEADERS.items()}
    return {
        "name": "DeadLetter",
        "title": "A rejected record, with Kafka Connect's headers that say why",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in headers.items()},
            "required": list(headers),
        },
        "payload": {"type": "string", "format": "binary", "description": "The record's value, byte for byte."},
    }


def _document(content: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


if __name__ == "__main__":
    write(Path(__file__).parent)
