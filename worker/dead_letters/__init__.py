"""Dead letters: sending, reading, selecting, repairing and replaying them."""
