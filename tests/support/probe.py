"""What a worker tells over HTTP."""

import urllib.error
import urllib.request
from typing import Any, Protocol

from prometheus_client.parser import text_string_to_metric_families
from services import PATIENCE_S, wait_for


class Worker(Protocol):
    """What a worker is known by here: its log."""

    def said(self, event: str) -> list[dict[str, Any]]: ...


class Probe:
    """Asks a worker over HTTP, at the port it has logged."""

    def __init__(self, worker: Worker) -> None:
        wait_for(lambda: worker.said("metrics and health"), "the port")
        self._address = worker.said("metrics and health")[0]["url"].removesuffix("/metrics")

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text."""
        try:
            with urllib.request.urlopen(self._address + path, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own http address.
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return each sample by its name and its labels' values, in the order of the labels' names."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
        }

    def lags(self) -> list[float]:
        """Return the lag of each partition that is read."""
        return [value for name, value in self.metrics().items() if name[0] == "emotion_lag_records"]
