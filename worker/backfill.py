"""A stretch of the topic is read again, by the worker's own flow, and the process ends where the stretch does."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from worker.backoff import wait_for
from worker.batching import Batcher
from worker.errors import Away, ConfigurationError
from worker.kafka.stretch import StretchSource, Wanted
from worker.loop import Worker
from worker.observability.progress import progress
from worker.records import Classifier, Partition
from worker.run import Shared, run_worker
from worker.settings import Settings
from worker.stages import Stages
from worker.storage.database import connect
from worker.storage.store import stored_offsets

_LOOK_EVERY_S: Final = 1.0


class Period(NamedTuple):
    """When the messages that are to be read came to Kafka."""

    since: datetime
    until: datetime
    """The first moment behind the period."""

    @property
    def name(self) -> str:
        """The period in UTC, as part of a group's name."""
        return ".".join(moment.astimezone(UTC).replace(tzinfo=None).isoformat() for moment in self)

    @property
    def milliseconds(self) -> tuple[int, int]:
        """Both times in milliseconds since 1970, before which no record of Kafka's is."""
        since, until = (max(0, int(moment.timestamp() * 1000)) for moment in self)
        return since, until


class Backfill(Worker):
    """Work until every partition of the topic is stored to the end of its stretch, by this process or another.

    Args:
        source: reads the stretch.
        shared: what the parts of the worker share.
        batcher: collects records into chunks.
        stages: classify and store.
        stored: returns where the group stands in the database.
        report: is told how many offsets this process has passed.

    Attributes:
        complete: whether the end was reached.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a worker, and what tells its end.
        self,
        source: StretchSource,
        shared: Shared,
        batcher: Batcher,
        stages: Stages,
        stored: Callable[[], Mapping[Partition, int]],
        report: Callable[[int], None],
    ) -> None:
        super().__init__(source, batcher, stages, shared.health, shared.metrics)
        self._stretches = source.stretches
        self._stop = shared.stop
        self._stored = stored
        self._tell = report
        self._look_due = time.monotonic()
        self.complete = False

    def turn(self) -> None:
        """Take in what has arrived, hand over what is ready, and see whether all is done."""
        super().turn()
        now = time.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + _LOOK_EVERY_S
        own = self._partitions.stored_offsets
        self._tell(sum(max(0, offset - self._stretches[partition].start) for partition, offset in own.items()))
        claimed = self._joined and self._partitions.complete and len(own) == len(self._partitions.owned)
        # The main thread asks the database only once there is nothing else to do; an outage is met by the stages.
        if claimed and self._at_end(own, own):
            with suppress(Away):
                self.complete = self._at_end(self._stored(), self._stretches)
            if self.complete:
                self._stop.set()

    def _at_end(self, offsets: Mapping[Partition, int], partitions: Mapping[Partition, object]) -> bool:
        return all(offsets.get(partition, -1) >= self._stretches[partition].end for partition in partitions)


def backfill(
    settings: Settings, period: Period, rate: float, group: str | None = None, classifier: Classifier | None = None
) -> bool:
    """Read the messages of a period again, into the rows that they have or should have.

    A killed run goes on where it was, with the same period. Where tombstones delete rows, a second pass looks for
    them from the period's begin to the end of the log: one that came after a message deletes its row again.

    Args:
        settings: settings of the worker.
        period: when the messages came to Kafka.
        rate: messages a second at most, of this process.
        group: consumer group of the run; by default one that is named after the worker's group and the period.
        classifier: the model; by default the one that the settings name.

    Returns:
        Whether the end was reached; else the run was told to stop.

    Raises:
        ConfigurationError: the period is empty or not over yet, or the deployment is wrong.
    """
    if period.since >= period.until:
        raise ConfigurationError("--from is not before --to: nothing lies between them")
    if period.until > datetime.now(UTC):
        raise ConfigurationError("--to lies in the future: the workers read what is to come")
    name = group or f"{settings.kafka_group_id}.backfill.{period.name}"
    since, until = period.milliseconds
    passes = {name: Wanted(since, until, rate)}
    if settings.kafka_tombstones == "delete":
        passes[f"{name}.tombstones"] = Wanted(since, None, rate, only_tombstones=True)
    return all(_read(settings, own, wanted, classifier) for own, wanted in passes.items())


def _read(settings: Settings, group: str, wanted: Wanted, classifier: Classifier | None) -> bool:
    """Read a part of the topic by a group; return whether its end was reached."""
    # One connection, and no shadow: the live workers come first. No results: who reads them live wants no old ones.
    # Further processes may have this one's environment.
    own = {"kafka_group_id": group, "kafka_instance_id": None, "http_port": 0, "exit_delay_s": 0.0}
    own |= {"database_connections": 1, "shadow": "off", "kafka_results_topic": None}
    loops: list[Backfill] = []

    def make(shared: Shared, batcher: Batcher, stages: Stages) -> Backfill:
        source = wait_for("kafka", lambda: StretchSource(shared.settings, wanted), shared.stop, shared.health)
        total = sum(stretch.end - stretch.start for stretch in source.stretches.values())
        doing = "looking for tombstones" if wanted.only_tombstones else "reading again"
        report = shared.stack.enter_context(progress(doing, "messages", total))
        engine = connect(settings.required_database_url, "emotion-worker-backfill")
        shared.stack.callback(engine.dispose)
        stored = partial(stored_offsets, engine, group, settings.kafka_topic)
        loops.append(Backfill(source, shared, batcher, stages, stored, report))
        return loops[0]

    run_worker(settings.model_copy(update=own), classifier, make=make)
    return any(loop.complete for loop in loops)
