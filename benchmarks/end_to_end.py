"""How fast the whole flow is: our worker and the one of an afternoon, on the same messages, machine and model.

python benchmarks/end_to_end.py --messages 4000 --naive-messages 1000
python benchmarks/end_to_end.py --messages 200000 --stub       the flow alone: no model, nothing to compare with
python benchmarks/end_to_end.py --messages 40000 --stub --results 3    with results sent to a topic, by turns without
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from harness import RESULTS, STUB, TOPIC, Services, WorkerProcess, running_worker, services, texts, transcripts
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from worker.inference.load import released_model

TRICKLE_PER_S = 20


class Result(Struct, kw_only=True):
    """What `--json` prints."""

    messages: int
    max_records: int
    device: str
    ours_msg_per_s: float
    naive_msg_per_s: float | None = None
    ratio: float | None = None
    p50_ms: float | None = None
    """From handing a message to the producer until its row can be seen, at a trickle of 20 messages a second."""
    p99_ms: float | None = None
    results_ratio: float | None = None
    """Messages a second where results are sent to a topic too, by those without: medians of turns."""
    peak_rss_mb: float
    stages: dict[str, float]
    """Share of the time in which each stage was at work, or waited in a poll; they run side by side."""


def drain(worker: WorkerProcess, place: Services, messages: int) -> tuple[float, dict[str, float]]:
    """Wait until all is stored.

    Returns:
        Messages a second from the first transaction to the last, and each stage's share of that time.
    """
    worker.wait_for_stored(1)
    start, before = time.perf_counter(), worker.stage_seconds()
    worker.wait_for_stored(messages)
    seconds, after = time.perf_counter() - start, worker.stage_seconds()
    ((rows, between),) = place.query(
        "SELECT count(*) FILTER (WHERE processed_at > began), extract(epoch FROM max(processed_at) - min(began)) "
        "FROM emotion_results, (SELECT min(processed_at) AS began FROM emotion_results) AS first"
    )
    if not between:
        raise SystemExit("one chunk held all the messages: give more of them, or a smaller --max-records")
    shares = {stage: round((after[stage] - before.get(stage, 0)) / seconds, 3) for stage in after}
    return rows / float(between), shares


def trickle(worker: WorkerProcess, place: Services, seconds: float) -> tuple[float, float]:
    """Publish a few messages a second; return p50 and p99 of the milliseconds until their rows can be seen."""
    producer = place.producer()
    lines = texts(seed=1)
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    start = time.perf_counter()

    def step() -> bool:
        elapsed = time.perf_counter() - start
        if len(sent) < min(elapsed, seconds) * TRICKLE_PER_S:
            name = f"trickle-{len(sent)}"
            sent[name] = time.perf_counter()
            producer.send(TOPIC, value=msgspec.json.encode({"id": name, "text": next(lines)}))
        waiting = [name for name in sent if name not in seen]
        found = place.query("SELECT transcript_id FROM emotion_results WHERE transcript_id = ANY(:ids)", ids=waiting)
        seen.update((row.transcript_id, time.perf_counter()) for row in found)
        return elapsed > seconds and len(seen) == len(sent)

    worker.wait_until(step, every_s=0.002)
    producer.close()
    p50, p99 = np.percentile([(seen[name] - sent[name]) * 1000 for name in sent], [50, 99])
    return float(p50), float(p99)


def measure(given: argparse.Namespace, model: str) -> Result:
    """Run both workers, one after the other, on the same topic."""
    with services(given.partitions) as place:
        place.publish(transcripts(0, given.messages))
        options = {"device": given.device, "max_records": str(given.max_records)}
        with running_worker(place, model, **options) as worker:
            rate, shares = drain(worker, place, given.messages)
            result = Result(
                messages=given.messages,
                max_records=given.max_records,
                device=given.device,
                ours_msg_per_s=round(rate, 1),
                peak_rss_mb=round(worker.memory_mb("VmHWM"), 1),
                stages=shares,
            )
            if given.trickle_seconds:
                latency = trickle(worker, place, given.trickle_seconds)
                result.p50_ms, result.p99_ms = (round(each, 1) for each in latency)
        if given.results:
            result.results_ratio = round(compare_results(given, model, place), 3)
        if not (given.stub or given.skip_naive):
            naive = measure_naive(given, model, place)
            result.naive_msg_per_s, result.ratio = round(naive, 1), round(rate / naive, 2)
    return result


def compare_results(given: argparse.Namespace, model: str, place: Services) -> float:
    """Drain the topic with results and without, turn by turn, and return the ratio of the medians."""
    rates: dict[str, list[float]] = {"": [], RESULTS: []}
    for turn in range(given.results):
        for topic, measured in rates.items():
            place.forget()
            options = {"device": given.device, "max_records": str(given.max_records), "kafka_results_topic": topic}
            with running_worker(place, model, kafka_group_id=f"turn-{turn}-{topic}", **options) as worker:
                measured.append(drain(worker, place, given.messages)[0])
            print(f"turn {turn + 1}, {topic or 'without'}: {measured[-1]:,.0f} msg/s", file=sys.stderr)
    without, with_results = map(median, rates.values())
    return with_results / without


def measure_naive(given: argparse.Namespace, model: str, place: Services) -> float:
    """Return the messages a second of the worker that we compare with."""
    import torch  # noqa: PLC0415 - it takes seconds, and a run with the stub needs none.
    from naive_worker import drain as drain_naively  # noqa: PLC0415 - the same.

    messages = min(given.naive_messages, given.messages)
    device = given.device if given.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    seconds = drain_naively(
        bootstrap=place.broker,
        topic=TOPIC,
        group="naive-worker",
        database_url=place.database_url,
        model=model,
        messages=messages,
        device=device,
    )
    return float(messages / seconds)


@contextmanager
def chosen_model(given: argparse.Namespace) -> Iterator[str]:
    """Yield the model to serve, made for the occasion with --random-model."""
    if given.stub:
        yield STUB
    elif given.random_model:
        from random_bundle import make_random_bundle  # noqa: PLC0415 - it imports torch.

        with tempfile.TemporaryDirectory() as folder:
            make_random_bundle(given.random_model, Path(folder) / "bundle")
            yield f"{folder}/bundle"
    else:
        yield given.model or released_model()


def show(result: Result) -> None:
    """Print a table."""
    table = Table("figure", "value", title=f"{result.messages:,} messages, chunks of {result.max_records:,}")
    for name, value in msgspec.to_builtins(result).items():
        if isinstance(value, float):
            table.add_row(name, f"{value:,.1f}")
    for stage, share in result.stages.items():
        table.add_row(f"at work: {stage}", f"{share:.0%}")
    Console().print(table)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=6_000)
    parser.add_argument("--naive-messages", type=int, default=1_000)
    parser.add_argument("--model", help="a bundle's folder or hub name; the released one by default")
    parser.add_argument("--random-model", type=Path, metavar="FOLDER", help="config and tokenizer, weights at random")
    parser.add_argument("--stub", action="store_true", help="no model: measure the flow alone")
    parser.add_argument("--skip-naive", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--max-records", type=int, default=1_024)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--trickle-seconds", type=float, default=10.0)
    parser.add_argument("--results", type=int, default=0, metavar="TURNS", help="compare with results sent to a topic")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with chosen_model(given) as model:
        result = measure(given, model)
    if given.json:
        print(msgspec.json.encode(result).decode())
    else:
        show(result)


if __name__ == "__main__":
    main()
