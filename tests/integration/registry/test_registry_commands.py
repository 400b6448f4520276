"""The commands models and runs, and what they say where the database cannot be used."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import BOTH, make_bundle
from commands import told_error
from services import Postgres, as_role, engine_fixture
from sqlalchemy import Engine, select

from registry.errors import ConfigurationError
from registry.lifecycle import reject, versions
from registry.postgres import DatabaseAway
from registry.publish import register
from schemas.access import TRAINER
from schemas.bundle import MANIFEST
from schemas.emotions import EMOTIONS
from schemas.tables import training_runs
from training.cli import main
from training.database import connect

engine = engine_fixture(connect)


def test_a_database_without_tables_or_rights_or_life_is_told_in_one_line(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE stranger LOGIN PASSWORD 'right'")
    empty = own_postgres.url(own_postgres.create_database())
    stranger = own_postgres.url().replace("postgres@", "stranger:{}@")
    cases = {
        empty: "lacks a table.*emotion-worker migrate",
        stranger.format("wrong"): "refuses us.*password authentication failed",
        stranger.format("right"): "refuses us.*permission denied",
        own_postgres.url("nowhere"): 'refuses us.*"nowhere" does not exist',
    }
    for url, complaint in cases.items():
        with pytest.raises(ConfigurationError, match=complaint) as refused:
            versions(connect(url))
        assert "\n" not in str(refused.value)
    own_postgres.stop()
    with pytest.raises(DatabaseAway, match="Postgres is away"):
        versions(connect(own_postgres.url()))


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_DATABASE_URL", raising=False)
    monkeypatch.setenv("WORKER_DATABASE_URL", "postgres://user@second/worker")
    assert connect().url.host == "second"
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://user@first/training?sslmode=require")
    assert connect().url.host == "first"
    assert connect("postgresql+psycopg://user@given/one").url.host == "given"
    for wrong in ("mysql://user:secret@host/one", "postgresql://user:secret@host:port/one"):
        with pytest.raises(ConfigurationError, match="postgresql://") as refused:
            connect(wrong)
        assert "secret" not in str(refused.value)
    monkeypatch.delenv("TRAINING_DATABASE_URL")
    monkeypatch.delenv("WORKER_DATABASE_URL")
    with pytest.raises(ConfigurationError, match="set TRAINING_DATABASE_URL"):
        connect()


def test_the_commands_do_all_of_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    monkeypatch.setenv("TRAINING_MODEL_STORE", str(tmp_path / "store"))

    def said(*command: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(command))
        answer = capsys.readouterr()
        return told_error(answer.err) if ended.value.code else answer.out

    for name in ("one", "two"):
        make_bundle(tmp_path / name, version=name, metrics={"as_served": {"weighted_f1": 0.61234}})
        assert said("models", "register", str(tmp_path / name)) == f"{name} is a candidate\n"
        assert said("models", "promote", name).startswith(f"{name} is the champion")
    assert said("models", "promote", "tow") == "there is no version tow; the nearest is two"
    assert said("models", "rollback").startswith("one is the champion again")
    head, one, two = said("models", "list").splitlines()
    assert head.split() == ["version", "state", "weighted", "F1", "created", "promoted", "location"]
    assert one.split()[:3] == ["one", "champion", "0.6123"]
    assert two.split()[:2] == ["two", "retired"]
    assert two.endswith(str(tmp_path / "store" / "two"))
    assert said("models", "reject", "one") == "one is the champion: promote another version or roll back first"
    assert said("models", "prune", "--keep", "0", "--dry-run") == ""
    assert said("models", "prune", "--keep", "0") == ""
    (tmp_path / "store" / "two" / MANIFEST).unlink()
    broken = said("models", "promote", "two")
    assert f"holds no complete bundle: {MANIFEST} is missing. Name a folder" in broken
    assert broken.endswith("or copy the bundle there again")


def test_a_version_is_rejected_with_a_reason(
    engine: Engine,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    make_bundle(tmp_path / "made", version="one")
    register(engine, tmp_path / "made")
    with pytest.raises(SystemExit):
        main(["models", "reject", "one", "--reason", "misses sarcasm"])
    assert capsys.readouterr().out == "one is rejected\n"
    [row] = versions(engine)
    assert (row.state, row.metrics["rejected"]) == ("rejected", "misses sarcasm")


def test_models_are_listed_without_torch(postgres_url: str) -> None:
    code = """
import sys
from training.cli import main
try:
    main(["models", "list"])
finally:
    print([name for name in ("torch", "transformers", "sklearn", "scipy") if name in sys.modules])
"""
    environment = os.environ | {"TRAINING_DATABASE_URL": as_role(postgres_url, TRAINER)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    head, imported = done.stdout.splitlines()
    assert head.startswith("version")
    assert imported == "[]"


def test_a_model_is_shown_and_two_are_compared_by_version_or_folder(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))

    def said(*command: str) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            main(["models", *command])
        answer = capsys.readouterr()
        return (told_error(answer.err) if ended.value.code else answer.out).splitlines()

    for name, rate, f1, joy in (("one", 1e-4, 0.6, 0.4), ("two", 2e-4, 0.65, 0.5)):
        metrics = {
            "rows": {"ru_calls": 300},
            "settings": {"learning": {"learning_rate": rate, "loss": "bce"}},
            "as_served": {"rows": 30, "weighted_f1": f1},
        }
        thresholds = dict.fromkeys(EMOTIONS, 0.5) | {"joy": joy}
        others = {"others": {"calls": BOTH["others"]["public"]}} if name == "two" else {}
        make_bundle(
            tmp_path / name,
            version=name,
            metrics=metrics,
            thresholds=thresholds,
            data_fingerprint=f"of {name}",
            **others,
        )
        said("register", str(tmp_path / name))
    shown = said("show", "one")
    for line in ("state +candidate", "version +one", "ru_calls +300", r"learning\.learning_rate +0\.0001", "joy +0.4"):
        assert any(re.fullmatch(f"  {line}", each) for each in shown), line
    # A folder needs no registry, and says all but its state there.
    assert said("show", str(tmp_path / "one")) == shown[shown.index("bundle") :]
    found = said("diff", "one", str(tmp_path / "two"))
    for line in (
        "data fingerprint +of one +of two",
        "conventions +public +public, calls",
        r"learning\.learning_rate +0\.0001 +0\.0002 +\+0\.0001",
        r"joy +0\.4 +0\.5 +\+0\.1",
        r"weighted F1 +0\.6 +0\.65 +\+0\.05",
    ):
        assert any(re.fullmatch(f"  {line}", each) for each in found), (line, found)
    assert not any(word in line for line in found for word in ("ru_calls", "learning.loss"))
    assert said("diff", "one", "one") == ["they differ in nothing that their manifests tell"]
    assert said("show", "three")[0].startswith("there is no version three; the nearest is ")


def test_a_prune_says_what_it_would_delete_and_then_what_it_deleted(
    engine: Engine,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    make_bundle(tmp_path / "made", version="one")
    register(engine, tmp_path / "made", str(tmp_path / "store"))
    reject(engine, "one", "worse")
    for options, said in ((["--dry-run"], "would be deleted"), ([], "is deleted")):
        with pytest.raises(SystemExit):
            main(["models", "prune", "--keep", "0", *options])
        assert capsys.readouterr().out == f"the bundle of one {said}\n"
    assert list((tmp_path / "store").iterdir()) == []


def test_a_run_is_shown_with_every_number_and_verdict(
    engine: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
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
        return answer.out or told_error(answer.err)

    head, second, first = said("list").splitlines()
    assert head.split() == ["run", "state", "model", "started", "finished", "reason"]
    assert second.split()[:3] == [str(numbers[1]), "rejected", "two"]
    assert second.endswith("no gain")
    assert first.split()[:3] == [str(numbers[0]), "running", "-"]
    shown = said("show", str(numbers[1]))
    assert "state: rejected\nmodel version: two\nreason: no gain\n" in shown
    assert json.loads(shown[shown.index("{") :]) == details
    assert said("show", "999") == f"there is no run 999; the latest is {numbers[1]}"
