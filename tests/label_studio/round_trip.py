"""The round trip of labels through a real Label Studio: `make test-label-studio` installs it and runs this.

With LABEL_STUDIO_KEEP=tests/data/label-studio the exports of this run replace the everyday tests' fixtures.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from commands import emotion_worker
from services import Postgres
from sqlalchemy import insert, select
from studio import Person, Project, label_studio

from schemas.tables import emotion_results, labelled_texts
from training.database import connect

pytestmark = pytest.mark.timeout(600)

TRAINING: Final = str(Path(sys.executable).with_name("emotion-training"))
EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "transcripts.jsonl"
EXPORTS: Final = {"JSON": "export.json", "JSON_MIN": "export-min.json", "CSV": "export.csv", "TSV": "export.tsv"}
SNAPSHOT: Final = "snapshot.json"
FILES: Final = [*EXPORTS.values(), SNAPSHOT]
AWKWARD: Final = 'сказали «ждите», "минут пять";\nа прошло уже два часа 😡'

Labels = dict[tuple[str, str], list[str]]
"""Emotions by transcript and annotator."""


class Run(NamedTuple):
    """What was done at Label Studio, and what it exported."""

    database: str
    folder: Path
    expected: Labels
    unanswered: set[str]


def emotion_training(url: str, *arguments: str) -> str:
    """Run the installed command and return what it prints."""
    environment = os.environ | {"TRAINING_DATABASE_URL": url}
    done = subprocess.run([TRAINING, *arguments], capture_output=True, encoding="utf-8", env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def database(session_postgres: Postgres, migrated_database: str) -> Iterator[str]:
    name = session_postgres.create_database(template=migrated_database)
    yield session_postgres.url(name)
    session_postgres.drop_database(name)


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """The first user of a Label Studio."""
    environment = os.environ.get("LABEL_STUDIO_VENV")
    assert environment, "run this by `make test-label-studio`, which installs Label Studio and sets LABEL_STUDIO_VENV"
    with label_studio(Path(environment), tmp_path_factory.mktemp("label-studio")) as anna:
        yield anna


@pytest.fixture(scope="module")
def run(database: str, anna: Person, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything up to the exports, which lie in a folder."""
    folder = tmp_path_factory.mktemp("exports")
    transcripts = classified(database)
    # Which texts judge is a matter of their hashes; here every task has an answer to accept.
    blind = ("--blind", "none")
    emotion_training(
        database, "labels", "export", "--for", "label-studio", *blind, "--output", str(folder / "to-label")
    )
    tasks = json.loads((folder / "to-label" / "tasks.json").read_text(encoding="utf-8"))
    assert {task["data"]["transcript_id"] for task in tasks} == set(transcripts)
    project = Project(anna, (folder / "to-label" / "config.xml").read_text(encoding="utf-8"), tasks)
    assert len(project.shown_predictions()) == 1
    expected = annotated(project, transcripts, anna, anna.invited("boris@example.com"))
    keep = os.environ.get("LABEL_STUDIO_KEEP")
    contents = {file: project.exported(form) for form, file in EXPORTS.items()} | {SNAPSHOT: project.snapshot()}
    for place in filter(None, (folder, keep and Path(keep))):
        for name, content in contents.items():
            (place / name).write_bytes(content.encode())
    answered = {transcript for transcript, _ in expected}
    return Run(database, folder, expected, set(transcripts) - answered)


def classified(database: str) -> list[str]:
    """Fill emotion_results with the first sample transcripts, classified by the released model; return their ids."""
    lines = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()[:8]]
    lines.append({"text": AWKWARD, "source": "taxi-dispatch", "session_id": "c-0007", "speaker": "customer"})
    said = emotion_worker("classify", stdin="".join(json.dumps(line) + "\n" for line in lines)).stdout
    answers = [json.loads(answer) for answer in said.splitlines()]
    ids = [f"{at:04}" for at in range(len(lines))]
    rows = [
        {name: line.get(name) for name in ("source", "session_id", "speaker", "segment")}
        | {"transcript_id": at, "text": line["text"], "emotions": answer["emotions"], **answer["scores"]}
        # Of as many models as there are rows: in the course of time there are several.
        | {"model_version": f"m-{at}", "normalizer": "n-1", "spoken_at": datetime.now(UTC)}
        | {"kafka_topic": "transcripts", "kafka_partition": 0, "kafka_offset": int(at)}
        for at, line, answer in zip(ids, lines, answers, strict=True)
    ]
    engine = connect(database)
    with engine.begin() as connection:
        connection.execute(insert(emotion_results), rows)
    engine.dispose()
    return ids


def annotated(project: Project, transcripts: list[str], anna: Person, boris: Person) -> Labels:
    """Do what two annotators do; return what is to come of it."""
    accepted, corrected, empty, skipped, both, _, changed, draft, awkward = transcripts
    prediction = project.prediction(accepted)
    project.annotate(anna, accepted, result=prediction["result"], parent_prediction=prediction["id"])
    project.annotate(anna, corrected, "sadness", "anger")
    project.annotate(anna, empty)
    project.annotate(anna, skipped, "joy", was_cancelled=True)
    project.annotate(anna, both, "anger")
    project.annotate(boris, both, "neutral")
    project.change(anna, project.annotate(anna, changed, "fear"), "surprise")
    project.draft(anna, draft, "fear")
    project.annotate(anna, awkward, "anger", "disgust")
    project.annotate(boris, awkward, was_cancelled=True)
    first, second = (str(who.json("GET", "/api/current-user/whoami")["id"]) for who in (anna, boris))
    return {
        (accepted, first): prediction["result"][0]["value"]["choices"],
        (corrected, first): ["anger", "sadness"],
        (both, first): ["anger"],
        (both, second): ["neutral"],
        (changed, first): ["surprise"],
        (awkward, first): ["anger", "disgust"],
    }


def rows_of(database: str) -> list[dict[str, Any]]:
    engine = connect(database)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(labelled_texts).order_by("id")).mappings()]
    engine.dispose()
    return rows


@pytest.mark.parametrize("name", FILES)
def test_each_export_brings_each_annotators_answer_once(run: Run, name: str, postgres_url: str) -> None:
    file = run.folder / name
    said = emotion_training(postgres_url, "labels", "import", str(file))
    assert f"{len(run.expected)} labels new, 0 changed, 0 as before, 1 rows bad" in said
    assert "names no emotion; neutral is the name of none" in said
    rows = rows_of(postgres_url)
    assert {(row["transcript_id"], row["annotator"]): row["emotions"] for row in rows} == run.expected
    assert {row["origin"] for row in rows} == {"label-studio"}
    assert AWKWARD in {row["text"] for row in rows}
    assert all(datetime.now(UTC) - row["labelled_at"] < timedelta(minutes=10) for row in rows)
    # Again, and in another form: an answer is the same label in each.
    for again in (name, FILES[FILES.index(name) - 1]):
        said = emotion_training(postgres_url, "labels", "import", str(run.folder / again))
        assert f"0 labels new, 0 changed, {len(rows)} as before" in said
    assert rows_of(postgres_url) == rows


def test_what_was_labelled_is_not_exported_again(run: Run, tmp_path: Path) -> None:
    emotion_training(run.database, "labels", "import", str(run.folder / EXPORTS["JSON"]))
    emotion_training(run.database, "labels", "export", "--output", str(tmp_path / "again"))
    tasks = json.loads((tmp_path / "again" / "tasks.json").read_text(encoding="utf-8"))
    assert {task["data"]["transcript_id"] for task in tasks} == run.unanswered


@pytest.mark.parametrize("name", FILES)
def test_the_kept_exports_look_like_those_of_this_run(run: Run, name: str) -> None:
    kept = Path(__file__).parents[1] / "data" / "label-studio" / name
    files = (kept, run.folder / name)
    if name.endswith(".json"):
        before, now = (shape(json.loads(file.read_text(encoding="utf-8"))) for file in files)
    else:
        before, now = (set(file.read_text(encoding="utf-8").splitlines()[:1]) for file in files)
    assert before == now, f"Label Studio writes {name} in another way: keep it again, with LABEL_STUDIO_KEEP"


def shape(value: Any, at: str = "") -> set[str]:
    """Name each place in a document with the kind of value that stands there."""
    if isinstance(value, dict):
        return set().union(*(shape(inner, f"{at}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return set().union({f"{at}[]"}, *(shape(inner, f"{at}[]") for inner in value))
    return {f"{at}: {type(value).__name__}"}
