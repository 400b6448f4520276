"""Labels are forgotten as they were asked for, the history holds no text, and what remains is named."""

from pathlib import Path
from typing import Any

import pytest
from bundles import make_bundle
from labelling import add_results, label
from sqlalchemy import Engine, select

from registry.publish import register
from schemas.access import TRAINER
from schemas.bundle import KNOWN_TEXTS
from schemas.tables import forgotten_labels, labelled_texts
from training.commands.groups import labels as labels_app
from training.data.known_texts import KnownTexts
from training.data.splits import identity
from training.errors import UnusableRecipe
from training.labels.table import store

OF_SOURCES = {"у горячей линии": "hotline", "у такси": "taxi", "неизвестно где": None}
ABOUT = {"transcript_id": "call-0", "source": "hotline"}


@pytest.fixture
def work(engine: Engine, tmp_path: Path) -> Path:
    """Labels of two people on four texts, one of them about a transcript of the session `call`."""
    add_results(engine, ("где мой заказ", {"anger": 0.9}))
    store(
        engine,
        [
            label("где мой заказ", "anger", **ABOUT),
            label("Где мой заказ?!", "anger", by="boris"),
            label("ой", "fear"),
            label("алло", "neutral", origin="pilot"),
            label("угу", "neutral", by="boris", origin="pilot"),
        ],
    )
    return tmp_path / "runs"


def run(*arguments: str) -> None:
    labels_app(list(arguments), result_action="return_value")


def left(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(labelled_texts.c.text).order_by(labelled_texts.c.id)))


def noted(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(forgotten_labels)).mappings()]


@pytest.mark.parametrize(
    ("chosen", "stay"),
    [
        (["--text", "ГДЕ МОЙ ЗАКАЗ"], ["ой", "алло", "угу"]),
        (["--annotator", "boris"], ["где мой заказ", "ой", "алло"]),
        (["--origin", "pilot"], ["где мой заказ", "Где мой заказ?!", "ой"]),
        (["--origin", "pilot", "--annotator", "boris"], ["где мой заказ", "Где мой заказ?!", "ой", "алло"]),
        (["--session", "call"], ["Где мой заказ?!", "ой", "алло", "угу"]),
        (["--session", "another"], ["где мой заказ", "Где мой заказ?!", "ой", "алло", "угу"]),
    ],
)
def test_what_is_chosen_goes_and_the_rest_stays(chosen: list[str], stay: list[str], engine: Engine, work: Path) -> None:
    run("forget", *chosen, "--work", str(work), "--dry-run")
    assert (len(left(engine)), noted(engine)) == (5, [])
    run("forget", *chosen, "--work", str(work), "--by", "officer")
    assert left(engine) == stay
    kind = ", ".join(name for name in ("text", "annotator", "session", "origin") if f"--{name}" in chosen)
    gone = 5 - len(stay)
    assert [(row["forgotten_by"], row["kind"], row["labels"]) for row in noted(engine)] == (
        [("officer", kind, gone)] if gone else []
    )


def test_a_session_is_found_where_the_label_names_it_and_no_result_is_left(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [label(words, "anger", session_id="call-17", source=source) for words, source in OF_SOURCES.items()]
    store(engine, [*named, label("не про то", "joy", session_id="call-18")])
    run("forget", "--session", "call-17", "--work", str(tmp_path))
    assert capsys.readouterr().out.startswith("3 labels of 3 texts are forgotten")
    assert left(engine) == ["не про то"]


def test_of_a_session_that_two_sources_have_one_can_be_chosen(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words, "anger", session_id="call-17", source=source) for words, source in OF_SOURCES.items()])
    add_results(engine, ("где мой заказ", {}))
    store(engine, [label("где мой заказ", "anger", **ABOUT)])
    run("forget", "--session", "call-17", "--source", "hotline", "--work", str(tmp_path))
    assert left(engine) == ["у такси", "где мой заказ"]
    run("forget", "--session", "call", "--source", "taxi", "--work", str(tmp_path))
    assert left(engine) == ["у такси", "где мой заказ"]
    run("forget", "--session", "call", "--source", "hotline", "--work", str(tmp_path))
    assert left(engine) == ["у такси"]


def test_a_source_without_a_session_chooses_nothing(engine: Engine, work: Path) -> None:
    with pytest.raises(UnusableRecipe, match="Add --session"):
        run("forget", "--source", "hotline", "--work", str(work))
    assert len(left(engine)) == 5


def test_the_history_holds_no_text_and_names_the_databases_user(
    engine: Engine, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("forget", "--text", "ой", "--work", str(work))
    [row] = noted(engine)
    assert row["forgotten_by"] == TRAINER
    assert "ой" not in str(row)
    capsys.readouterr()
    run("forgotten")
    assert "text" in capsys.readouterr().out


def test_each_place_that_holds_the_texts_is_named_with_what_to_do(
    engine: Engine, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in {
        "snapshot/table.jsonl": f'{{"id": "{identity("ой")}", "text": "ой"}}',
        "run-3-aaaa/snapshot/holdout.jsonl": f'{{"id": "{identity("другое")}"}}',
        "run-4-aaaa/snapshot/calls.jsonl": f'{{"id": "{identity("ой")}"}}',
        "run-4-aaaa/fold-2-labels/calls.jsonl": f'{{"id": "{identity("ой")}"}}',
        "run-4-aaaa/fold-3-labels/calls.jsonl": f'{{"id": "{identity("другое")}"}}',
        "run-5-aaaa/.snapshot.unfinished/calls.jsonl": "",
        "reports/run-1/report.html": "<p>ой</p>",
        "reports/run-2/report.html": "<p>другое</p>",
    }.items():
        (work / name).parent.mkdir(parents=True)
        (work / name).write_text(content, encoding="utf-8")
    for version, known in {"one": ["ой", "другое"], "other": ["другое"], "silent": None}.items():
        told = {"all_texts_known": True} if known else {}
        make_bundle(work / version, version=version, metrics=told)
        if known:
            (work / version / KNOWN_TEXTS).write_bytes(KnownTexts.of(known).encode())
        register(engine, work / version)
    run("forget", "--text", "ой", "--work", str(work))
    first, *places = capsys.readouterr().out.splitlines()
    assert first == "1 labels of 1 texts are forgotten"
    told = "\n".join(places)
    assert f"- {work}/snapshot holds 1 of the 1 texts: delete the folder, or let the next retraining" in told
    for name in ("snapshot", "fold-2-labels"):
        assert f"- {work}/run-4-aaaa/{name} holds 1 of the 1 texts: delete the folder" in places
    assert f"- {work}/run-5-aaaa/.snapshot.unfinished may hold the texts" in told
    assert f"- {work}/reports/run-1/report.html quotes 1 of the 1 texts: delete it" in told
    assert "- model one (candidate, " in told
    assert "has learnt 1 of the 1 texts: run `emotion-training retrain --force --set start=base`" in told
    assert "- model silent (candidate, " in told
    assert "does not list all that it has learnt" in told
    assert not any(each in told for each in ("run-3", "run-2", "fold-3", "model other"))
    assert all(each in told for each in ("backups", "labels export", "Label Studio", "emotion_results"))


def test_a_folder_for_work_that_is_not_here_is_said_to_be_missing(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("forget", "--text", "ой", "--work", str(work))
    assert f"- {work} is not here: run this with --dry-run where retraining works" in capsys.readouterr().out


def test_nothing_is_forgotten_that_nobody_chose(engine: Engine, work: Path) -> None:
    with pytest.raises(UnusableRecipe, match="say which labels"):
        run("forget", "--work", str(work))
    assert len(left(engine)) == 5
