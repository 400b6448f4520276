"""Google Speech-to-Text, versions 1 and 2: a response, an operation that is done, or the file of a batch."""

from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Label, Turn, in_time, seconds, share, speaker_name
from worker.forms.words import Word, turns_of


class Spoken(Struct, rename="camel"):
    """A word; version 1 has times, version 2 has offsets."""

    word: str
    start_time: str | None = None
    start_offset: str | None = None
    end_time: str | None = None
    end_offset: str | None = None
    speaker_tag: Label = None
    speaker_label: Label = None
    confidence: float | None = None


class Guess(Struct):
    """A guess; Google leaves its transcript out where it only gives the words again, with speakers."""

    transcript: str = ""
    confidence: float | None = None
    words: list[Spoken] = []


class Phrase(Struct, rename="camel"):
    """A phrase of a channel."""

    alternatives: list[Guess] = []
    channel_tag: Label = None
    language_code: str | None = None


class Results(Struct):
    """All phrases."""

    results: list[Phrase] = []


class Google(Struct):
    """A response, or an operation that holds one."""

    results: list[Phrase] = []
    response: Results | None = None


def read_google(document: Google) -> list[Turn]:
    """Return a turn for each phrase, or turns of its words where they say who spoke."""
    phrases = [phrase for phrase in (document.response or Results(document.results)).results if phrase.alternatives]
    if _last_repeats_all(phrases):
        phrases = phrases[-1:]
    return in_time([turn for phrase in phrases for turn in _turns_of(phrase)])


def _last_repeats_all(phrases: list[Phrase]) -> bool:
    """Whether the last phrase gives all words of the call once more, with their speakers, as version 1 does."""
    if not phrases or any(map(_names_speakers, phrases[:-1])) or not _names_speakers(phrases[-1]):
        return False
    before = sum(len(best.words or best.transcript.split()) for best in (each.alternatives[0] for each in phrases[:-1]))
    return len(phrases[-1].alternatives[0].words) >= before


def _names_speakers(phrase: Phrase) -> bool:
    return any(_speaker_of(word) for word in phrase.alternatives[0].words)


def _speaker_of(word: Spoken) -> str | None:
    return speaker_name(word.speaker_label or word.speaker_tag or None)


def _turns_of(phrase: Phrase) -> list[Turn]:
    if not _names_speakers(phrase):
        return [_turn_of(phrase)]
    turns = list(turns_of(map(_word_of, phrase.alternatives[0].words)))
    for turn in turns:
        turn.language = tag_of(phrase.language_code)
        turn.channel = phrase.channel_tag or None
    return turns


def _turn_of(phrase: Phrase) -> Turn:
    best = phrase.alternatives[0]
    first = best.words[0] if best.words else None
    return Turn(
        text=best.transcript,
        start=seconds(first.start_time or first.start_offset) if first else None,
        speaker=speaker_name(None, phrase.channel_tag or None),
        channel=phrase.channel_tag or None,
        # The service writes 0 where it measures none.
        confidence=share(best.confidence) or None,
        language=tag_of(phrase.language_code),
    )


def _word_of(word: Spoken) -> Word:
    return Word(
        text=word.word,
        start=seconds(word.start_time or word.start_offset),
        end=seconds(word.end_time or word.end_offset),
        speaker=_speaker_of(word),
        confidence=share(word.confidence) or None,
    )


def _knows(document: dict[str, Any]) -> bool:
    within_response = value_at(document, "response")
    holder = within_response if isinstance(within_response, dict) else document
    if not holder.get("results") or not has_objects(holder, "results", "alternatives"):
        return False
    fields = holder["results"][0].keys()
    of_others = {"start_time", "startTime", "channel", "final", "type", "recognition_result"}
    return of_others.isdisjoint(fields) and has_objects(holder["results"][0], "alternatives")


GOOGLE = JsonForm("google", Google, _knows, read_google)
