"""What the worker and training share of the models there are: where their bundles lie, and what the table says."""
