"""The stack of compose.yaml, driven from outside as its user would: by `docker compose` and by what it answers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

ROOT: Final = Path(__file__).resolve().parents[2]
ENVIRONMENT: Final = os.environ | {
    # Any free port of this machine: the user's own stack may be up.
    "KAFKA_PORT": "0",
    "POSTGRES_PORT": "0",
    "PROMETHEUS_PORT": "0",
    # A retraining here must need no hub.
    "TRAINING_PUBLIC": "",
}


def compose_command() -> list[str]:
    """Return Compose's command: COMPOSE of the environment, Docker's plugin, or the program of its own."""
    if given := os.environ.get("COMPOSE"):
        return shlex.split(given)
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "install Docker Compose, or set COMPOSE to its command"
    return ["docker-compose"]


class Stack:
    """A project of its own name, with volumes and networks of its own."""

    def __init__(self, project: str) -> None:
        self._command = [*compose_command(), "--project-name", project, "--file", str(ROOT / "compose.yaml")]

    def compose(self, *arguments: str, given: str | None = None) -> str:
        """Run a command of Compose and return what it prints.

        Args:
            arguments: of Compose.
            given: its standard input.

        Raises:
            subprocess.CalledProcessError: it failed; a note says what it said.
        """
        try:
            done = subprocess.run(
                [*self._command, *arguments], env=ENVIRONMENT, input=given, capture_output=True, text=True, check=True
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout[-3000:]}\n{error.stderr[-3000:]}")
            raise
        return done.stdout

    def up(self, *services: str, scale: int = 1) -> None:
        """Start services, and what they stand on, and a given number of workers where one of them is the worker."""
        options = ["--scale", f"worker={scale}"] if "worker" in services else []
        self.compose("up", "--detach", "--no-build", *options, *services)

    def worker(self, *arguments: str, given: str | None = None) -> str:
        """Run a command of the worker in the first worker's container."""
        return self.compose("exec", "-T", "worker", "emotion-worker", *arguments, given=given)

    def trainer(self, *arguments: str) -> str:
        """Run a command of training in the trainer's container."""
        return self.compose("exec", "-T", "trainer", "emotion-training", *arguments)

    def publish(self, lines: Iterable[str]) -> int:
        """Publish lines through a container and return how many the broker has."""
        answer = self.worker("publish", "-", given="\n".join(lines))
        return int(re.findall(r"published (\d+)", answer)[0])

    def query(self, statement: str) -> list[list[str]]:
        """Ask the stack's database; columns come as text."""
        psql = ["psql", "--username", "emotions", "--no-align", "--tuples-only", "--host", "127.0.0.1"]
        command = ["exec", "-T", "--env", "PGPASSWORD=emotions", "postgres", *psql, "emotions", "--command", statement]
        return [line.split("|") for line in self.compose(*command).splitlines()]

    def rows(self) -> int:
        """Return how many rows there are."""
        return int(self.query("SELECT count(*) FROM emotion_results")[0][0])

    def ask(self, service: str, port: int, path: str, index: int = 1) -> str:
        """Get a page of a service's container; empty while it doesn't answer as it should."""
        address = self.compose("port", "--index", str(index), service, str(port)).strip()
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def measured(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus finds for an expression: for each series its labels and its value."""
        answer = self.ask("prometheus", 9090, "/api/v1/query?" + urlencode({"query": expression}))
        return list(json.loads(answer)["data"]["result"]) if answer else []

    def versions(self, index: int = 1) -> set[str]:
        """Return the models that a worker says it serves."""
        metrics = self.ask("worker", 8080, "/metrics", index)
        return set(re.findall(r'^emotion_model_info\{version="([^"]+)"\} 1', metrics, re.MULTILINE))

    def logs(self) -> str:
        """Return the last lines of all containers."""
        return self.compose("logs", "--no-color", "--tail", "40")

    def down(self) -> None:
        """Stop everything and remove it, volumes too."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20")
