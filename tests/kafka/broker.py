"""One node of Apache Kafka for the tests, which may stop, kill, freeze and restart it."""

import socket
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from launchers import Launcher, Server
from services import Certificate, wait_for

from worker.embedded import free_port

USERNAME: Final = "worker"
PASSWORD: Final = "correct-horse"  # noqa: S105 - of a broker that lives as long as a test.

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://{plain},CONTROLLER://127.0.0.1:{controller}{secure}
log.dirs={home}/data
auto.create.topics.enable=false
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""
# The certificate is its own authority, and that of clients; Kafka reads the key and it from one PEM file.
_SECURITY: Final = """\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{username}="{password}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
"""


class KafkaBroker:
    """Broker and controller in one process, on loopback; topics are never made by themselves.

    Given a certificate it also listens with SASL_SSL, where USERNAME and PASSWORD are known to PLAIN and to
    SCRAM-SHA-256, and with SSL, where clients show a certificate: the same, or one that it has signed.

    Attributes:
        bootstrap: address of the plain listener; it survives a restart.
        secure_bootstrap: address of the SASL_SSL listener.
        mutual_bootstrap: address of the SSL listener.
    """

    def __init__(self, home: Path, launcher: Launcher, certificate: Certificate | None = None) -> None:
        self._home = home
        self._launcher = launcher
        self._server: Server | None = None
        self.bootstrap = f"127.0.0.1:{free_port()}"
        self.secure_bootstrap = f"127.0.0.1:{free_port()}"
        self.mutual_bootstrap = f"127.0.0.1:{free_port()}"
        secure = f",SASL_SSL://{self.secure_bootstrap},SSL://{self.mutual_bootstrap}"
        properties = _PROPERTIES.format(
            plain=self.bootstrap,
            controller=free_port(),
            secure=secure if certificate else "",
            home=home,
        )
        self._format_options = ["-t", str(uuid.uuid4())]
        if certificate:
            keystore = home / "keystore.pem"
            keystore.write_text(certificate.key.read_text() + certificate.certificate.read_text())
            properties += _SECURITY.format(
                username=USERNAME, password=PASSWORD, keystore=keystore, truststore=certificate.certificate
            )
            credentials = f"SCRAM-SHA-256=[name={USERNAME},password={PASSWORD}]"
            self._format_options += ["--add-scram", credentials]
        home.joinpath("server.properties").write_text(properties)

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

    def start(self) -> None:
        """Start it, or start it again on the same log and the same port; return when it answers."""
        self._server = self._launcher.start(self._home, self._format_options)
        try:
            wait_for(self._answers, timeout_s=60, what=f"Kafka at {self.bootstrap}")
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
