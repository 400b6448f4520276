"""Roles: who speaks for the company and who for themselves, by the words in which systems say it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol, get_args

import msgspec

Role = Literal["agent", "customer"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
NO_ROLES: Final[Mapping[str, Role]] = MappingProxyType({})
"""Roles by channel where nobody has said any."""

_WORDS: Final[Mapping[Role, tuple[str, ...]]] = {
    "agent": (
        "agent",
        "assistant",
        "consultant",
        "employee",
        "manager",
        "operator",
        "rep",
        "representative",
        "support",
        "агент",
        "консультант",
        "менеджер",
        "оператор",
        "поддержка",
        "сотрудник",
        "специалист",
    ),
    "customer": (
        "buyer",
        "client",
        "customer",
        "patient",
        "subscriber",
        "user",
        "абонент",
        "заказчик",
        "клиент",
        "пациент",
        "покупатель",
        "пользователь",
    ),
}
ROLE_WORDS: Final = {word: role for role, words in _WORDS.items() for word in words}
"""The words that name a role. A caller is none of them: on a call that an agent makes, the agent is the caller."""

_NAMED: Final = re.compile(r"\W*([^\W\d_]+)[\W\d_]*")
"""One word, and a number at most, such as ``Operator_1``."""

_CHANNEL: Final = re.compile(r"(?:channel|ch|канал)[-_ ]?(\w+)", re.IGNORECASE)

_channel: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def roles_by_channel(said: str) -> dict[str, Role]:
    """Read roles by channel, such as ``0=agent,1=customer``.

    Raises:
        ValueError: it is something else, or names a role that is none.
    """
    roles: dict[str, Role] = {}
    for pair in filter(None, map(str.strip, said.split(","))):
        channel, _, word = pair.partition("=")
        role = role_named(word)
        if not channel.strip() or role is None:
            raise ValueError(f"{pair!r} is no channel with its role: write 0=agent,1=customer")
        roles[channel.strip()] = role
    return roles


def role_named(word: str | None) -> Role | None:
    """Return the role that a word such as ``Operator 1`` or ``клиент`` names; None where it names none."""
    named = _NAMED.fullmatch(word) if word else None
    return ROLE_WORDS.get(named[1].lower()) if named else None


def channel_named(label: str | None) -> str | None:
    """Return the channel that a speaker's name such as ``channel-0`` or ``ch_1`` tells; None where it tells none."""
    found = _CHANNEL.fullmatch(label) if label else None
    return found[1] if found else None


def channel_in(attributes: str | None) -> str | None:
    """Return the channel among a transcript's attributes, which are JSON; None where there is none."""
    raw = _channel.decode(attributes.encode()).get("channel") if attributes else None
    said = msgspec.json.decode(raw) if raw is not None else None
    return str(said) if isinstance(said, str | int) else None


class Speaker(Protocol):
    """What a transcript says of who spoke."""

    @property
    def role(self) -> str | None: ...  # noqa: D102 - the names say it all.
    @property
    def speaker(self) -> str | None: ...  # noqa: D102
    @property
    def attributes(self) -> str | None:
        """JSON, which may hold a channel."""


def role_of(transcript: Speaker, by_channel: Mapping[str, Role]) -> Role | None:
    """Return who spoke: as the transcript says, else as the speaker is called, else by the channel; None if none tells.

    Args:
        transcript: its ``role`` counts where the word names one.
        by_channel: roles by channel, as the deployment says.
    """
    if named := role_named(transcript.role) or role_named(transcript.speaker):
        return named
    if not by_channel:
        return None
    channel = channel_in(transcript.attributes)
    return by_channel.get(channel_named(channel) or channel or channel_named(transcript.speaker) or "")
