"""Health, metrics and log lines."""
