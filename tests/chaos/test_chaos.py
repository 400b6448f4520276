"""A short trial of random events on real services; `make chaos` runs longer ones."""

import pytest
from launchers import Launcher
from run import Plan, run_trial


@pytest.mark.timeout(420)
def test_whatever_happens_to_workers_brokers_and_database_each_transcript_has_one_row(
    kafka_launcher: Launcher,  # noqa: ARG001 - where there is no Kafka, the test is skipped.
) -> None:
    trial = run_trial(Plan(seed=14, events=12, minutes=1.5, workers=2))
    assert trial.faults == [], f"logs in {trial.folder}"
