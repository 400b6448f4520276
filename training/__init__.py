"""Fine-tunes and measures the models that the worker serves."""
