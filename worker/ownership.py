"""A partition that is ours: under which claim, and how far it is received and stored."""

from dataclasses import dataclass


@dataclass(slots=True)
class Owned:
    """A claimed partition."""

    epoch: int
    """The claim, which each chunk names."""
    received: int
    """The next offset to come."""
    stored: int | None
    """The next offset that the database knows; None while it knows only that of a topic that is gone."""
    skipping: bool = False
    """Whether ``received`` was reached without a record and is not handed over yet."""

    def skip(self, offset: int) -> None:
        """Go on from an offset that no record led to: it must be stored by itself."""
        self.received = offset
        self.skipping = True

    def lag(self, position: int, end: int) -> int:
        """Count the records that are not stored.

        Where all that came is stored, what lies before the position is no record, such as the marks of transactions.
        It counts as stored, and is to be stored: retention would make a gap of it one day.

        Args:
            position: the next offset that the consumer will ask for.
            end: the offset after the last record of the log.
        """
        if self.stored == self.received < position:
            self.skip(position)
            return max(0, end - position)
        return max(0, end - (self.received if self.stored is None else self.stored))
