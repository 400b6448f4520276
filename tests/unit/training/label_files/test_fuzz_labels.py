"""2,000 damaged label files, always the same; `make fuzz` tries 100,000 others."""

from fuzz_labels import fuzz_labels


def test_a_damaged_label_file_is_read_rightly_or_refused_in_one_line() -> None:
    was_read, refused = fuzz_labels(2_000, seed=18)
    assert was_read > 200
    assert refused > 200
