"""A table of one's own is enough for a fit, and what it lacks is said in a line that names the remedy."""

import random
from pathlib import Path

import pytest
from commands import told_error
from fits import FILLING, OTHERS, WORDS, make_base

from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("encoders") / "encoder")


def table(folder: Path, without: str = "", calls: int = 60) -> Path:
    """Write texts of calls and their emotions, and nothing else."""
    chance, lines = random.Random(0), ["text,emotions,session_id"]
    words = [russian for russian, _ in (*FILLING, *OTHERS)]
    for at in range(420):
        russian, _, emotion, _ = WORDS[at % len(WORDS)]
        if emotion != without:
            lines.append(f"{' '.join([*chance.sample(words, 3), russian])},{emotion},call-{at % calls}")
    file = folder / "labels.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def fit(data: Path, base: Path, output: Path) -> int:
    given = {"--recipe": "ru-emotions-short", "--data": data, "--base": base, "--output": output}
    with pytest.raises(SystemExit) as ended:
        main(["fit", *(str(word) for pair in given.items() for word in pair)])
    return int(ended.value.code or 0)


def test_a_table_alone_fits_and_time_left_is_told_from_the_first_step(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fit(table(tmp_path), base, tmp_path / "mine") == 0
    manifest = read_manifest((tmp_path / "mine" / MANIFEST).read_bytes())
    taught = manifest.metrics["rows"]["labels"]
    assert set(manifest.metrics["rows"]) == {"labels"}
    assert 250 < taught < 400, "a fifth of the calls chooses thresholds"
    assert set(manifest.metrics["as_served"]["emotions"]) == set(EMOTIONS)
    order = ["a fit begins", "names no validation rows", "few steps", "learning begins", '"left":']
    told = [word for line in capfd.readouterr().err.splitlines() for word in order if word in line]
    assert told[: len(order)] == order


def test_an_emotion_without_rows_is_named_with_three_remedies(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fit(table(tmp_path, without="disgust"), base, tmp_path / "mine") == 2
    last = told_error(capfd.readouterr().err)
    assert "no row that teaches carries disgust (labels with " in last
    assert all(remedy in last for remedy in ("Label texts", "seara/ru_go_emotions", "warm_start=true"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("phrase;mood\nда;joy", "labels.csv"),
        ("text,emotions\nда,happiness!", "happiness"),
        ("text,emotions\n,joy", "line 2"),
        ("text,emotions,split\nда,joy,evening", "evening"),
        ("text,emotions\n", "labels.csv: there are no rows that teach. Leave out the column split, or say train in it"),
        ("text,emotions,split\nда,joy,test", "there are no rows that teach"),
        ("text,emotions,split\nда,joy,validation", "there are no rows that teach"),
    ],
)
def test_each_mistake_in_a_table_is_a_line_of_its_own(
    *, content: str, complaint: str, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text(content, encoding="utf-8")
    assert fit(tmp_path / "labels.csv", base, tmp_path / "mine") == 2
    assert complaint in told_error(capfd.readouterr().err)
