"""Calibration and thresholds fitted to few labels of a user's own."""
