"""A stretch of the log, read again by a group of its own, below a rate."""

import time
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import structlog

from worker.errors import Away
from worker.kafka.client import kafka_problems
from worker.kafka.consumer import KafkaSource, Polled
from worker.kafka.log_offsets import LogPosition, Starts
from worker.records import Gap, Partition, Record
from worker.settings import Settings

log = structlog.get_logger(__name__)

STRETCH_ENDS: Final = Gap("the stretch that is to be read ends here")

_BURST_S: Final = 0.1
"""Records of so long may come at once: a poll takes no longer."""


class Wanted(NamedTuple):
    """The part of a topic to read."""

    since_ms: int
    """Time of the first record, in milliseconds since the epoch, as Kafka has it."""
    until_ms: int | None
    """Time of the first record behind the stretch; None reads to the end that the log has now."""
    rate: float
    """Records a second at most."""
    only_tombstones: bool = False
    """Pass over all other records."""


class Stretch(NamedTuple):
    """The offsets of a partition from the first to read to the first behind them."""

    start: int
    end: int


class StretchSource(KafkaSource):
    """Read a part of the topic. What lies behind it is never returned.

    Args:
        settings: settings of the worker, with a group of the stretch's own.
        wanted: the part.

    Attributes:
        stretches: what there is to read of each partition, whoever reads it.

    Raises:
        Away: as `KafkaSource`, or a partition has no leader that answers.
    """

    def __init__(self, settings: Settings, wanted: Wanted) -> None:
        super().__init__(settings)
        self._wanted = wanted
        self._pace = Pace(wanted.rate)
        try:
            self.stretches = self._find_all()
        except BaseException:
            self.close(timeout_s=0)
            raise

    def poll(self, max_records: int, timeout_s: float, *, paused: bool) -> Polled:
        """Fetch what belongs to the stretch, as soon as the rate allows; its end is a gap."""
        allowed = self._pace.allowed()
        at_once = max_records if self._wanted.only_tombstones else min(max_records, allowed)
        polled = super().poll(at_once, timeout_s, paused=paused or not allowed)
        records, gaps = {}, dict(polled.gaps)
        for partition, batch in polled.records.items():
            if partition not in self.stretches:
                continue  # It was added, and is not claimed yet.
            end = self.stretches[partition].end
            if batch[-1].offset + 1 >= end and partition not in self._waiting:
                gaps[partition] = STRETCH_ENDS
                self._gaps.add(partition)
            if kept := [record for record in batch if record.offset < end and self._is_wanted(record)]:
                records[partition] = kept
                self._pace.take(len(kept))
        return polled._replace(records=records, gaps=gaps)

    def skip_gap(self, partition: Partition, gap: Gap) -> int | None:
        """Read a partition from behind a gap, or no further where the stretch ends."""
        return self.stretches[partition].end if gap is STRETCH_ENDS else super().skip_gap(partition, gap)

    def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, LogPosition]:
        """Return how far owned partitions are read, as if the log ended where the stretch does."""
        ends = {partition: stretch.end for partition, stretch in self.stretches.items()}
        return {
            partition: LogPosition(min(at.position, ends[partition]), ends[partition])
            for partition, at in super().positions(partitions).items()
        }

    def _starts(self, partitions: AbstractSet[Partition]) -> Starts:
        """Begin with the stretch; partitions that were added since have one, too."""
        with kafka_problems("ask for offsets"):
            self.stretches |= self._find(partitions - self.stretches.keys())
        starts = {partition: self.stretches[partition].start for partition in partitions & self.stretches.keys()}
        return Starts(starts, starts, {}, {}, {})

    def _find_all(self) -> dict[Partition, Stretch]:
        everything = self._offsets.everything
        with kafka_problems("ask for offsets"):
            found = self._find(everything)
            log_starts = self._offsets.ends(everything, "earliest")
        if not everything or (missing := set(everything) - (found.keys() & log_starts.keys())):
            raise Away(f"no broker leads {sorted(missing) if everything else self._settings.kafka_topic}")
        cut = sorted(item.partition for item in everything if 0 < log_starts[item] == found[item].start)
        if cut:
            log.warning("the log begins within or after the period: retention may have taken messages", partitions=cut)
        return found

    def _find(self, partitions: Collection[Partition]) -> dict[Partition, Stretch]:
        since, until = self._wanted.since_ms, self._wanted.until_ms
        starts = self._offsets.at_time(partitions, since)
        ends = self._offsets.ends(partitions, "latest") if until is None else self._offsets.at_time(partitions, until)
        return {item: Stretch(starts[item], max(starts[item], ends[item])) for item in starts.keys() & ends.keys()}

    def _is_wanted(self, record: Record) -> bool:
        return record.value is None or not self._wanted.only_tombstones


class Pace:
    """How many records may be read now.

    Args:
        rate: records a second at most.
        clock: returns seconds, as `time.monotonic` does.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._at = clock()
        self._left = 0.0

    def allowed(self) -> int:
        """Return how many may come at once now."""
        now = self._clock()
        self._left = min(max(1.0, self._rate * _BURST_S), self._left + (now - self._at) * self._rate)
        self._at = now
        return max(0, int(self._left))

    def take(self, count: int) -> None:
        """Note how many have come."""
        self._left -= count
