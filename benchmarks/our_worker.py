"""Our worker as a process, for the benchmarks: settings from the environment; WORKER_MODEL=stub takes no model."""

import sys

import numpy as np
from harness import STUB
from numpy.typing import NDArray

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from schemas.errors import UserError
from worker.observability.logs import configure_logs
from worker.run import run_worker
from worker.settings import Settings


class Stub:
    """Scores out of thin air: each text gets one emotion."""

    version = "stub"
    convention = "public"
    language = "ru"
    rule = Rule(np.full(len(EMOTIONS), 0.5, np.float32))
    _scores = np.eye(len(EMOTIONS), dtype=np.float32)

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return scores of shape (len(texts), 7)."""
        return self._scores[np.arange(len(texts)) % len(EMOTIONS)]

    def classify_windows(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Return scores, and that each text was read at once."""
        return self.classify(texts), [1] * len(texts)


def main() -> None:
    """Work until SIGTERM."""
    settings = Settings.load()
    configure_logs(settings.log_level)
    try:
        run_worker(settings, Stub() if settings.model == STUB else None)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
