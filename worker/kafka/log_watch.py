"""A look at the log from time to time: how far we are behind, and whether it is still the log that was claimed."""

import structlog

from worker.kafka.consumer import KafkaSource
from worker.observability.metrics import Metrics
from worker.records import Partition
from worker.storage.offsets import Ownership

log = structlog.get_logger(__name__)


class LogWatch:
    """Used by the main thread.

    Args:
        source: Consumer whose brokers are asked.
        partitions: The worker's partitions.
        metrics: Tells lag, hidden records and partitions without a leader.

    Attributes:
        behind: whether the log holds records that are not stored.
    """

    def __init__(self, source: KafkaSource, partitions: Ownership, metrics: Metrics) -> None:
        self._source = source
        self._partitions = partitions
        self._metrics = metrics
        self._silent: set[Partition] = set()
        self.behind = False

    def topic_recreated(self) -> bool:
        """Whether the topic was deleted and created again, so that its partitions must be claimed again.

        Raises:
            ConfigurationError: the topic was deleted.
            Away: the client does not know the topic any more, and no broker can be reached.
        """
        if self._source.check_topic():
            return False
        log.warning("the topic was deleted and created again: its partitions are claimed again")
        return True

    def measure(self) -> None:
        """Publish the lag, and what open transactions hide.

        Raises:
            Away: no broker answers for any partition.
        """
        owned = self._partitions.owned
        positions = self._source.positions(owned.keys())
        lags = {partition: owned[partition].lag(at.position, at.end) for partition, at in positions.items()}
        self.behind = any(lags.values())
        self._metrics.set_lag(lags)
        self._metrics.set_hidden({partition: at.hidden for partition, at in positions.items()})
        self._report_silent((owned.keys() | self._partitions.unclaimed) - positions.keys())

    def _report_silent(self, silent: set[Partition]) -> None:
        """Tell of partitions that no broker answers for; the others go on."""
        self._metrics.silent_partitions.set(len(silent))
        if silent and silent != self._silent:
            numbers = sorted(partition.partition for partition in silent)
            log.warning("partitions wait for a broker that leads them; the others go on", partitions=numbers)
        self._silent = silent
