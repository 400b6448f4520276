"""A manifest that this version serves, for tests that need one with something of their own in it."""

from typing import Any

from schemas.bundle import Calibration, Manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER


def manifest(**changes: Any) -> Manifest:
    """Return one whose calibration changes nothing, with thresholds of 0.5, but for the changes."""
    return Manifest(
        **{
            "version": "test-1",
            "labels": EMOTIONS,
            "thresholds": dict.fromkeys(EMOTIONS, 0.5),
            "calibration": dict.fromkeys(EMOTIONS, Calibration()),
            "normalizer": NORMALIZER,
            "base_model": "none",
            "data_fingerprint": "0",
            "metrics": {},
            "created_at": "2026-01-01T00:00:00+00:00",
            **changes,
        }
    )
