"""The result: what the worker says of one transcript, as a record of Kafka."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from schemas.segments import Position, Share

REPEATS: Final = (
    "What the worker says of one transcript, sent before its row is stored. None is missing, and a crash or an outage "
    "may repeat some. A consumer keeps one result for each `transcript_id` and `source`: that with the later "
    "`kafka_timestamp`; of equal ones the later in the topic. The text is left out."
)
"""What consumers are told of results."""

RESULT_KEY: Final = (
    "UTF-8: the session; without one the message's id. Results of a session lie in one partition, in the order of its "
    "messages where those lie in one partition too."
)
"""What consumers are told of keys."""


class Scores(Struct, frozen=True, gc=False):
    """Calibrated probability of each emotion."""

    anger: Share
    disgust: Share
    fear: Share
    joy: Share
    sadness: Share
    surprise: Share
    neutral: Share


class Result(Struct, frozen=True, kw_only=True, gc=False):
    """A row of `emotion_results`, without text, language and attributes."""

    transcript_id: Annotated[str, Meta(description="The message's id, or one made of its place in Kafka.")]
    source: Annotated[str, Meta(description="Where it was said; the topic where the message did not say.")]
    session_id: Annotated[str | None, Meta(description="The call or conversation.")]
    segment: Annotated[Position | None, Meta(description="Position in the session.")]
    message_id: Annotated[
        str | None, Meta(description="Id of the message that it is a part of; null where it is all of it.")
    ]
    part: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Number of the part in its message; null where it is all.")
    ]
    speaker: Annotated[str | None, Meta(description="Who spoke, as the message says.")]
    role: Annotated[str | None, Meta(description="Who spoke: agent or customer; null where nothing tells.")]
    emotions: Annotated[
        tuple[str, ...],
        Meta(description="The emotions that the model's thresholds assign; none for an empty text, or if not_scored."),
    ]
    scores: Annotated[
        Scores | None, Meta(description="Probability of each emotion; null for an empty text, or if not_scored.")
    ]
    not_scored: Annotated[
        str | None, Meta(description="Why it has no scores: language, where that is not the model's; else null.")
    ]
    model_version: Annotated[str, Meta(description="Version of the model bundle.")]
    convention: Annotated[str, Meta(description="Convention of labels that the model followed.")]
    spoken_at: Annotated[datetime | None, Meta(description="When it was said; null where nobody knows.")]
    processed_at: Annotated[datetime, Meta(description="When the result was sent, shortly before its row was stored.")]
    kafka_topic: Annotated[str, Meta(description="Topic the message came from.")]
    kafka_partition: Annotated[Position, Meta(description="Partition the message came from.")]
    kafka_offset: Annotated[int, Meta(ge=0, description="Offset of the message in its partition.")]
    kafka_timestamp: Annotated[
        int, Meta(ge=-1, description="When the record was first in Kafka, ms since 1970; -1 where unknown.")
    ]


encode = msgspec.json.Encoder().encode
"""Writes a result as its record's value."""
