"""Damaged files; `make fuzz` tries a hundred thousand."""

from fuzz_forms import fuzz_forms


def test_a_damaged_file_of_any_form_is_read_or_refused_in_one_line_and_nothing_but_speech_is_a_text() -> None:
    was_read, refused = fuzz_forms(2_000, seed=7)
    assert was_read + refused == 2_000
    assert min(was_read, refused) > 200
