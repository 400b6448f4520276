"""Load the model that the settings name; torch is imported only then."""

from registry import released
from registry.contents import Bundle
from registry.errors import UnusableLocation
from worker.errors import ConfigurationError
from worker.observability.metrics import Metrics
from worker.records import Classifier
from worker.settings import Settings


def released_model() -> str:
    """Return the folder of the released bundle; see `registry.released`.

    Raises:
        ConfigurationError: it was not installed with the code.
    """
    try:
        return str(released.released_model())
    except UnusableLocation as error:
        raise ConfigurationError(
            f"{error}, set WORKER_MODEL to a bundle's folder or hub name, or promote a model of the registry"
        ) from error


def load_classifier(settings: Settings, metrics: Metrics | None = None, bundle: Bundle | None = None) -> Classifier:
    """Load and warm the model of a bundle, by default of the one that the settings name."""
    from worker.inference.classifier import EmotionClassifier, Reading  # noqa: PLC0415 - torch takes seconds; most commands need none.

    return EmotionClassifier(
        bundle or settings.model or released_model(),
        settings.device,
        settings.max_batch_tokens,
        metrics,
        settings.backend,
        Reading(settings.convention, settings.neutral),
    )
