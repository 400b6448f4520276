"""The documents say what the settings say."""

import re

import pytest
from places import ROOT

from registry.settings import EnvironmentSettings
from registry.settings_tables import with_tables
from training.environment import Environment
from training.fit.settings import FitSettings
from training.retrain.settings import GateSettings, RetrainSettings
from training.settings import Learning
from worker.settings import Settings

PAGES = ("configuration.md", "training.md", "retraining.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_are_up_to_date(name: str) -> None:
    assert "<!-- settings: " in page(name)
    assert with_tables(page(name)) == page(name), "run `make docs`"


@pytest.mark.parametrize("program", [Settings, Environment])
def test_each_variable_has_one_row(program: type[EnvironmentSettings]) -> None:
    for field in program.model_fields:
        assert page("configuration.md").count(f"\n| `{program.variable(field)}` |") == 1, field


@pytest.mark.parametrize(
    ("kind", "beginning", "name"),
    [
        (FitSettings, "", "training.md"),
        (Learning, "learning.", "training.md"),
        (RetrainSettings, "", "retraining.md"),
        (GateSettings, "gate.", "retraining.md"),
    ],
)
def test_each_setting_of_a_recipe_has_one_row(kind: type[RetrainSettings], beginning: str, name: str) -> None:
    groups = {"network", "learning", "teaching", "augmentation", "gate"}
    for field in kind.model_fields.keys() - groups:
        assert page(name).count(f"\n| `{beginning}{field}` |") == 1, field


@pytest.mark.parametrize("name", PAGES)
def test_each_row_of_a_setting_has_three_cells(name: str) -> None:
    for table in re.findall(r"<!-- settings: .*?<!-- end of settings -->", page(name), re.DOTALL):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in rows} == {4}


def test_a_row_says_what_a_setting_may_be_and_that_it_is_secret() -> None:
    marks = "<!-- settings: worker.settings.Settings log_level kafka_ssl_password -->", "<!-- end of settings -->"
    assert with_tables(f"before\n{marks[0]}\nold\n{marks[1]}\nafter") == "\n".join(
        (
            "before",
            marks[0],
            "",
            "| setting | default | meaning |",
            "|---|---|---|",
            "| `WORKER_KAFKA_SSL_PASSWORD` | not set | Password of the private key. A secret. |",
            "| `WORKER_LOG_LEVEL` | `info` | Least level logged. One of `debug`, `info`, `warning`, `error`. |",
            "",
            marks[1],
            "after",
        )
    )
