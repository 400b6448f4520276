"""Does for the commands of the documents what `docker compose` does, without Docker: `docker compose run worker …`.

What a service is stands in compose.yaml and in the Dockerfile: entrypoint, command and every variable that a program
gets; nothing else of the caller's environment reaches it. Only the network is another one: addresses of the stack are
replaced by those of test services, and programs run on this machine, in an empty folder.

The world that it works in is a JSON file, which the variable STAND_IN_WORLD names; see `World`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
# The image of a service, to the stage of the Dockerfile that it is built from.
STAGES: Final = {"asr-emotions": "worker", "asr-emotions-trainer": "trainer"}
START: Final = """
import pathlib, runpy, sys
import registry.settings
registry.settings.SECRETS = pathlib.Path(sys.argv.pop(1))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
STOP_S: Final = 60
# More tell nothing that two do not.
MOST_WORKERS: Final = 2


class World(NamedTuple):
    """Where the stand-in works.

    Attributes:
        state: folder for what runs on: processes, their logs, secrets.
        addresses: of the stack, to those of the services that stand for it.
        kafka_tools: Kafka's scripts by name, to the command that does the same here.
        postgres: folder of psql, and of the socket of the server.
        image: variables that the image of this machine has besides those of the Dockerfile.
    """

    state: str
    addresses: dict[str, str]
    kafka_tools: dict[str, list[str]]
    postgres: tuple[str, str]
    image: dict[str, str]


class Containers:
    """The services of compose.yaml, and what an override and the Dockerfile add to them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._state = Path(world.state)
        self.services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
        self._dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    def run(self, service: str, words: list[str], given: list[str]) -> int:
        """Run a service once, in sight, with variables on top; return its exit code."""
        return subprocess.run(**self._process(service, words, given), check=False).returncode

    def exec(self, service: str, words: list[str]) -> int:
        """Run a program in the container of a service, and return its exit code."""
        if service not in self.services:
            raise SystemExit(f"no such service: {service}")
        program, arguments = words[0], [self._here(word) for word in words[1:]]
        if service == "kafka" and program.startswith("/opt/kafka/bin/"):
            command, environment = self._world.kafka_tools[Path(program).name], dict(os.environ)
        elif service == "postgres" and program == "psql":
            folder, socket = self._world.postgres
            # As in its image, whoever comes by the socket needs no password.
            password = self._resolved(self.services[service]["environment"])["POSTGRES_PASSWORD"]
            command, environment = [f"{folder}/psql"], {"PGHOST": socket, "PGPASSWORD": password}
        elif service in {"worker", "trainer"} and [program] == self._entrypoint(service):
            return subprocess.run(**self._process(service, words[1:], []), check=False).returncode
        else:
            raise SystemExit(f"the image of {service} has no {program}")
        return subprocess.run([*command, *arguments], env=environment, check=False).returncode

    def up(self, services: list[str], scale: dict[str, int]) -> int:
        """Start as many workers as are wanted; of other services see only that they are there."""
        for service in services:
            if service not in self.services:
                raise SystemExit(f"no such service: {service}")
        running, wanted = self._pids(), min(scale.get("worker", 1), MOST_WORKERS)
        self._end(running[wanted:])
        for _ in range(len(running), wanted):
            number = len(list(self._state.glob("*.log")))
            with (self._state / f"worker-{number}.log").open("wb") as log:
                started = subprocess.Popen(**self._process("worker", [], []), stdout=log, stderr=log)
            (self._state / f"worker-{number}.pid").write_text(str(started.pid))
        return 0

    def stop(self, services: list[str]) -> int:
        """Stop the workers."""
        if services == ["worker"]:
            self._end(self._pids())
        return 0

    def _pids(self) -> list[Path]:
        return sorted(self._state.glob("*.pid"))

    def _end(self, files: list[Path]) -> None:
        for file in files:
            os.kill(int(file.read_text()), signal.SIGTERM)
        for file in files:
            deadline = time.monotonic() + STOP_S
            while Path(f"/proc/{file.read_text()}/cmdline").exists() and _lives(int(file.read_text())):
                assert time.monotonic() < deadline, "a worker does not stop"
                time.sleep(0.05)
            file.unlink()

    def _process(self, service: str, words: list[str], given: list[str]) -> dict[str, Any]:
        """Return what a container's program is started with."""
        whole = self.services[service]
        program = self._entrypoint(service)[0]
        environment = self._image(STAGES[whole["image"]]) | self._resolved(whole.get("environment", {}))
        environment |= dict(one.split("=", 1) for one in given)
        secrets = self._state / "secrets"
        for name in [name for name in environment if (secrets / name).exists()]:
            del environment[name]
        folder = Path(tempfile.mkdtemp(dir=self._state))
        arguments = words or whole["command"]
        script = str(Path(sys.executable).with_name(program))
        machine = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        machine["HOME"] = str(folder)
        return {
            "args": [sys.executable, "-P", "-c", START, str(secrets), script, *map(self._here, arguments)],
            "env": environment | machine | self._world.image,
            "cwd": folder,
        }

    def _entrypoint(self, service: str) -> list[str]:
        stage = self._dockerfile.partition(f" AS {STAGES[self.services[service]['image']]}\n")[2].partition("\nFROM ")[
            0
        ]
        found = re.search(r"^ENTRYPOINT (\[.*\])$", stage, re.MULTILINE)
        assert found
        return list(json.loads(found[1]))

    def _image(self, stage: str) -> dict[str, str]:
        """Return the variables of an image that are our programs'."""
        parts = (self._dockerfile.partition(f" AS {name}\n")[2].partition("\nFROM ")[0] for name in ("base", stage))
        return dict(re.findall(r"\b((?:WORKER|TRAINING)_\w+)=(\S+)", "".join(parts)))

    def _resolved(self, environment: dict[str, Any]) -> dict[str, str]:
        def value(text: str) -> str:
            return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(found[1]) or found[2], text)

        return {name: self._here(value(str(text))) for name, text in environment.items()}

    def _here(self, text: str) -> str:
        for there, here in self._world.addresses.items():
            text = text.replace(there, here)
        return text


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def read_arguments(words: list[str]) -> argparse.Namespace:
    """Read what Compose is told; an option that it does not know, or that the documents never used, is an error."""
    parser = argparse.ArgumentParser("docker compose")
    parser.add_argument("--file", "-f", action="append")
    parser.add_argument("--profile", action="append")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--rm", action="store_true", required=True, help="or the container stays")
    run.add_argument("--env", "-e", action="append", default=[])
    for one in (run, commands.add_parser("exec")):
        one.add_argument("-T", action="store_true")
        one.add_argument("service")
        one.add_argument("words", nargs=argparse.REMAINDER)
    up = commands.add_parser("up")
    up.add_argument("--build", action="store_true")
    up.add_argument("--detach", "-d", action="store_true", required=True, help="or it never ends")
    up.add_argument("--scale", action="append", default=[])
    logs, port = commands.add_parser("logs"), commands.add_parser("port")
    logs.add_argument("--tail", type=int)
    port.add_argument("--index", type=int)
    commands.add_parser("ps")
    for one in (up, logs, commands.add_parser("stop"), commands.add_parser("restart")):
        one.add_argument("services", nargs="*")
    port.add_argument("service")
    port.add_argument("port", type=int)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Do a command of Docker, and return its exit code."""
    assert words[0] == "compose"
    told = read_arguments(words[1:])
    world = World(**json.loads(Path(os.environ["STAND_IN_WORLD"]).read_text(encoding="utf-8")))
    containers = Containers(world)
    if told.command == "run":
        return containers.run(told.service, told.words, told.env)
    if told.command == "exec":
        return containers.exec(told.service, told.words)
    if told.command == "up":
        scale = {name: int(count) for name, count in (one.split("=") for one in told.scale)}
        return containers.up(told.services or list(containers.services), scale)
    if told.command == "stop":
        return containers.stop(told.services)
    named = getattr(told, "services", None) or [getattr(told, "service", "worker")]
    return 0 if set(named) <= set(containers.services) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
