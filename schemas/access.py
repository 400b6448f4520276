"""Who may do what with each table and view; a new one has its line here, or a test fails."""

from typing import Final, NamedTuple

MIGRATOR: Final = "emotions_migrator"
"""Owns all tables. It migrates them, and erases what people asked to have erased."""

WORKER: Final = "emotions_worker"
"""Stores, scores again and prunes rows."""

TRAINER: Final = "emotions_trainer"
"""Keeps labels, models and retrainings, and reads rows."""

READER: Final = "emotions_reader"
"""Reads rows and figures, as Grafana does; of labels neither texts nor annotators."""

ROLES: Final = (MIGRATOR, WORKER, TRAINER, READER)


class Access(NamedTuple):
    """What roles may do with a table or view, as privileges of SQL; nothing where one is empty.

    Attributes:
        worker: privileges of the worker.
        trainer: privileges of the trainer.
        reader: privileges of the reader.
        words: columns that quote people or name annotators; the reader may read the others alone.
    """

    worker: str = ""
    trainer: str = ""
    reader: str = ""
    words: tuple[str, ...] = ()

    def privileges(self) -> dict[str, str]:
        """Return the privileges of each role but the owner."""
        return {WORKER: self.worker, TRAINER: self.trainer, READER: self.reader}


ACCESS: Final = {
    "alembic_version": Access("SELECT", "SELECT", "SELECT"),
    "consumer_offsets": Access("SELECT, INSERT, UPDATE", "", "SELECT"),
    "emotion_results": Access("SELECT, INSERT, UPDATE, DELETE", "SELECT", "SELECT"),
    # Whoever may write here can take an erasure back: the owner alone erases.
    "erasures": Access("SELECT", "SELECT", ""),
    "forgotten_labels": Access("", "SELECT, INSERT", ""),
    "hourly_emotions": Access("", "SELECT", "SELECT"),
    "labelled_texts": Access("", "SELECT, INSERT, UPDATE, DELETE", "SELECT", words=("text", "annotator")),
    "model_versions": Access("SELECT", "SELECT, INSERT, UPDATE", "SELECT"),
    "session_emotions": Access("", "SELECT", "SELECT"),
    "shadow_results": Access("SELECT, INSERT, UPDATE, DELETE", "SELECT", "SELECT"),
    "training_runs": Access("", "SELECT, INSERT, UPDATE", "SELECT"),
}

FUNCTIONS: Final = ("session_emotions_between(timestamptz, timestamptz)",)
"""Functions that migrations make. Everybody may call them, and they read with the caller's rights."""
