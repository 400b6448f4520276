"""Sets that judge too are named by option or by environment, alike for one run and for the schedule."""

from typing import Any

import pytest

from training.cli import app

NEEDED = {"retrain": [], "schedule": ["--cron", "0 3 * * 1"]}


def public(command: str, *words: str) -> Any:
    _, bound, _ = app.parse_args([command, *NEEDED[command], *words], exit_on_error=False)
    return bound.arguments.get("public")


@pytest.mark.parametrize("command", NEEDED)
@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ("", None),
        ("seara/ru_go_emotions", ["seara/ru_go_emotions"]),
        ("a/set data/own", ["a/set", "data/own"]),
    ],
)
def test_the_environment_names_public_sets(
    given: str | None, names: list[str] | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAINING_PUBLIC", raising=False)
    if given is not None:
        monkeypatch.setenv("TRAINING_PUBLIC", given)
    assert public(command) == names


@pytest.mark.parametrize("command", NEEDED)
def test_an_option_comes_before_the_environment(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_PUBLIC", "seara/ru_go_emotions")
    assert public(command, "--public", "data/one", "data/two") == ["data/one", "data/two"]
