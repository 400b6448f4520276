"""What answers the report's questions: a database, or a file as if it were one."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

Row = Mapping[Any, Any]


class Rows(Protocol):
    """Answers the questions of `worker.report.questions`."""

    @property
    def origin(self) -> str:
        """Where the rows come from, as a reader would call it."""
        ...

    def ask(self, question: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of an answer.

        Args:
            question: SQL, with its values as `:name`.
            values: values by name.
        """
        ...
