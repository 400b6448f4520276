"""The command lines of both programs: help, version, and what is said of misspelt words."""

import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest
import structlog
from cyclopts import App
from places import ROOT
from rich.console import Console

from registry.command_line import run_command
from registry.logs import configure_logs
from training.cli import app as training
from worker.cli import app as worker

PROGRAMS = {app.name[0]: app for app in (worker, training)}


def commands(app: App, *words: str) -> Iterator[tuple[str, ...]]:
    """Return the words of each command, without those that only lead to others."""
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield words
    for name in names:
        yield from commands(app[name], *words, name)


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    before = structlog.get_config()
    configure_logs("info", str)
    yield
    structlog.configure(**before)


EVERY = [(name, *words) for name, app in PROGRAMS.items() for words in commands(app)]


def told_by(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error that was told, as the one line of JSON that it is off a terminal."""
    return str(json.loads(capsys.readouterr().err)["event"])


def help_of(program: str, *words: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    PROGRAMS[program].help_print(words, console=console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_commands_are_found() -> None:
    assert ("emotion-worker", "dead-letters", "replay") in EVERY
    assert ("emotion-training", "models", "promote") in EVERY


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_the_help_of_a_command_shows_an_example_of_it(words: tuple[str, ...]) -> None:
    _, example = help_of(*words).split("For example:")
    assert " ".join(words) in example


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_version_is_that_of_the_project(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run_command(PROGRAMS[program], str, ["--version"]) == 0
    assert capsys.readouterr().out == f"{project['version']}\n"


@pytest.mark.parametrize(
    ("program", "line", "told"),
    [
        ("emotion-worker", "migrat", 'Did you mean "migrate"?'),
        ("emotion-worker", "classify --devise cpu", "Unknown option: --devise. Did you mean --device?"),
        ("emotion-worker", "dead-letters replays", 'Did you mean "replay"?'),
        ("emotion-worker", "classify --neutral exclusiv", 'Did you mean "exclusive"?'),
        ("emotion-training", "fitt", 'Did you mean "fit"?'),
        ("emotion-training", "models promot x", 'Did you mean "promote"?'),
        ("emotion-training", "fit --sed 1 --output x", "Unknown option: --sed. Did you mean --seed?"),
    ],
)
def test_a_misspelt_word_is_refused_with_the_right_one(
    program: str, line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(PROGRAMS[program], str, line.split()) == 2
    assert told in told_by(capsys)


@pytest.mark.parametrize(
    ("program", "line"), [("emotion-worker", "classify --xyzzy"), ("emotion-training", "models xyzzy")]
)
def test_nothing_is_suggested_where_nothing_is_near(
    program: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(PROGRAMS[program], str, line.split()) == 2
    told = told_by(capsys)
    assert "xyzzy" in told
    assert "Did you mean" not in told
    assert "--help` tells more" in told


def imported(libraries: tuple[str, ...], *lines: tuple[str, ...]) -> list[str]:
    """Return which libraries are there after some command lines in a process of its own."""
    code = f"""
import json, sys
from training.cli import app as training
from worker.cli import app as worker
for program, *words in {list(lines)}:
    app = worker if program == "emotion-worker" else training
    app([*words, "--help"], result_action="return_none")
print(json.dumps([name for name in {libraries} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_the_list_of_commands_imports_no_library_of_a_command() -> None:
    libraries = ("torch", "transformers", "sqlalchemy", "kafka", "scipy", "sklearn", "datasets", "pydantic")
    assert imported(libraries, ("emotion-worker",), ("emotion-training",), ("emotion-training", "models")) == []


def test_the_help_of_no_command_imports_torch() -> None:
    assert imported(("torch", "transformers"), *EVERY) == []
