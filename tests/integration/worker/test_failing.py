"""A worker that needs a person says so for a while before it ends."""

import pytest
from flow import BAD, Flow
from probe import Probe
from services import wait_for

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"WORKER_KAFKA_TOPIC": "missing"}, "there is no topic missing"),
        ({"WORKER_KAFKA_TOPIC": "one", "WORKER_KAFKA_RESULTS_TOPIC": "one"}, "give results a topic of their own"),
        ({"WORKER_DEAD_LETTERS_IN_A_ROW": "2"}, "records in a row are dead letters"),
    ],
)
def test_a_worker_that_needs_a_person_is_unhealthy_until_it_ends(
    flow: Flow, settings: dict[str, str], why: str
) -> None:
    flow.publish_raw(BAD * 4)
    worker = flow.start(WORKER_EXIT_DELAY_S="600", **settings)
    probe = Probe(worker)
    wait_for(lambda: probe.get("/healthz")[0] == 503, what="the complaint")

    said = probe.get("/healthz")[1]
    assert said.startswith("stopped, and needs a person: ")
    assert why in said
    assert probe.metrics()["emotion_ready",] == 0
    wait_for(lambda: worker.said("/healthz says why until it ends"), what="the log line")
    assert worker.process.poll() is None
    assert worker.stop() == 2
