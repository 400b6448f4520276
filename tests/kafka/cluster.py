"""Several nodes of Apache Kafka that form one cluster; each may be stopped, killed, frozen and started again."""

import uuid
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from broker import SESSION_MS, KafkaBroker, Place, lasting_port
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from launchers import Launcher
from services import wait_for

_HEAP_MB: Final = 320
_ANSWER_MS: Final = 3_000


class KafkaCluster:
    """Nodes on loopback, with ids from 1 on.

    Of three and more, each is a controller too, and any one may die. Of two the first alone is a controller: the
    second may die.

    Attributes:
        brokers: the nodes, the first first.
        bootstrap: addresses of all nodes; they survive restarts.
    """

    def __init__(self, home: Path, launcher: Launcher, nodes: int) -> None:
        numbers = range(1, nodes + 1)
        controllers = {number: lasting_port() for number in (numbers if nodes > 2 else [1])}
        cluster_id = str(uuid.uuid4())
        self.brokers: list[KafkaBroker] = []
        for number in numbers:
            folder = home / f"node-{number}"
            folder.mkdir()
            place = Place(number, controllers, nodes, cluster_id, session_ms=SESSION_MS, heap_mb=_HEAP_MB)
            self.brokers.append(KafkaBroker(folder, launcher, place=place))
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the nodes that are not running; return when all have joined the cluster."""
        resting = [broker for broker in self.brokers if not broker.running]
        for broker in resting:
            broker.launch()
        for broker in resting:
            broker.wait()
        wait_for(lambda: self.members() == {broker.number for broker in self.brokers}, "all nodes in the cluster")

    def kill(self) -> None:
        """End all nodes by SIGKILL."""
        for broker in self.brokers:
            broker.kill()

    def members(self) -> set[int]:
        """Return the ids of the nodes that are up in the eyes of the cluster; none when nobody answers."""
        patience = {"bootstrap_timeout_ms": _ANSWER_MS, "request_timeout_ms": _ANSWER_MS}
        try:
            with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap, **patience)) as admin:
                nodes = admin.describe_cluster()["brokers"]
        except KafkaError:
            return set()
        return {node["broker_id"] for node in nodes if not node.get("is_fenced")}
