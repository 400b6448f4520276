"""The tables in Postgres; the migrations create them, the worker and the training job use them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from schemas.emotions import EMOTIONS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_VOCABULARY = "ARRAY[" + ", ".join(f"'{emotion}'" for emotion in EMOTIONS) + "]::text[]"

_KEEP_APART = "timestamptz_minmax_multi_ops"
"""A BRIN index that keeps times apart which lie in one range of pages, as after rows are written again."""


def _moment(name: str, comment: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.now() if now else None,
        comment=comment,
    )


emotion_results = Table(
    "emotion_results",
    metadata,
    Column("transcript_id", Text, comment="The message's id, or one made of its place in Kafka"),
    Column("source", Text, comment="Where it was said: a queue, a product; the topic where the message did not say"),
    Column("session_id", Text, comment="The call or conversation"),
    Column("speaker", Text, comment="Who spoke: agent, customer, a channel"),
    Column("role", Text, comment="Who spoke: agent or customer; NULL where neither message nor channel tells"),
    Column("segment", Integer, comment="Position in the session"),
    Column(
        "text",
        Text,
        comment="The text as received, without NUL characters and what is redacted; NULL where it is not kept",
    ),
    Column("language", Text, comment="BCP 47 tag, or as the message says; NULL where it names none"),
    Column("asr_confidence", REAL, comment="The recognizer's own, 0 to 1"),
    Column("attributes", JSONB, comment="All else that the message says of it: channel, agent, tenant"),
    _moment(
        "spoken_at",
        "When it was said; the record's timestamp where the message did not say; NULL where neither does",
        nullable=True,
    ),
    Column(
        "emotions",
        ARRAY(Text),
        nullable=False,
        comment="The emotions whose score reaches their threshold; none for an empty text, or where not_scored",
    ),
    *(
        Column(emotion, REAL, comment=f"Probability of {emotion}, 0 to 1; NULL for an empty text, or where not_scored")
        for emotion in EMOTIONS
    ),
    Column("not_scored", Text, comment="Why it has no scores: language, where that is not the model's; else NULL"),
    Column("model_version", Text, nullable=False, comment="Version of the model bundle"),
    Column(
        "convention",
        Text,
        nullable=False,
        server_default="public",
        comment="Convention of labels that the model followed; public where it knew one alone",
    ),
    Column("normalizer", Text, nullable=False, comment="Version of the text normalizer"),
    Column("kafka_topic", Text, nullable=False, comment="Topic the message came from"),
    Column("kafka_partition", Integer, nullable=False, comment="Partition the message came from"),
    Column("kafka_offset", BigInteger, nullable=False, comment="Offset of the message in its partition"),
    Column(
        "kafka_timestamp",
        BigInteger,
        nullable=False,
        server_default="-1",
        comment="When the record was first in Kafka, ms since 1970; -1 where unknown. An older one changes no row",
    ),
    _moment("processed_at", "When the row was written", now=True),
    Column("message_id", Text, comment="Id of the message that the row is a part of; NULL where it is all of it"),
    Column("part", Integer, comment="Number of the part in its message, from 1; NULL where it is all of it"),
    Column(
        "cut",
        Text,
        comment="Where the part begins and ends: with a segment, with a sentence, or between words; NULL where it is "
        "all of the message",
    ),
    Column(
        "windows",
        SmallInteger,
        nullable=False,
        server_default="1",
        comment="Windows in which the model read the text; of several, each score is the highest, neutral's the lowest",
    ),
    Column("text_hash", LargeBinary, comment="SHA-256 of the text, where that is kept in place of it"),
    # The id first: a question for an id alone uses the index, too.
    PrimaryKeyConstraint("transcript_id", "source"),
    Index(None, "emotions", postgresql_using="gin"),
    Index(None, "session_id", "segment"),
    Index(None, "message_id", postgresql_where=text("message_id IS NOT NULL")),
    # The order in which rows are scored again; and a stretch of time, wherever its rows lie.
    Index("ix_emotion_results_spoken_at_order", "spoken_at"),
    Index(
        "ix_emotion_results_hour",
        # As Postgres writes it, so that the comparison with the migrations finds it.
        literal_column(
            "(date_trunc('hour'::text, (spoken_at AT TIME ZONE 'UTC'::text)) AT TIME ZONE 'UTC'::text)"
        ).label("hour"),
        postgresql_using="brin",
        postgresql_ops={"hour": _KEEP_APART},
        postgresql_with={"autosummarize": "on"},
    ),
    Index(
        None,
        "processed_at",
        postgresql_using="brin",
        postgresql_ops={"processed_at": _KEEP_APART},
        postgresql_with={"autosummarize": "on"},
    ),
    comment="One row a transcript, known by its id and source: which emotions it carries",
)

shadow_results = Table(
    "shadow_results",
    metadata,
    Column("transcript_id", Text, comment="Id of the transcript, as in emotion_results"),
    Column("source", Text, comment="Its source, as in emotion_results"),
    Column("model_version", Text, comment="Version of the candidate's bundle"),
    Column(
        "convention",
        Text,
        nullable=False,
        server_default="public",
        comment="Convention of labels that the candidate followed",
    ),
    Column(
        "emotions",
        ARRAY(Text),
        nullable=False,
        comment="The emotions whose score reaches the candidate's threshold",
    ),
    *(
        Column(emotion, REAL, nullable=False, comment=f"The candidate's probability of {emotion}, 0 to 1")
        for emotion in EMOTIONS
    ),
    _moment("scored_at", "When the row was written", now=True),
    # A comparison asks for all of one version, an erasure for all of one transcript.
    PrimaryKeyConstraint("model_version", "transcript_id", "source"),
    Index(None, "transcript_id", "source"),
    comment="What a candidate says of transcripts that the serving model has scored",
)

consumer_offsets = Table(
    "consumer_offsets",
    metadata,
    Column("group_id", Text, comment="Kafka consumer group"),
    Column("topic", Text, comment="Kafka topic"),
    Column("partition", Integer, comment="Partition of the topic"),
    Column("topic_id", Text, comment="Kafka's own id of the topic; another one means the topic was made again"),
    Column("next_offset", BigInteger, nullable=False, comment="First offset that is not stored yet"),
    Column("epoch", BigInteger, nullable=False, comment="Counts the claims; only the latest may move the offset"),
    _moment("updated_at", "When the row last changed", now=True),
    PrimaryKeyConstraint("group_id", "topic", "partition"),
    comment="Where each consumer group stands; moved by the transaction that stores the rows",
)

labelled_texts = Table(
    "labelled_texts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True, comment="Counts the labels"),
    Column("text", Text, nullable=False, comment="The labelled text, as written or recognized"),
    Column("emotions", ARRAY(Text), nullable=False, comment="The emotions it carries"),
    Column(
        "annotated",
        ARRAY(Text),
        nullable=False,
        server_default=text(_VOCABULARY),
        comment="The emotions the annotator could have given; absence says something of these only",
    ),
    Column("origin", Text, nullable=False, comment="The data set or the tool it came from"),
    Column("annotator", Text, nullable=False, server_default="", comment="Who labelled it"),
    _moment("labelled_at", "When it was labelled", now=True),
    _moment("imported_at", "When the row came in / was last changed", now=True),
    Column("transcript_id", Text, comment="Id of the transcript it corrects, if any"),
    Column("source", Text, comment="Source of that transcript; NULL means any source"),
    Column("session_id", Text, comment="The call that the text is of; it decides whether the label teaches or judges"),
    Column("drawn_by", Text, comment="How the text was drawn to be labelled: random, uncertain, rare, disagreement"),
    Column(
        "relative_chance",
        REAL,
        comment="How likely the draw was to take the text, by the chance of an equal draw: 1 in a random one",
    ),
    CheckConstraint("relative_chance > 0", name="chance_positive"),
    CheckConstraint(f"emotions <@ {_VOCABULARY} AND annotated <@ {_VOCABULARY}", name="known_emotions"),
    CheckConstraint("emotions <@ annotated", name="emotions_annotated"),
    CheckConstraint("text <> ''", name="text_not_empty"),
    CheckConstraint("origin <> ''", name="origin_not_empty"),
    Index("uq_labelled_texts_text_origin_annotator", text("md5(text)"), "origin", "annotator", unique=True),
    comment="Labels that people gave; retraining reads them",
)

forgotten_labels = Table(
    "forgotten_labels",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True, comment="Counts the requests"),
    _moment("forgotten_at", "When the labels were deleted", now=True),
    Column("forgotten_by", Text, nullable=False, server_default=text("session_user"), comment="Who asked for it"),
    Column("kind", Text, nullable=False, comment="By what they were chosen: text, annotator, session, origin"),
    Column("labels", BigInteger, nullable=False, comment="How many labels were deleted"),
    Column("texts", BigInteger, nullable=False, comment="How many texts they were about"),
    comment="Each deletion of labels by `labels forget`; it holds no text",
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True, comment="Counts the marks"),
    _moment("erased_at", "When it was erased", now=True),
    Column("erased_by", Text, nullable=False, server_default=text("session_user"), comment="Who asked for it"),
    Column(
        "digest", LargeBinary, comment="SHA-256 of session or transcript, NUL and the name; NULL where all are meant"
    ),
    Column("source", Text, comment="The source that is meant; NULL where all are"),
    _moment("said_before", "Only what was said before then; NULL where all of it is meant", nullable=True),
    CheckConstraint("digest IS NOT NULL OR said_before IS NOT NULL", name="not_everything"),
    Index(None, "digest"),
    comment="What `emotion-worker erase` erased; neither a replay nor an import brings it back",
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("version", Text, primary_key=True, comment="Version of the bundle, as in its manifest"),
    Column("state", Text, nullable=False, comment="candidate, champion, retired or rejected"),
    Column("location", Text, nullable=False, comment="Folder or URL of the bundle"),
    Column("metrics", JSONB, nullable=False, comment="What it measured"),
    Column("data_fingerprint", Text, nullable=False, comment="Hash of the data it was fitted on"),
    Column("base_model", Text, nullable=False, comment="The encoder it was fitted from"),
    Column("checksum", Text, comment="SHA-256 of the bundle's files as registered"),
    _moment("created_at", "When the bundle was made", now=True),
    _moment("promoted_at", "When it last became the champion", nullable=True),
    CheckConstraint("state IN ('candidate', 'champion', 'retired', 'rejected')", name="known_state"),
    Index(
        "uq_model_versions_champion",
        "state",
        unique=True,
        postgresql_where=text("state = 'champion'"),
    ),
    comment="The models there are; at most one is the champion",
)

RUN_STATES = ("running", "promoted", "rejected", "skipped", "failed", "interrupted")

training_runs = Table(
    "training_runs",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True, comment="Counts the runs"),
    Column(
        "state",
        Text,
        nullable=False,
        comment="running, promoted, rejected, skipped, failed, or interrupted: it goes on at the next start",
    ),
    Column("model_version", Text, comment="The bundle it made, if any"),
    Column("reason", Text, comment="Why it ended as it did"),
    Column("details", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="Numbers and verdicts"),
    _moment("started_at", "When it started", now=True),
    _moment("finished_at", "When it ended", nullable=True),
    CheckConstraint(f"state IN {RUN_STATES}", name="known_state"),
    comment="Each run of the retraining job",
)
