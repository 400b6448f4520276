"""The tables in Postgres; the migrations create them, the worker and the training job use them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
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
    Column("transcript_id", Text, primary_key=True, comment="The message's id, or one made of its place in Kafka"),
    Column("source", Text, comment="Where it was said: a queue, a product"),
    Column("session_id", Text, comment="The call or conversation"),
    Column("speaker", Text, comment="Who spoke: agent, customer, a channel"),
    Column("segment", Integer, comment="Position in the session"),
    Column("text", Text, nullable=False, comment="The text as received, without NUL characters"),
    _moment("spoken_at", "When it was said; the record's timestamp where the message did not say"),
    Column(
        "emotions",
        ARRAY(Text),
        nullable=False,
        comment="The emotions whose score reaches their threshold; none for an empty text",
    ),
    *(
        Column(emotion, REAL, comment=f"Probability of {emotion}, 0 to 1; NULL for an empty text")
        for emotion in EMOTIONS
    ),
    Column("model_version", Text, nullable=False, comment="Version of the model bundle"),
    Column("normalizer", Text, nullable=False, comment="Version of the text normalizer"),
    Column("kafka_topic", Text, nullable=False, comment="Topic the message came from"),
    Column("kafka_partition", Integer, nullable=False, comment="Partition the message came from"),
    Column("kafka_offset", BigInteger, nullable=False, comment="Offset of the message in its partition"),
    _moment("processed_at", "When the row was written", now=True),
    Index(None, "emotions", postgresql_using="gin"),
    Index(None, "session_id", "segment"),
    Index(None, "spoken_at", postgresql_using="brin"),
    comment="One row a transcript: which emotions it carries",
)

shadow_results = Table(
    "shadow_results",
    metadata,
    Column("transcript_id", Text, comment="The transcript, as in emotion_results"),
    Column("model_version", Text, comment="Version of the candidate's bundle"),
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
    # A comparison asks for all of one version.
    PrimaryKeyConstraint("model_version", "transcript_id"),
    comment="What a candidate says of transcripts that the serving model has scored",
)

consumer_offsets = Table(
    "consumer_offsets",
    metadata,
    Column("group_id", Text, comment="Kafka consumer group"),
    Column("topic", Text, comment="Kafka topic"),
    Column("partition", Integer, comment="Partition of the topic"),
    Column("topic_id", Text, comment="Kafka's own id of the topic; another one means the topic was made anew"),
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
    Column("transcript_id", Text, comment="The transcript it corrects, if any"),
    CheckConstraint(f"emotions <@ {_VOCABULARY} AND annotated <@ {_VOCABULARY}", name="known_emotions"),
    CheckConstraint("emotions <@ annotated", name="emotions_annotated"),
    CheckConstraint("text <> ''", name="text_not_empty"),
    CheckConstraint("origin <> ''", name="origin_not_empty"),
    Index("uq_labelled_texts_text_origin_annotator", text("md5(text)"), "origin", "annotator", unique=True),
    comment="Labels that people gave; retraining reads them",
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
    CheckConstraint(
        "state IN ('running', 'promoted', 'rejected', 'skipped', 'failed', 'interrupted')", name="known_state"
    ),
    comment="Each run of the retraining job",
)
