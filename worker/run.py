"""Where the parts are put together: the one place that makes threads, connections and the model."""

import gc
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Final, NamedTuple

import structlog

from registry.versions import ModelVersion
from schemas.kept_text import Keeping
from schemas.normalization import NORMALIZER
from worker.backoff import Stopped, wait_for
from worker.batching import Batcher
from worker.dead_letters.send import DeadLetters
from worker.errors import ConfigurationError, loggable_text
from worker.inference.load import load_classifier
from worker.inference.model_slot import Serving
from worker.kafka.consumer import KafkaSource
from worker.kafka.results import Results
from worker.kafka.topics import require_topics
from worker.loop import Worker
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.observability.server import serve
from worker.observability.tracing import open_tracing
from worker.records import Classifier
from worker.settings import Settings
from worker.signals import end_on_signals, stop_on_signals
from worker.stages import CHUNKS_UNSTORED, Inference, Stages, Storage, Storing, Work
from worker.storage.circuit_breaker import DeadLetterLimit
from worker.storage.database import connect
from worker.storage.migrate import require_migrated
from worker.storage.scores import ShadowStore
from worker.storage.store import ResultStore
from worker.swap.follower import Follower, fetch_version, load_champion
from worker.swap.shadow import Shadow

log = structlog.get_logger(__name__)

_SWITCH_S: Final = 0.0002
"""A stage that comes back from the GPU or from Postgres waits so long for the main thread to let it go on.

Python's default of 5 ms costs more than the work itself, since a forward pass and a COPY come back many times; see
docs/performance.md.
"""

_ALLOCATIONS_A_COLLECTION: Final = 100_000
"""How many objects may be new before the garbage collector looks at them; Python's default is 700."""


_SHADOW_TOKENS: Final = 2_048
"""Tokens of the candidate's forward pass at most: the model that serves keeps the GPU's memory."""

_SHADOW_ENDS_S: Final = 1.0


def load_version(settings: Settings, metrics: Metrics | None, row: ModelVersion) -> Classifier:
    """Load and warm a model of the registry.

    Raises:
        Away: its bundle cannot be reached now.
        ConfigurationError: it can, and is none that serves here.
    """
    classifier = load_classifier(settings, metrics, fetch_version(row, settings.model_cache))
    _settle()
    return classifier


class Shared(NamedTuple):
    """What the parts of a worker share."""

    settings: Settings
    metrics: Metrics
    health: Health
    stop: threading.Event
    """Ends the run."""
    stack: ExitStack
    """Closes what the parts leave open."""


MakeWorker = Callable[[Shared, Batcher, Stages], Worker]
"""Opens the source and returns the main loop around it."""


def live_worker(shared: Shared, batcher: Batcher, stages: Stages) -> Worker:
    """Return the loop that reads a topic for ever."""
    settings, metrics, health, stop, _ = shared
    source = wait_for("kafka", lambda: KafkaSource(settings), stop, health)
    return Worker(source, batcher, stages, health, metrics)


def run_worker(
    settings: Settings,
    classifier: Classifier | None = None,
    stop: threading.Event | None = None,
    make: MakeWorker = live_worker,
) -> None:
    """Run a worker until ``stop`` is set, or by SIGTERM or SIGINT where none is given.

    Before it has anything to finish, such a signal ends the process at once, with exit code 0.

    Args:
        settings: what the operator set.
        classifier: the model; by default the one that the settings name.
        stop: ends the run; given where the worker does not run on the process's main thread.
        make: opens the source and returns the main loop.

    Raises:
        ConfigurationError: the deployment is wrong; the message says what to do.
    """
    by_signals = stop is None
    stop = stop or threading.Event()
    metrics, health = Metrics(), Health(settings.stuck_after_s)
    with ExitStack() as told:
        try:
            with ExitStack() as stack, suppress(Stopped):
                stack.callback(gc.unfreeze)  # What is frozen at the end counts as leaked, and Triton says so at length.
                if by_signals:
                    end_on_signals()
                log.info("starting", **settings.printable())
                _serve_health(settings, health, metrics, told)
                worker = _assemble(Shared(settings, metrics, health, stop, stack), classifier, make)
                if by_signals:
                    stop_on_signals(stop)
                worker.run(stop)
        except ConfigurationError as error:
            if by_signals:
                stop_on_signals(stop)
            _show_failure(loggable_text(error), health, settings.exit_delay_s, stop)
            raise


def _show_failure(why: str, health: Health, delay_s: float, stop: threading.Event) -> None:
    """Tell why a person is needed, before the process ends: a supervisor may start it again at once."""
    health.fail(why)
    if delay_s:
        log.error(why)
        log.warning("the worker has stopped and needs a person; /healthz says why until it ends", in_seconds=delay_s)
        stop.wait(delay_s)


def _assemble(shared: Shared, classifier: Classifier | None, make: MakeWorker) -> Worker:
    """Put a worker together, as soon as what it needs is there."""
    settings, metrics, health, stop, stack = shared
    # One connection more than store, for who follows the champion.
    engine = connect(settings.required_database_url, "emotion-worker", settings.database_connections + 1)
    stack.callback(engine.dispose)
    wait_for("postgres", lambda: require_migrated(engine), stop, health)
    wait_for("kafka", partial(require_topics, settings, *_topics_of(settings)), stop, health)
    if stop.is_set():
        raise Stopped
    log.info("Postgres and Kafka are there: loading the model")
    load, load_default = partial(load_version, settings, metrics), partial(load_classifier, settings, metrics)
    followed = classifier is None and settings.model is None
    refusal = None
    if followed:
        classifier, refusal = wait_for("the champion", partial(load_champion, engine, load, load_default), stop, health)
    serving = Serving(classifier or load_default())
    metrics.serve_model(serving.classifier.version)
    metrics.behind.set(refusal is not None)
    # The broker may have gone while the model was loaded.
    dead_letters = wait_for("kafka", lambda: DeadLetters(settings), stop, health)
    results = wait_for("kafka", partial(_open_results, settings), stop, health)
    most_in_a_row = settings.dead_letters_in_a_row or None
    store = partial(
        ResultStore,
        engine,
        settings.kafka_group_id,
        normalizer=NORMALIZER,
        channel_roles=settings.channel_roles,
        most_in_a_row=most_in_a_row,
        delete=settings.kafka_tombstones == "delete",
        keeping=Keeping(settings.store_text, settings.redact),
        publish=results.send if results else None,
    )
    beside = _shadow(settings, metrics, stack)
    tracing = open_tracing()
    stack.callback(tracing.close)

    def storage(limit: DeadLetterLimit) -> Storing:
        return beside(tracing.around("store", Storage(store(), dead_letters, limit, metrics, health)))

    stages = _stages(settings, tracing.around("classify", Inference(serving, metrics, most_in_a_row)), storage)
    stack.callback(_close, stages, dead_letters, results)
    batcher = Batcher(settings.max_records, settings.max_wait_ms / 1000, settings.part_bytes)
    worker = make(shared, batcher, stages)
    _tune_interpreter()
    if followed:
        follower = stack.enter_context(closing(Follower(engine, serving, load, metrics, settings)))
        follower.start(refusal)
    return worker


def _serve_health(settings: Settings, health: Health, metrics: Metrics, stack: ExitStack) -> None:
    """Serve metrics and health, before anything that may be away is looked for: a probe is to get an answer."""
    metrics.watch_readiness(lambda: health.readiness_problem() is None)
    server = serve(health, metrics.registry, settings.http_host, settings.http_port)
    stack.callback(server.shutdown)
    log.info("metrics and health", url=f"http://{settings.http_host}:{server.server_port}/metrics")


def _stages(
    settings: Settings, inference: Callable[[Work], Work], storage: Callable[[DeadLetterLimit], Storing]
) -> Stages:
    """Make the stages: the model, the circuit breaker behind it, and a storage for each connection."""
    limit = DeadLetterLimit(
        settings.dead_letters_in_a_row, settings.dead_letters_share, CHUNKS_UNSTORED * settings.max_records
    )
    return Stages(
        limit.behind(inference),
        *(storage(limit) for _ in range(settings.database_connections)),
    )


def _shadow(settings: Settings, metrics: Metrics, stack: ExitStack) -> Callable[[Storing], Storing]:
    """Start the shadow where it is wanted; return what lets it see what a storage has stored."""
    if settings.shadow == "off":
        return lambda storage: storage
    engine = connect(settings.required_database_url, "emotion-worker-shadow")
    stack.callback(engine.dispose)
    tokens = min(settings.max_batch_tokens or _SHADOW_TOKENS, _SHADOW_TOKENS)
    load = partial(load_version, settings.model_copy(update={"max_batch_tokens": tokens}), None)
    shadow = Shadow(ShadowStore(engine), load, settings.shadow_share, metrics, settings.champion_poll_s)
    stack.callback(shadow.close, _SHADOW_ENDS_S)
    shadow.start()
    return shadow.after


def _topics_of(settings: Settings) -> list[str]:
    """Return the topics that a worker reads and writes.

    Raises:
        ConfigurationError: results would be read as transcripts, or lie among the dead letters.
    """
    others = [settings.kafka_topic, settings.kafka_dead_letter_topic]
    results = settings.kafka_results_topic
    if results in others:
        raise ConfigurationError(
            f"WORKER_KAFKA_RESULTS_TOPIC is {results}, which holds other records: give results a topic of their own"
        )
    return [*others, results] if results else others


def _open_results(settings: Settings) -> Results | None:
    """Open the topic of results, where one is wanted."""
    return Results(settings, settings.kafka_results_topic) if settings.kafka_results_topic else None


def _close(stages: Stages, dead_letters: DeadLetters, results: Results | None) -> None:
    """Close the producers, but for a stage that is left behind: it may be sending, which would keep us, and fail."""
    if not stages.running:
        dead_letters.close()
        if results:
            results.close()


def _tune_interpreter() -> None:
    """Set up Python for three busy threads; measured with benchmarks/end_to_end.py, see docs/performance.md."""
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_ALLOCATIONS_A_COLLECTION)
    _settle()


def _settle() -> None:
    """Let the garbage collector pass over what is loaded by now.

    Records have no cycles, so counting references frees them; the collector would look at them, and at all of torch,
    again and again.
    """
    gc.collect()
    gc.freeze()
