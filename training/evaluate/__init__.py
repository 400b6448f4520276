"""Metrics, thresholds, robustness, behaviour, the report and the model card."""
