"""What the models that come with the code say of lines that show one phenomenon each; in training/data/behaviour."""

from pathlib import Path

import pytest

from schemas.bundle import MANIFEST, read_manifest
from training.data.examples import CALLS
from training.evaluate.behaviour import NEEDED, NEEDED_EACH, behave
from training.evaluate.predictor import open_served

MODELS = Path(__file__).resolve().parents[2] / "models"


def for_calls() -> list[Path]:
    return [
        file.parent
        for file in sorted(MODELS.glob(f"*/{MANIFEST}"))
        if read_manifest(file.read_bytes()).convention == CALLS
    ]


@pytest.mark.parametrize("model", for_calls(), ids=lambda folder: folder.name)
def test_a_model_for_calls_reads_nine_lines_of_ten_as_they_are_meant(model: Path) -> None:
    found = behave(open_served(model))
    failing = "\n".join(
        f"{phenomenon}: {line.text}: {', '.join(emotions)}" for phenomenon, line, emotions in found.failing
    )
    assert found.share >= NEEDED, f"{model.name}: {found.share:.3f} of the lines hold\n{failing}"
    few = {phenomenon: share for phenomenon, (share, _) in found.phenomena.items() if share < NEEDED_EACH}
    assert not few, f"{model.name}: too few lines hold of {few}\n{failing}"
