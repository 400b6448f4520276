"""Where the parts are put together: the one place that makes threads, connections and the model."""

import gc
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from schemas.normalization import NORMALIZER
from worker.batching import Batcher
from worker.database import connect
from worker.dead_letters import DeadLetterLimit, DeadLetters
from worker.errors import ConfigurationError
from worker.health import Health, serve
from worker.metrics import Metrics
from worker.migrate import require_migrated
from worker.pipeline import Worker
from worker.records import Classifier
from worker.settings import Settings
from worker.source import KafkaSource
from worker.stages import Inference, Stages, Storage
from worker.store import ResultStore
from worker.topics import require_topic
from worker.waiting import Stopped, wait_for

log = structlog.get_logger(__name__)

RELEASED: Final = "ru-emotions-small"

_SWITCH_S: Final = 0.0002
"""A stage that comes back from the GPU or from Postgres waits so long for the main thread to let it go on.

Python's default of 5 ms costs more than the work itself, since a forward pass and a COPY come back many times; see
docs/performance.md.
"""

_ALLOCATIONS_A_COLLECTION: Final = 100_000
"""How many objects may be new before the garbage collector looks at them; Python's default is 700."""


def released_model() -> str:
    """Return the folder of the released bundle, from any working directory.

    Raises:
        ConfigurationError: it was not installed with the code.
    """
    folder = Path(__file__).resolve().parent.parent / "models" / RELEASED
    if not folder.is_dir():
        raise ConfigurationError(
            f"the released model is not installed beside the code ({folder}): set WORKER_MODEL to a bundle's folder "
            "or hub name"
        )
    return str(folder)


def load_classifier(settings: Settings, metrics: Metrics | None = None) -> Classifier:
    """Load and warm the model that the settings name."""
    from worker.classifier import EmotionClassifier  # noqa: PLC0415 - torch takes seconds; most commands need none.

    return EmotionClassifier(
        settings.model or released_model(), settings.device, settings.max_batch_tokens, metrics, settings.backend
    )


def run_worker(settings: Settings, classifier: Classifier | None = None, stop: threading.Event | None = None) -> None:
    """Run a worker until ``stop`` is set, or by SIGTERM or SIGINT where none is given.

    Args:
        settings: what the operator set.
        classifier: the model; by default the one that the settings name.
        stop: ends the run; given where the worker does not run on the process's main thread.

    Raises:
        ConfigurationError: the deployment is wrong; the message says what to do.
        SystemExit: a signal came before there was anything to finish.
    """
    by_signals = stop is None
    stop = stop or threading.Event()
    if by_signals:
        stop_on_signals(stop, at_once=True)
    log.info("starting", **settings.printable())
    with ExitStack() as stack, suppress(Stopped):
        worker = _assemble(settings, classifier, stop, stack)
        if by_signals:
            stop_on_signals(stop)
        worker.run(stop)


def _assemble(settings: Settings, classifier: Classifier | None, stop: threading.Event, stack: ExitStack) -> Worker:
    """Put a worker together, as soon as what it needs is there; the stack is to close what it leaves open."""
    engine = connect(settings.required_database_url, "emotion-worker", settings.database_connections)
    stack.callback(engine.dispose)
    wait_for("postgres", lambda: require_migrated(engine), stop)
    for topic in (settings.kafka_topic, settings.kafka_dead_letter_topic):
        wait_for("kafka", partial(require_topic, settings, topic), stop)
    if stop.is_set():
        raise Stopped
    metrics = Metrics()
    health = Health(settings.stuck_after_s)
    server = serve(health, metrics.registry, settings.http_host, settings.http_port)
    stack.callback(server.shutdown)
    log.info("metrics and health", url=f"http://{settings.http_host}:{server.server_port}/metrics")
    classifier = classifier or load_classifier(settings, metrics)
    metrics.serve_model(classifier.version)
    most_in_a_row = settings.dead_letters_in_a_row or None
    versions = {"model_version": classifier.version, "normalizer": NORMALIZER}
    # The broker may have gone while the model was loaded.
    dead_letters = wait_for("kafka", lambda: DeadLetters(settings), stop)
    storages = [
        Storage(
            ResultStore(engine, settings.kafka_group_id, **versions, most_in_a_row=most_in_a_row),
            dead_letters,
            DeadLetterLimit(settings.dead_letters_in_a_row, settings.dead_letters_share),
            metrics,
        )
        for _ in range(settings.database_connections)
    ]
    stages = Stages(Inference(classifier, metrics, most_in_a_row), *storages)
    stack.callback(_close, dead_letters, stages)
    source = wait_for("kafka", lambda: KafkaSource(settings), stop)
    batcher = Batcher(settings.max_records, settings.max_wait_ms / 1000)
    _tune_interpreter()
    return Worker(source, batcher, stages, health, metrics)


def _close(dead_letters: DeadLetters, stages: Stages) -> None:
    """Close the producer, but for a stage that is left behind: it may be sending, which would keep us, and fail."""
    if not stages.running:
        dead_letters.close()


def _tune_interpreter() -> None:
    """Set up Python for three busy threads; measured with benchmarks/end_to_end.py, see docs/performance.md."""
    sys.setswitchinterval(_SWITCH_S)
    # Records have no cycles, so counting references frees them; the collector would look at them, and at all of
    # torch, again and again. What is loaded by now stays for good.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_A_COLLECTION)


def stop_on_signals(stop: threading.Event, *, at_once: bool = False) -> None:
    """Set an event at SIGTERM or SIGINT; also where a shell that starts jobs in the background has SIGINT ignored.

    Args:
        stop: the event.
        at_once: end the process, too, with exit code 0.
    """

    def heed(*_: object) -> None:
        stop.set()
        if at_once:
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heed)
