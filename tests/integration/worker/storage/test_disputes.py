"""The database refuses a chunk: its claim was overtaken, or its offset is not where the worker left it."""

from pathlib import Path

import pytest
from flow import Flow
from probe import Probe
from services import Postgres, wait_for

pytestmark = pytest.mark.kafka


def test_a_late_claim_of_an_earlier_owner_costs_the_owner_no_record(flow: Flow) -> None:
    flow.publish(300)
    owner = flow.start()
    probe = Probe(owner)
    flow.wait_for_rows(300)

    # What a claim does that hung in the network and executes after the owner's: nobody reads under it.
    flow.query("UPDATE consumer_offsets SET epoch = epoch + 1")
    flow.publish(300)

    flow.wait_for_rows(600)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert owner.said("have another owner")
    assert probe.metrics()["emotion_fenced_records_total",] > 0
    wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), what="readiness")
    assert owner.stop() == 0
    flow.assert_each_once()


def test_a_worker_goes_on_from_what_is_left_where_the_database_lost_its_last_commits(
    kafka: str, topic: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    # As after the promotion of an asynchronous standby: commits were acknowledged, and are gone.
    own_postgres.execute("ALTER SYSTEM SET synchronous_commit = off")
    own_postgres.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    own_postgres.execute("SELECT pg_reload_conf()")
    flow = Flow(kafka, topic, own_postgres.url(), tmp_path)
    flow.publish(1_500)
    worker = flow.start(STUB_SECONDS="0.05", WORKER_MAX_RECORDS="16")
    flow.wait_for_rows(300)

    own_postgres.kill()
    own_postgres.start()

    flow.wait_for_rows(1_500)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.said("not where this worker left them"), "no commit was lost: the test shows nothing"
    assert worker.stop() == 0
    flow.assert_each_once()
    flow.close()


def test_a_partition_that_the_database_lost_is_read_from_where_it_first_stood(flow: Flow) -> None:
    flow.publish(200)
    worker = flow.start()
    flow.wait_for_rows(200)
    wait_for(flow.stored_to_the_end, what="the end of the log")

    # Kafka's committed offsets are ahead of a database that lost all of this.
    flow.query("DELETE FROM consumer_offsets")
    flow.query("DELETE FROM emotion_results")
    flow.publish(100)

    flow.wait_for_rows(300)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0
    flow.assert_each_once()


def test_commits_that_the_database_lost_are_missed_though_no_record_comes(
    kafka: str, topic: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    own_postgres.forget_at_a_crash()
    flow = Flow(kafka, topic, own_postgres.url(), tmp_path)
    flow.publish(300)
    worker = flow.start(STUB_HASTY="1")
    flow.wait_for_rows(300)
    wait_for(flow.stored_to_the_end, what="the end of the log")

    own_postgres.kill()
    own_postgres.start()

    wait_for(lambda: worker.said("not where this worker left them"), what="the missing commits to be noticed")
    flow.wait_for_rows(300)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0
    flow.assert_each_once()
    flow.close()
