"""How a worker asks the database to own a partition, and what the database answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.records import Partition


@dataclass(slots=True, eq=False)
class Claim:
    """The request to own a partition from now on; the answer says where to read on."""

    partition: Partition
    start: int
    """Where to begin when the database knows nothing of the partition."""
    topic_id: str | None
    """Kafka's id of the topic, which tells a recreated topic; None where the broker has none."""
    first_offset: int | None = None
    """Where the group began to read the partition, as its commits to Kafka say."""
    log_start: int | None = None
    """Where the partition's log begins, where no commit says where the group began."""
    committed: int | None = None
    """Where the group stands in Kafka."""
    first_starts: Mapping[int, int] = field(default_factory=dict)
    """Where each partition of the topic begins for a group that the database does not know; by partition number."""
    wanted: bool = True
    """False once the group has taken the partition away: the claim must not be sent any more."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim."""

    claim: Claim
    epoch: int
    next_offset: int
    topic_id: str | None
    """Id of the topic that ``next_offset`` belongs to."""

    @property
    def is_new(self) -> bool:
        """Whether the database knew nothing of the partition."""
        return self.epoch == 1

    @property
    def topic_recreated(self) -> bool:
        """Whether the topic was deleted and created again, so that ``next_offset`` says nothing of the new one."""
        return None not in {self.topic_id, self.claim.topic_id} and self.topic_id != self.claim.topic_id
