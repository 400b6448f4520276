"""Runs of the retraining job: one at a time, each with a row and a folder, whatever becomes of its process."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import stamina
from services import (
    Postgres,
    advisory_locks,
    before_a_retry,
    end_sessions_with_a_lock,
    engine_fixture,
    outage,
    wait_for,
)
from sqlalchemy import Engine, func, insert, select, text, update

from registry.errors import UnknownProtocol, UnusableLocation
from registry.postgres import DatabaseAway
from schemas.tables import training_runs
from training.database import connect, identity
from training.errors import AnotherRun, LostRun, UnusableOutput
from training.retrain.run_folders import mark
from training.retrain.runs import exclusive_run, sweep
from training.signals import Interrupted

HOLDS = """
import sys, time
from pathlib import Path
from training.database import connect
from training.retrain.runs import exclusive_run
with exclusive_run(connect(sys.argv[1]), Path(sys.argv[2])) as run:
    (run.folder / "work").write_text("half done")
    time.sleep(600)
"""


engine = engine_fixture(connect)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(training_runs).order_by(training_runs.c.id)))


def files(folder: Path) -> list[str]:
    """Return the names of a run's files, but for the mark of its database."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".run-of")


def interrupt(engine: Engine, work: Path) -> int:
    number = 0
    with pytest.raises(Interrupted), exclusive_run(engine, work) as run:  # noqa: PT012 - the end of the block is the subject.
        number = run.id
        (run.folder / "work").write_text("half done")
        raise Interrupted
    return number


def test_a_run_that_finishes_leaves_its_verdict_and_no_folder(engine: Engine, work: Path) -> None:
    with exclusive_run(engine, work) as run:
        assert (run.folder.is_dir(), run.resumed) == (True, False)
        run.note(rows=300, gate={"gain": 0.01})
        run.note(rows=301)
        run.finish("promoted", "better by 0.01", model_version="mine-2")
    [row] = rows(engine)
    assert (row.id, row.state, row.reason, row.model_version) == (run.id, "promoted", "better by 0.01", "mine-2")
    assert row.details == {"rows": 301, "gate": {"gain": 0.01}}
    assert row.finished_at > row.started_at
    assert list(work.iterdir()) == []


def test_what_is_noted_shows_at_once(engine: Engine, work: Path) -> None:
    with exclusive_run(engine, work) as run:
        run.note(rows=300)
        [row] = rows(engine)
        assert (row.state, row.details) == ("running", {"rows": 300})
        run.finish("skipped", "too few new labels")


def test_a_crash_leaves_a_failed_run_with_its_reason_and_a_clean_disk(engine: Engine, work: Path) -> None:
    with pytest.raises(RuntimeError), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        (run.folder / "work").write_text("half done")
        raise RuntimeError("CUDA error: an illegal memory access\nand a paragraph of advice")
    [row] = rows(engine)
    assert (row.state, row.reason) == ("failed", "CUDA error: an illegal memory access")
    assert row.finished_at
    assert list(work.iterdir()) == []


def test_a_run_without_a_verdict_has_failed(engine: Engine, work: Path) -> None:
    with exclusive_run(engine, work):
        pass
    assert [(row.state, row.reason) for row in rows(engine)] == [("failed", "it came to no verdict")]


def test_an_error_after_the_verdict_does_not_change_it(engine: Engine, work: Path) -> None:
    with pytest.raises(Interrupted), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        run.finish("rejected", "no better")
        raise Interrupted
    assert [row.state for row in rows(engine)] == ["rejected"]
    assert list(work.iterdir()) == []


def test_an_interrupted_run_is_taken_up_again(engine: Engine, work: Path) -> None:
    number = interrupt(engine, work)
    [row] = rows(engine)
    assert (row.state, row.reason, row.finished_at) == ("interrupted", "stopped by SIGTERM", None)

    with exclusive_run(engine, work) as run:
        assert (run.id, run.resumed) == (number, True)
        assert (run.folder / "work").read_text() == "half done"
        assert [(row.state, row.reason) for row in rows(engine)] == [("running", None)]
        run.finish("rejected", "no better")
    assert [row.state for row in rows(engine)] == ["rejected"]


def test_an_interrupted_run_whose_folder_is_elsewhere_has_failed(engine: Engine, work: Path, tmp_path: Path) -> None:
    number = interrupt(engine, work)
    with exclusive_run(engine, tmp_path / "of another machine") as run:
        assert (run.id != number, run.resumed) == (True, False)
        run.finish("skipped", "too few new labels")
    old, new = rows(engine)
    assert (old.state, new.state) == ("failed", "skipped")
    assert old.reason.startswith("it was interrupted on another machine, or with another folder for work")
    with exclusive_run(engine, work) as run:
        assert [path.name for path in work.iterdir()] == [run.folder.name], (
            "the folder that nobody goes on from is gone"
        )
        run.finish("skipped", "too few new labels")


def test_two_databases_that_share_a_folder_for_work_leave_each_others_runs_alone(
    engine: Engine, own_postgres: Postgres, work: Path
) -> None:
    """Their runs have the same numbers."""
    other = connect(own_postgres.url())
    with other.begin() as connection:
        connection.execute(insert(training_runs).values(state="skipped"))
        first = connection.execute(select(func.max(training_runs.c.id))).scalar_one()
    with engine.begin() as connection:
        connection.execute(insert(training_runs).values(id=first, state="skipped"))
        connection.execute(text(f"ALTER SEQUENCE training_runs_id_seq RESTART WITH {first + 1}"))
    numbers = [interrupt(each, work) for each in (engine, other)]
    assert numbers[0] == numbers[1]
    for each, number in zip((engine, other), numbers, strict=True):
        sweep(each, work)
        with exclusive_run(each, work) as run:
            assert (run.id, run.resumed, (run.folder / "work").read_text()) == (number, True, "half done")
            run.begin_anew("its settings changed")
            run.finish("skipped", "too few new labels")
    assert list(work.iterdir()) == []
    other.dispose()


def test_a_run_removes_no_folder_that_it_did_not_make(engine: Engine, work: Path, tmp_path: Path) -> None:
    interrupt(engine, work)
    [ours] = work.iterdir()
    for name in ("run-1", "run-of-the-mill", "runs"):
        (work / name).mkdir()
        (work / name / "mine.txt").write_text("mine")
    shutil.copytree(ours, tmp_path / "elsewhere")
    (work / "run-linked").symlink_to(tmp_path / "elsewhere")
    with exclusive_run(engine, work) as run:
        run.begin_anew("its settings changed")
        run.finish("skipped", "too few new labels")
    assert sorted(path.name for path in work.iterdir()) == ["run-1", "run-linked", "run-of-the-mill", "runs"]
    assert all((work / name / "mine.txt").is_file() for name in ("run-1", "run-of-the-mill", "runs"))
    assert (tmp_path / "elsewhere" / "work").is_file()


def test_what_a_run_keeps_takes_the_place_of_nothing_but_what_another_run_kept(engine: Engine, work: Path) -> None:
    for said in ("first", "second"):
        with exclusive_run(engine, work) as run:
            (run.folder / "made").mkdir()
            (run.folder / "made" / "said").write_text(said)
            run.folders.keep(run.folder / "made", "kept/here")
            run.finish("skipped", "too few new labels")
    assert (work / "kept" / "here" / "said").read_text() == "second"
    (work / "mine").mkdir()
    with pytest.raises(UnusableOutput, match="mine was not left by a run"), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        (run.folder / "made").mkdir()
        run.folders.keep(run.folder / "made", "mine")
    assert (work / "mine").is_dir()


def test_any_user_of_the_database_can_tell_it_from_others(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE plain LOGIN PASSWORD 'right'")
    said = []
    for url in (own_postgres.url(), own_postgres.url().replace("postgres@", "plain:right@")):
        plain = connect(url)
        with plain.connect() as connection:
            said.append(identity(connection))
        plain.dispose()
    assert said[0] == said[1]


def test_a_second_run_is_refused_while_one_goes_on_and_after_a_kill_it_cleans_up(
    engine: Engine, work: Path, postgres_url: str
) -> None:
    command = [sys.executable, "-c", HOLDS, postgres_url, str(work)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as other:
        left = wait_for(lambda: next(work.glob("run-*/work"), None), what="the other process")
        with pytest.raises(AnotherRun, match="another process is retraining"), exclusive_run(engine, work):
            pass
        assert [row.state for row in rows(engine)] == ["running"]
        other.send_signal(signal.SIGKILL)
    assert left.is_file()

    def taken() -> bool:
        try:
            with exclusive_run(engine, work) as run:
                assert not run.resumed
                assert not left.exists()
                run.finish("skipped", "too few new labels")
        except AnotherRun:  # Postgres has not noticed yet.
            return False
        return True

    wait_for(taken, what="the lock of the killed process")
    killed, _ = rows(engine)
    assert (killed.state, killed.reason) == ("failed", "its process ended without a word")
    assert killed.finished_at


def test_a_run_whose_lock_went_to_another_changes_nothing_any_more(engine: Engine, work: Path, tmp_path: Path) -> None:
    with pytest.raises(LostRun, match="lost its lock"), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        end_sessions_with_a_lock(engine)
        with exclusive_run(engine, tmp_path / "of another machine") as other:
            with pytest.raises(LostRun):
                run.note(rows=300)
            other.finish("skipped", "too few new labels")
        with engine.begin() as connection:
            connection.execute(insert(training_runs).values(state="promoted"))
            run.finish_within(connection, "promoted", "better by 0.01", "mine-2")
    assert [row.state for row in rows(engine)] == ["failed", "skipped"], "what was to come with its end did not"


def test_a_run_goes_on_after_a_restart_of_postgres(own_postgres: Postgres, work: Path) -> None:
    engine = connect(own_postgres.url())
    with exclusive_run(engine, work) as run:
        own_postgres.kill()
        own_postgres.start()
        run.note(rows=300)
        with pytest.raises(AnotherRun), exclusive_run(engine, work):
            pass
        run.finish("rejected", "no better")
    assert [row.state for row in rows(engine)] == ["rejected"]
    engine.dispose()


def test_an_outage_of_postgres_is_waited_out(own_postgres: Postgres, work: Path) -> None:
    """It would cost the candidate that was being fitted meanwhile."""
    engine = connect(own_postgres.url())
    with exclusive_run(engine, work) as run:
        for step in (lambda: run.note(rows=300), lambda: run.finish("rejected", "no better")):
            own_postgres.stop()
            with before_a_retry(own_postgres.start):
                step()
    assert [(row.state, row.details) for row in rows(engine)] == [("rejected", {"rows": 300})]
    engine.dispose()


@pytest.mark.parametrize("swept", [False, True])
def test_a_run_that_waited_for_postgres_in_vain_goes_on_at_the_next_start(
    swept: bool, own_postgres: Postgres, work: Path
) -> None:
    engine = connect(own_postgres.url())
    with stamina.set_testing(True, attempts=2), pytest.raises(DatabaseAway), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        (run.folder / "work").write_text("half done")
        run.note(rows=300)
        own_postgres.stop()
        run.note(rows=301)
    own_postgres.start()
    if swept:
        sweep(engine, work)
        [row] = rows(engine)
        assert row.state == "interrupted"
        assert row.reason.startswith("Postgres is away")
    with exclusive_run(engine, work) as again:
        assert (again.id, again.resumed, again.noted) == (run.id, True, {"rows": 300})
        assert files(again.folder) == ["work"]
        again.finish("rejected", "no better")
    engine.dispose()


def test_a_run_that_cannot_go_on_as_it_was_begins_anew(engine: Engine, work: Path) -> None:
    interrupt(engine, work)
    with exclusive_run(engine, work) as run:
        run.note(rows=300)
        run.begin_anew("its settings changed")
        assert (run.resumed, run.noted, files(run.folder)) == (False, {}, [])
        assert list(work.iterdir()) == [run.folder]
        run.finish("skipped", "too few new labels")
    old, new = rows(engine)
    assert (old.state, old.reason, new.state, new.details) == ("failed", "its settings changed", "skipped", {})
    assert old.finished_at


def test_a_run_that_begins_anew_waits_an_outage_of_postgres_out(own_postgres: Postgres, work: Path) -> None:
    engine = connect(own_postgres.url())
    with exclusive_run(engine, work) as run:
        own_postgres.stop()
        with before_a_retry(own_postgres.start):
            run.begin_anew("its settings changed")
        run.finish("skipped", "too few new labels")
    assert [row.state for row in rows(engine)] == ["failed", "skipped"]
    engine.dispose()


@pytest.mark.parametrize("here", [True, False])
def test_a_run_of_another_machine_is_not_swept_when_its_lock_went_with_the_connection(
    here: bool, engine: Engine, work: Path, tmp_path: Path
) -> None:
    """It takes the lock again with the next thing that it says; here none but a dead process leaves a folder behind."""
    with exclusive_run(engine, work) as run:
        end_sessions_with_a_lock(engine)
        sweep(engine, work if here else tmp_path / "of another machine")
        assert [row.state for row in rows(engine)] == ["failed" if here else "running"]
        if not here:
            run.finish("rejected", "no better")
    assert [row.state for row in rows(engine)] == ["failed" if here else "rejected"]


@contextmanager
def no_commit(engine: Engine) -> Iterator[None]:
    with outage(engine), pytest.raises(DatabaseAway):
        yield


def test_a_dead_run_whose_row_could_not_be_changed_is_swept_another_time(engine: Engine, work: Path) -> None:
    """It is found by its folder, which therefore goes last."""
    with exclusive_run(engine, work) as run:
        end_sessions_with_a_lock(engine)
        with no_commit(engine):
            sweep(engine, work)
        assert [row.state for row in rows(engine)] == ["running"]
        sweep(engine, work)
        assert ([row.state for row in rows(engine)], run.folder.exists()) == (["failed"], False)


def test_a_run_that_failed_during_an_outage_is_called_so_when_it_is_over(engine: Engine, work: Path) -> None:
    with ExitStack() as stack, pytest.raises(UnknownProtocol), exclusive_run(engine, work):  # noqa: PT012 - as above.
        stack.enter_context(outage(engine))
        raise UnknownProtocol("no such store")
    assert [row.state for row in rows(engine)] == ["running"]
    sweep(engine, work)
    assert ([row.state for row in rows(engine)], list(work.iterdir())) == (["failed"], [])


def test_a_run_that_begins_anew_without_an_answer_leaves_one_row_that_runs(engine: Engine, work: Path) -> None:
    with exclusive_run(engine, work) as run:
        with engine.begin() as connection:
            connection.execute(insert(training_runs).values(state="running"))
        run.begin_anew("another champion")
        assert [row.state for row in rows(engine)] == ["failed", "failed", "running"]
        run.finish("skipped", "nothing is new")


def test_a_run_that_was_interrupted_during_an_outage_survives_another_one(engine: Engine, work: Path) -> None:
    with pytest.raises(Interrupted), exclusive_run(engine, work) as run:  # noqa: PT012 - as above.
        (run.folder / "work").write_text("half done")
        mark(run.folder, "Postgres is away")
        raise Interrupted
    with engine.begin() as connection:
        connection.execute(update(training_runs).values(state="running", reason=None))
    with no_commit(engine), exclusive_run(engine, work):
        pass
    with exclusive_run(engine, work) as again:
        assert (again.id, again.resumed) == (run.id, True)
        again.finish("rejected", "no better")


def test_a_folder_that_cannot_be_made_leaves_no_row(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusableOutput, match="cannot hold the work of a run"), exclusive_run(engine, tmp_path / "file"):
        pass
    assert rows(engine) == []


def test_the_lock_is_given_up_with_the_run(engine: Engine, work: Path) -> None:
    with engine.begin() as connection:
        connection.execute(insert(training_runs).values(state="skipped"))
    for _ in range(2):
        with exclusive_run(engine, work) as run:
            run.finish("skipped", "too few new labels")
    wait_for(lambda: not advisory_locks(engine), what="the end of the lock")


@pytest.mark.parametrize(("error", "state"), [(UnusableLocation, "interrupted"), (UnknownProtocol, "failed")])
def test_a_store_that_is_away_costs_no_fit(
    engine: Engine, work: Path, error: type[UnusableLocation], state: str
) -> None:
    with pytest.raises(error), exclusive_run(engine, work) as run:
        raise error("the store cannot be used")
    assert [row.state for row in rows(engine)] == [state]
    assert run.folder.is_dir() is (state == "interrupted")


def test_a_run_whose_end_was_stored_without_an_answer_has_not_lost_its_lock(engine: Engine, work: Path) -> None:
    """The connection may break between the commit and its answer; then the end is stored once more."""
    with exclusive_run(engine, work) as run:
        run.finish("skipped", "nothing is new")
        run.finish("skipped", "nothing is new")
        with pytest.raises(LostRun):
            run.finish("rejected", "worse")
    assert [row.state for row in rows(engine)] == ["skipped"]
