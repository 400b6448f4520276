"""Two ways to run Apache Kafka here: by Docker, or by Java from jars that Maven fetched."""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import docker
from docker.errors import DockerException
from services import PATIENCE_S
from testcontainers.core.container import DockerContainer

from worker.demo.services import end_with_this_process

POM: Final = Path(__file__).with_name("pom.xml")
VERSION: Final = re.findall(r"<kafka.version>(.+)</kafka.version>", POM.read_text())[0]
IMAGE: Final = f"apache/kafka:{VERSION}"
INSTALL: Final = (
    "Kafka's own semantics are tested on Apache Kafka: start Docker, or install Java 17 and Maven "
    "(apt-get install openjdk-17-jre-headless maven), or set TEST_KAFKA to a bootstrap address"
)
_JAVA: Final = 17

# What each script runs; source: bin/ of Kafka's distribution.
_TOOLS: Final = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-delete-records.sh": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-leader-election.sh": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}


class Server(Protocol):
    """A running Kafka node."""

    def ended(self) -> bool:
        """Say whether it has ended by itself."""

    def stop(self) -> None:
        """Shut it down in order."""

    def kill(self) -> None:
        """End it by SIGKILL."""

    def freeze(self) -> None:
        """Stop its threads; its connections stay open."""

    def thaw(self) -> None:
        """Let it go on."""


class Launcher(Protocol):
    """Starts Kafka nodes."""

    def start(self, home: Path, format_options: list[str], heap_mb: int) -> Server:
        """Start the node whose ``server.properties`` lies in home; format its storage first when that is new.

        Its output goes to ``kafka.log`` in home.
        """

    def tool(self, script: str) -> list[str]:
        """Return the command that does what a script of Kafka's does, such as kafka-topics.sh."""


class JavaLauncher:
    """Kafka on the Java of this machine."""

    def __init__(self, jars: Path) -> None:
        options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        options.append("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        self._options = [*options, "-cp", f"{jars}/*"]

    def start(self, home: Path, format_options: list[str], heap_mb: int) -> "JavaServer":
        properties = str(home / "server.properties")
        java = ["java", f"-Xmx{heap_mb}m", *self._options]
        with (home / "kafka.log").open("ab") as log:
            if not (home / "data" / "meta.properties").exists():
                format_command = ["kafka.tools.StorageTool", "format", "-c", properties, *format_options]
                subprocess.run([*java, *format_command], stdout=log, stderr=log, check=False)
            process = subprocess.Popen(
                [*java, "kafka.Kafka", properties], stdout=log, stderr=log, start_new_session=True
            )
        return JavaServer(process, home / "kafka.pid")

    def tool(self, script: str) -> list[str]:
        return ["java", "-Xmx128m", *self._options, _TOOLS[script]]


class JavaServer:
    """A Kafka node in a process of ours; it ends with the test run even where that is killed."""

    def __init__(self, process: subprocess.Popen[bytes], pid_file: Path) -> None:
        self._process = process
        self._watch = ExitStack()
        pid_file.write_text(f"{process.pid}\n")
        self._watch.enter_context(end_with_this_process(pid_file))

    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        self._watch.close()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


class DockerLauncher:
    """Kafka's own image, on the network of the host: the addresses are the same inside and outside."""

    def start(self, home: Path, format_options: list[str], heap_mb: int) -> "DockerServer":
        properties = home / "server.properties"
        script = (
            "cd /opt/kafka/bin && p=$1 l=$2 && shift 2 && "
            './kafka-storage.sh format --ignore-formatted -c "$p" "$@" >>"$l" 2>&1 && '
            'exec ./kafka-server-start.sh "$p" >>"$l" 2>&1'
        )
        command = ["bash", "-c", script, "kafka", str(properties), str(home / "kafka.log"), *format_options]
        container = DockerContainer(IMAGE, network_mode="host", user=f"{os.getuid()}:{os.getgid()}")
        container.with_volume_mapping(str(home), str(home), "rw").with_command(command)
        container.with_envs(LOG_DIR=f"{home}/logs", KAFKA_HEAP_OPTS=f"-Xmx{heap_mb}m")
        return DockerServer(container.start())

    def tool(self, script: str) -> list[str]:
        return ["docker", "run", "--rm", "--interactive", "--network", "host", IMAGE, f"/opt/kafka/bin/{script}"]


class DockerServer:
    """A Kafka node in a container."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container
        self._wrapped = container.get_wrapped_container()

    def ended(self) -> bool:
        self._wrapped.reload()
        return bool(self._wrapped.status == "exited")

    def stop(self) -> None:
        self._wrapped.stop(timeout=PATIENCE_S)
        self._container.stop()

    def kill(self) -> None:
        self._container.stop()  # Removes it by force: SIGKILL.

    def freeze(self) -> None:
        self._wrapped.pause()

    def thaw(self) -> None:
        self._wrapped.unpause()


def find_launcher() -> Launcher | None:
    """Return Docker's launcher where a daemon answers and has or gets the image, else Java's, else None."""
    if _docker_has_image():
        return DockerLauncher()
    if _java_version() >= _JAVA and (_cache().exists() or shutil.which("mvn")):
        return JavaLauncher(_jars())
    return None


def _docker_has_image() -> bool:
    try:
        client = docker.from_env()
    except DockerException:
        return False
    try:
        if not client.images.list(IMAGE):
            client.images.pull(IMAGE)
    except DockerException:
        return False
    finally:
        client.close()
    return True


def _java_version() -> int:
    if not shutil.which("java"):
        return 0
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', answer)
    return int(version[1]) if version else 0


def _cache() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "asr-emotions" / f"kafka-{VERSION}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"


def _jars() -> Path:
    """Return the folder of Kafka's jars, filled once a machine; the rename makes it complete or absent."""
    cache = _cache()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_name(f"{cache.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            with tempfile.TemporaryDirectory(dir=cache.parent) as fresh:
                jars = Path(fresh) / "jars"
                goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
                subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True)
                jars.rename(cache)
    return cache
