"""One node of Apache Kafka for the tests, which may stop, kill, freeze and restart it."""

import random
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from certificates import Certificate
from launchers import Launcher, Server
from services import wait_for

USERNAME: Final = "worker"
PASSWORD: Final = "correct-horse"  # noqa: S105 - of a broker that lives as long as a test.

_PROPERTIES: Final = """\
process.roles={roles}
node.id={number}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://{plain}{controller}{secure}
log.dirs={home}/data
auto.create.topics.enable=false
broker.heartbeat.interval.ms=200
broker.session.timeout.ms={session_ms}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor={nodes}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr=1
"""
# The certificate is its own authority, and that of clients; Kafka reads the key and it from one PEM file.
_SECURITY: Final = """\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{username}="{password}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
"""
SESSION_MS: Final = 3_000
"""A busy machine is no dead broker."""
_CLIENT_PORTS_BEGIN: Final = 32_768  # Linux gives ports from here to whoever connects.


class Place(NamedTuple):
    """A node's place in its cluster.

    Attributes:
        number: its id, from 1.
        controllers: the ports of the controllers, by the ids of their nodes.
        nodes: how many there are.
        cluster_id: the id that the nodes have in common.
        session_ms: a broker that is silent for so long has lost its leaderships.
        heap_mb: what its Java may take.
    """

    number: int
    controllers: Mapping[int, int]
    nodes: int
    cluster_id: str
    session_ms: int
    heap_mb: int


def alone(session_ms: int = SESSION_MS) -> Place:
    """Return the place of a node that is a cluster by itself.

    Args:
        session_ms: see `Place`; one that is killed and started again is let in only after that.
    """
    return Place(1, {1: lasting_port()}, 1, str(uuid.uuid4()), session_ms=session_ms, heap_mb=512)


def lasting_port() -> int:
    """Return a free port that no client is ever given: while its server is dead, it stays free."""
    while True:
        port = random.randrange(_CLIENT_PORTS_BEGIN // 2, _CLIENT_PORTS_BEGIN)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class KafkaBroker:
    """Broker and mostly controller in one process, on loopback; topics are never made by themselves.

    Given a certificate it also listens with SASL_SSL, where USERNAME and PASSWORD are known to PLAIN and to
    SCRAM-SHA-256, and OAUTHBEARER takes any unsigned token until it expires. It listens with SSL too, where clients
    show a certificate: the same, or one that it has signed.

    Attributes:
        number: id of the node in its cluster.
        bootstrap: address of the plain listener; it survives a restart.
        secure_bootstrap: address of the SASL_SSL listener.
        mutual_bootstrap: address of the SSL listener.
    """

    def __init__(
        self, home: Path, launcher: Launcher, certificate: Certificate | None = None, place: Place | None = None
    ) -> None:
        self._home = home
        self._launcher = launcher
        self._server: Server | None = None
        self._place = place or alone()
        self.number = self._place.number
        self.bootstrap = f"127.0.0.1:{lasting_port()}"
        self.secure_bootstrap = f"127.0.0.1:{lasting_port()}"
        self.mutual_bootstrap = f"127.0.0.1:{lasting_port()}"
        secure = f",SASL_SSL://{self.secure_bootstrap},SSL://{self.mutual_bootstrap}"
        properties = self._properties(secure if certificate else "")
        self._format_options = ["-t", self._place.cluster_id]
        if certificate:
            keystore = home / "keystore.pem"
            keystore.write_text(certificate.key.read_text() + certificate.certificate.read_text())
            properties += _SECURITY.format(
                username=USERNAME, password=PASSWORD, keystore=keystore, truststore=certificate.certificate
            )
            credentials = f"SCRAM-SHA-256=[name={USERNAME},password={PASSWORD}]"
            self._format_options += ["--add-scram", credentials]
        home.joinpath("server.properties").write_text(properties)

    def _properties(self, secure: str) -> str:
        number, controllers = self._place.number, self._place.controllers
        leads = number in controllers
        return _PROPERTIES.format(
            roles="broker,controller" if leads else "broker",
            number=number,
            voters=",".join(f"{voter}@127.0.0.1:{port}" for voter, port in controllers.items()),
            plain=self.bootstrap,
            controller=f",CONTROLLER://127.0.0.1:{controllers[number]}" if leads else "",
            secure=secure,
            home=self._home,
            session_ms=self._place.session_ms,
            nodes=self._place.nodes,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._server is not None

    def segment(self, topic: str, partition: int) -> Path:
        """Return the file of a partition's first records."""
        return self._home / "data" / f"{topic}-{partition}" / f"{0:020}.log"

    def start(self) -> None:
        """Start it, or start it again on the same log and the same port; return when it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it and return at once: several nodes of a cluster may need each other to come up."""
        self._server = self._launcher.start(self._home, self._format_options, self._place.heap_mb)

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            RuntimeError: it does not; the end of its output is told.
        """
        try:
            wait_for(self._answers, what=f"Kafka at {self.bootstrap}")
        except AssertionError as error:
            self.kill()
            log = self._home.joinpath("kafka.log").read_text(errors="replace")
            raise RuntimeError(f"Kafka did not start; its output ends:\n{log[-4000:]}") from error

    def stop(self) -> None:
        """Shut it down in order."""
        if self._server:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        if self._server:
            self._server.kill()
            self._server = None

    def freeze(self) -> None:
        """Let it hang with its connections open."""
        assert self._server
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on after freeze."""
        assert self._server
        self._server.thaw()

    def _answers(self) -> bool:
        assert self._server
        if self._server.ended():
            raise AssertionError("Kafka has ended")
        host, port = self.bootstrap.split(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        return False
