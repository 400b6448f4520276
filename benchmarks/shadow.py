"""What the shadow costs the flow: throughput with and without it, in turns on the same machine.

python benchmarks/shadow.py --messages 3000 --rounds 2
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from harness import Services, running_worker, services, transcripts
from msgspec import Struct
from sqlalchemy import text

from schemas.bundle import MANIFEST, read_manifest
from worker.inference.load import released_model

WARM_UP = 256
CANDIDATE = "candidate-of-the-benchmark"


class Result(Struct, kw_only=True):
    """What is printed."""

    messages: int
    device: str
    share: float
    without_msg_per_s: list[float]
    with_msg_per_s: list[float]
    ratio: float
    """Of the medians, with to without."""
    without_cpu_ms: list[float]
    """CPU time of the worker for a message; what else the machine does blurs it less than it does the throughput."""
    with_cpu_ms: list[float]
    cpu_ratio: float
    """Of the medians, with to without."""
    scored: int
    """Messages that the shadow has scored, over all rounds."""


@contextmanager
def registered(place: Services, model: str) -> Iterator[None]:
    """Register a copy of a model as a candidate of another version; the shadow passes over the version that serves."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(model, Path(folder) / CANDIDATE, ignore=shutil.ignore_patterns("*.onnx")))
        manifest = msgspec.structs.replace(read_manifest((copy / MANIFEST).read_bytes()), version=CANDIDATE)
        (copy / MANIFEST).write_bytes(manifest.encode())
        insert = text(
            "INSERT INTO model_versions (version, state, location, metrics, data_fingerprint, base_model) "
            "VALUES (:version, 'candidate', :location, '{}', :fingerprint, :base)"
        )
        named = {"version": CANDIDATE, "location": str(copy), "base": manifest.base_model}
        with place.engine.begin() as connection:
            connection.execute(insert, named | {"fingerprint": manifest.data_fingerprint})
        yield


class Rounds:
    """Runs one worker after the other on the same services; each reads what is published while it runs."""

    def __init__(self, place: Services, given: argparse.Namespace, model: str) -> None:
        self._place = place
        self._given = given
        self._model = model
        self._published = 0
        self._round = 0
        self.scored = 0

    def run(self, shadow: str) -> tuple[float, float]:
        """Return the messages a second of a worker that is warm, as is its candidate, and the CPU ms of each."""
        given, place = self._given, self._place
        with place.engine.begin() as connection:
            connection.execute(text("TRUNCATE emotion_results, consumer_offsets, shadow_results"))
        self._round += 1
        options = {
            "backend": "torch",
            "device": given.device,
            "kafka_group_id": f"round-{self._round}",
            "kafka_auto_offset_reset": "latest",
            "max_records": str(given.max_records),
            "shadow": shadow,
            "shadow_share": str(given.share),
        }
        with running_worker(place, self._model, **options) as worker:
            while not place.query("SELECT 1 FROM emotion_results") or (shadow != "off" and not self._shadowed()):
                self._publish(WARM_UP)
                worker.wait_for_stored(self._published)
                time.sleep(1)  # For the candidate, which may be loading still.
            ((start,),) = place.query("SELECT clock_timestamp()")
            before = worker.cpu_seconds()
            self._publish(given.messages)
            worker.wait_for_stored(self._published)
            cpu_ms = (worker.cpu_seconds() - before) * 1000 / given.messages
        self.scored += self._shadowed()
        ((rows, seconds),) = place.query(
            "SELECT count(*) FILTER (WHERE processed_at > began), extract(epoch FROM max(processed_at) - min(began)) "
            "FROM emotion_results, (SELECT min(processed_at) AS began FROM emotion_results "
            "WHERE processed_at > :start) AS first WHERE processed_at > :start",
            start=start,
        )
        return round(float(rows) / float(seconds), 1), round(cpu_ms, 3)

    def _publish(self, count: int) -> None:
        self._place.publish(transcripts(self._published, self._published + count))
        self._published += count

    def _shadowed(self) -> int:
        ((count,),) = self._place.query("SELECT count(*) FROM shadow_results")
        return int(count)


def measure(given: argparse.Namespace, model: str) -> Result:
    """Run rounds without the shadow and with it, in turns, so that what else the machine does falls on both."""
    figures: dict[str, list[tuple[float, float]]] = {"off": [], "candidate": []}
    with services(given.partitions) as place, registered(place, model):
        rounds = Rounds(place, given, model)
        for turn in range(given.rounds):
            for shadow in list(figures) if turn % 2 == 0 else reversed(figures):
                figures[shadow].append(rounds.run(shadow))
    (without, without_cpu), (with_it, with_cpu) = (map(list, zip(*each, strict=True)) for each in figures.values())
    return Result(
        messages=given.messages,
        device=given.device,
        share=given.share,
        without_msg_per_s=without,
        with_msg_per_s=with_it,
        ratio=round(float(np.median(with_it) / np.median(without)), 3),
        without_cpu_ms=without_cpu,
        with_cpu_ms=with_cpu,
        cpu_ratio=round(float(np.median(with_cpu) / np.median(without_cpu)), 3),
        scored=rounds.scored,
    )


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=2, help="of each kind")
    parser.add_argument("--model", help="a bundle's folder; the released one by default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--max-records", type=int, default=256)
    parser.add_argument("--partitions", type=int, default=4)
    given = parser.parse_args()
    print(msgspec.json.format(msgspec.json.encode(measure(given, given.model or released_model())), indent=2).decode())


if __name__ == "__main__":
    main()
