"""The commands models and runs, and what they say where the database cannot be used."""

import json
from pathlib import Path

import pytest
from bundles import make_bundle
from services import Postgres, engine_fixture
from sqlalchemy import Engine, select

from schemas.bundle import MANIFEST
from schemas.tables import training_runs
from training.cli import main
from training.database import UnusableDatabase, connect
from training.registry import versions

engine = engine_fixture(connect)


def test_a_database_without_tables_or_rights_or_life_is_told_in_one_line(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE stranger LOGIN PASSWORD 'right'")
    empty = own_postgres.url(own_postgres.create_database())
    stranger = own_postgres.url().replace("postgres@", "stranger:{}@")
    cases = {
        empty: "lacks what training needs.*emotion-worker migrate",
        stranger.format("wrong"): "refuses us.*password authentication failed",
        stranger.format("right"): "refuses us.*permission denied",
        own_postgres.url("nowhere"): 'refuses us.*"nowhere" does not exist',
    }
    for url, complaint in cases.items():
        with pytest.raises(UnusableDatabase, match=complaint) as refused:
            versions(connect(url))
        assert "\n" not in str(refused.value)
    own_postgres.stop()
    with pytest.raises(UnusableDatabase, match="Postgres is away"):
        versions(connect(own_postgres.url()))


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_DATABASE_URL", raising=False)
    monkeypatch.setenv("WORKER_DATABASE_URL", "postgres://user@second/worker")
    assert connect().url.host == "second"
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://user@first/training?sslmode=require")
    assert connect().url.host == "first"
    assert connect("postgresql+psycopg://user@given/one").url.host == "given"
    for wrong in ("mysql://user:secret@host/one", "postgresql://user:secret@host:port/one"):
        with pytest.raises(UnusableDatabase, match="postgresql://") as refused:
            connect(wrong)
        assert "secret" not in str(refused.value)
    monkeypatch.delenv("TRAINING_DATABASE_URL")
    monkeypatch.delenv("WORKER_DATABASE_URL")
    with pytest.raises(UnusableDatabase, match="set TRAINING_DATABASE_URL"):
        connect()


def test_the_commands_do_all_of_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TRAINING_MODEL_STORE", str(tmp_path / "store"))

    def said(*command: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(command))
        answer = capsys.readouterr()
        return answer.err if ended.value.code else answer.out

    for name in ("one", "two"):
        make_bundle(tmp_path / name, version=name, metrics={"as_served": {"weighted_f1": 0.61234}})
        assert said("models", "register", str(tmp_path / name)) == f"{name} is a candidate\n"
        assert said("models", "promote", name).startswith(f"{name} is the champion")
    assert said("models", "promote", "tow") == "emotion-training: there is no version tow; the nearest is two\n"
    assert said("models", "rollback").startswith("one is the champion again")
    head, one, two = said("models", "list").splitlines()
    assert head.split() == ["version", "state", "weighted", "F1", "created", "promoted", "location"]
    assert one.split()[:3] == ["one", "champion", "0.6123"]
    assert two.split()[:2] == ["two", "retired"]
    assert two.endswith(str(tmp_path / "store" / "two"))
    assert said("models", "prune", "--keep", "0") == ""
    (tmp_path / "store" / "two" / MANIFEST).unlink()
    broken = said("models", "promote", "two")
    assert broken.startswith("emotion-training: ")
    assert broken.endswith(f"holds no complete bundle: {MANIFEST} is missing. Copy it there anew\n")


def test_a_run_is_shown_with_every_number_and_verdict(
    engine: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    details = {"gate": {"gain": [0.004, 0.021], "verdict": "радость не упала"}}
    rejected = {"state": "rejected", "model_version": "two", "reason": "no gain", "details": details}
    with engine.begin() as connection:
        connection.execute(training_runs.insert().values(state="running"))
        connection.execute(training_runs.insert().values(rejected))
        numbers = connection.execute(select(training_runs.c.id).order_by("id")).scalars().all()

    def said(*command: str) -> str:
        with pytest.raises(SystemExit):
            main(["runs", *command])
        answer = capsys.readouterr()
        return answer.out + answer.err

    head, second, first = said("list").splitlines()
    assert head.split() == ["run", "state", "model", "started", "finished", "reason"]
    assert second.split()[:3] == [str(numbers[1]), "rejected", "two"]
    assert second.endswith("no gain")
    assert first.split()[:3] == [str(numbers[0]), "running", "-"]
    shown = said("show", str(numbers[1]))
    assert "state: rejected\nmodel version: two\nreason: no gain\n" in shown
    assert json.loads(shown[shown.index("{") :]) == details
    assert said("show", "999") == f"emotion-training: there is no run 999; the latest is {numbers[1]}\n"
