"""Labels that an import must not bring back."""

from collections.abc import Sequence

from sqlalchemy import Connection

from registry.erasures import Candidate, find_erased
from schemas.parts import message_of
from training.label_files.label import Label


def without_erased(connection: Connection, labels: Sequence[Label]) -> list[Label]:
    """Return the labels, but for those of sessions and transcripts that were erased for good.

    Args:
        connection: a transaction that shares the marks of `registry.erasures`.
        labels: with their sessions, where those are known.
    """
    # An id that looks like a part's may be a message's own.
    asked = [Candidate(label.transcript_id or None, label.session_id or None, label.source) for label in labels]
    messages = [each._replace(transcript=each.transcript and message_of(each.transcript)) for each in asked]
    erased = zip(find_erased(connection, asked), find_erased(connection, messages), strict=True)
    return [label for label, gone in zip(labels, erased, strict=True) if not any(gone)]
