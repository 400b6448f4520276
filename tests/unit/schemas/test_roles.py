"""Who speaks for the company and who for themselves."""

import pytest

from schemas.attributes import Attributes
from schemas.roles import ROLE_WORDS, role_of, roles_by_channel
from schemas.transcripts import Transcript


def said_by(speaker: str | None, role: str | None = None, attributes: str | None = None) -> Transcript:
    return Transcript(text="да", speaker=speaker, role=role, attributes=attributes and Attributes(attributes))


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("agent", "agent"),
        ("AGENT", "agent"),
        ("Operator 1", "agent"),
        ("operator_2", "agent"),
        ("Оператор", "agent"),
        ("customer", "customer"),
        ("Клиент-1", "customer"),
        ("client", "customer"),
        ("caller", None),
        ("Иванова", None),
        ("agent smith", None),
        ("speaker-1", None),
        ("channel-0", None),
        ("", None),
        (None, None),
    ],
)
def test_usual_names_of_speakers_tell_their_role(speaker: str | None, role: str | None) -> None:
    assert role_of(said_by(speaker), {}) == role


def test_a_role_that_is_named_comes_before_the_speakers_name_and_another_word_counts_as_none() -> None:
    assert role_of(said_by("agent", "client"), {}) == "customer"
    assert role_of(said_by("agent", "supervisor"), {}) == "agent"
    assert role_of(said_by("Иванова", "supervisor"), {}) is None


@pytest.mark.parametrize(
    ("speaker", "attributes", "role"),
    [
        ("channel-0", None, "agent"),
        ("ch_1", None, "customer"),
        ("speaker-1", '{"channel":0}', "agent"),
        ("speaker-1", '{"channel":"1"}', "customer"),
        ("speaker-1", '{"channel":"ch_1"}', "customer"),
        (None, '{"channel":"left"}', "agent"),
        ("speaker-1", '{"channel":7}', None),
        ("speaker-1", '{"channel":[0]}', None),
        ("speaker-1", '{"tenant":"north"}', None),
        ("customer", '{"channel":0}', "customer"),
        ("speaker-1", None, None),
    ],
)
def test_a_channel_tells_the_role_where_no_name_does(
    speaker: str | None, attributes: str | None, role: str | None
) -> None:
    assert role_of(said_by(speaker, attributes=attributes), roles_by_channel("0=agent, 1=клиент,left=agent")) == role
    if speaker != "customer":
        assert role_of(said_by(speaker, attributes=attributes), {}) is None


@pytest.mark.parametrize("said", ["agent", "0=", "=agent", "0=boss", "0:agent"])
def test_what_names_no_channel_and_role_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="is no channel with its role: write 0=agent,1=customer"):
        roles_by_channel(said)


def test_no_word_names_two_roles() -> None:
    assert set(ROLE_WORDS.values()) == {"agent", "customer"}
