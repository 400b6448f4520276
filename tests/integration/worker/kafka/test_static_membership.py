"""A worker that has a name in its group keeps its partitions over a restart, and shares the name with nobody."""

import signal

from flow import Flow, WorkerProcess
from services import wait_for

NAMES = ("worker-0", "worker-1")


def start(flow: Flow, name: str, session_s: int = 30) -> WorkerProcess:
    return flow.start(
        WORKER_KAFKA_INSTANCE_ID=name, WORKER_KAFKA_SESSION_TIMEOUT_MS=str(session_s * 1000), STUB_HASTY="1"
    )


def claimed(worker: WorkerProcess) -> set[int]:
    """The partitions that a worker has claimed since it last got some."""
    lines = worker.said("partition")
    last = max((at for at, line in enumerate(lines) if line["event"] == "partitions came"), default=0)
    return {line["partition"] for line in lines[last:] if line["event"] == "partition claimed"}


def changes(worker: WorkerProcess) -> int:
    return len(worker.said("partitions came")) + len(worker.said("partitions went"))


def test_a_rolling_restart_within_the_session_timeout_moves_no_partition(flow: Flow) -> None:
    workers = [start(flow, name) for name in NAMES]
    wait_for(lambda: all(len(claimed(worker)) == 2 for worker in workers), "two partitions each")
    before = [claimed(worker) for worker in workers]
    rounds = zip(NAMES, (signal.SIGTERM, signal.SIGKILL), strict=True)
    for number, (name, ending) in enumerate(rounds):  # The first to come leads the group.
        other = workers[1 - number]
        calm = changes(other)
        workers[number].send(ending)
        assert workers[number].wait() == (0 if ending == signal.SIGTERM else -ending)
        flow.publish(20)
        workers[number] = start(flow, name)
        flow.wait_for_rows(20 * (number + 1))
        wait_for(lambda again=workers[number]: len(claimed(again)) == 2, "its partitions")
        assert changes(workers[number]) == 1, "they came at once"
        assert changes(other) == calm

    assert [claimed(worker) for worker in workers] == before
    flow.assert_each_once()
    assert [worker.stop() for worker in workers] == [0, 0]


def test_an_idle_worker_whose_name_another_takes_ends_with_one_line(flow: Flow) -> None:
    first = start(flow, NAMES[0])
    wait_for(lambda: len(claimed(first)) == 4, "all partitions")
    second = start(flow, NAMES[0])
    assert first.wait() == 2, first.output()
    [complaint] = [line["event"] for line in first.log if line["level"] == "error"]
    assert "give each its own WORKER_KAFKA_INSTANCE_ID" in complaint

    flow.publish(20)
    flow.wait_for_rows(20)
    flow.assert_each_once()
    assert second.stop() == 0
