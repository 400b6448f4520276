"""Model bundles and the model registry: where bundles lie, how they are written and opened, and which one serves."""
