"""docs/configuration.md says what the settings say."""

import pytest

from worker.settings import Settings
from worker.settings_doc import PAGE, configuration_page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), "run `python -m worker.settings_doc`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_has_one_row(name: str) -> None:
    assert configuration_page().count(f"| `WORKER_{name.upper()}` |") == 1


def test_each_row_has_three_cells() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {4}
