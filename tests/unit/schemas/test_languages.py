"""One tag for a language, in the spellings that recognizers use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.languages import is_foreign, tag_of
from schemas.transcripts import InvalidTranscript, decode


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("ru", "ru"),
        ("RU", "ru"),
        ("ru-RU", "ru-RU"),
        ("ru_RU.UTF-8", "ru-RU"),
        ("rus", "ru"),
        ("rus-RUS", "ru-RUS"),
        ("Russian", "ru"),
        ("Russian (Russia)", "ru"),
        ("русский", "ru"),
        ("Русский язык", "ru"),
        ("ru,en", "ru"),
        ("kk-KZ", "kk-KZ"),
        ("Kazakh", "kk"),
        ("казахский", "kk"),
    ],
)
def test_a_language_has_one_tag_however_it_is_spelled(written: str, tag: str) -> None:
    assert tag_of(written) == tag
    assert is_foreign(tag, "ru") == (not tag.startswith("ru"))


@pytest.mark.parametrize("nothing", [None, "", " ", "auto", "und", "UNKNOWN", "multi"])
def test_where_no_language_is_named_it_is_the_models(nothing: str | None) -> None:
    assert tag_of(nothing) is None
    assert not is_foreign(tag_of(nothing), "ru")


@pytest.mark.parametrize("written", ["Klingon", "tlh", "руский", "r u", "?", "rush"])
def test_what_is_not_known_stays_as_it_is_written_and_is_another_language(written: str) -> None:
    assert tag_of(written) == written
    assert is_foreign(written, "ru")


@given(st.text(max_size=40))
def test_a_tag_is_its_own_tag(written: str) -> None:
    tag = tag_of(written)
    assert tag_of(tag) == tag


def test_a_model_of_another_language_takes_its_own() -> None:
    assert not is_foreign(tag_of("Kazakh"), "kk")
    assert is_foreign(tag_of("Russian"), "kk")


def test_the_decoder_gives_tags_and_refuses_what_no_database_stores() -> None:
    assert decode('{"text": "a", "language": "Русский"}'.encode(), timestamp_ms=0).language == "ru"
    assert decode(b'{"text": "a", "language": "auto"}', timestamp_ms=0).language is None
    with pytest.raises(InvalidTranscript, match="`language` holds NUL"):
        decode(b'{"text": "a", "language": "r\\u0000u"}', timestamp_ms=0)
