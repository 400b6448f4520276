"""One spelling for what speech recognizers write: the text that the model sees, in training and in service.

Every step is a pure function of the text and does nothing to most texts, so each stands behind a cheap test.
Change what any of them returns, and `NORMALIZER` must change too: bundles name the version they were trained on.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import groupby, islice
from operator import eq
from typing import Final

import emoji

from schemas.lexicon import CYRILLIC_TO_LATIN, DOUBLED, LATIN_TO_CYRILLIC, NOISES, PHANTOMS, PLACEHOLDERS

NORMALIZER: Final = "ru-asr-2"

MAX_CHARACTERS: Final = 2_000
"""What is kept of a text: about 500 tokens, several times what the model reads."""

_MOST_READ: Final = 2 * MAX_CHARACTERS
"""What is looked at: tags within tags within tags cost a round each, and who sends them must stop nobody."""

_SKIN_TONES: Final = dict.fromkeys(range(0x1F3FB, 0x1F400))
# The planes above U+FFFF as ranges: a class of a thousand single characters there is scanned one by one.
_PICTURE_CHARACTERS: Final = (
    "".join(sorted({c for name in emoji.EMOJI_DATA for c in name if "\x7f" < c < "\U00010000"}))
    + "\U0001f000-\U0001faff\U000e0020-\U000e007f"
)
_PICTURES: Final = re.compile(rf"[{_PICTURE_CHARACTERS}][{_PICTURE_CHARACTERS}\s]*")

# Of these no text needs composing, and none is an emoji or invisible: the gate that nearly every text takes.
_PLAIN: Final = re.compile(r"[\s!-~А-яЁё]*")

# Lower-case Russian words and numbers, a space between two, with marks behind a word or none: what recognizers of
# Russian write most of the time.
_WORDS: Final = re.compile(r"[а-я0-9]+(?:-[а-я0-9]+)*[,.!?]*(?: [а-я0-9]+(?:-[а-я0-9]+)*[,.!?]*)*")

# Control and format characters, surrogates, variation selectors and the frame of a keycap (so that the digit
# remains); what str.split takes for a space stays.
_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3\ud800-\udfff\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

_TAG: Final = re.compile(
    r"\[ ?(?P<square>[^\W\d_][\w\s\[-]{0,40}) ?\]"
    r"|<(?P<angle>[|/]?[\w.-]{1,24}[|/]?)>"
    r"|\((?P<round>[^\W\d_]{2,16})\)|\*(?P<starred>[^\W\d_]{2,16})\*"
    r"|[♩♪♫♬]+"
)

_FILLER: Final = re.compile(
    r"(?<![\w-])(?:э+(?:-э+)*|э+м{2,}|э+м?х+м+|г?м{3,}|(?:м+-)+м+|г+м+|хм+(?:-м+)*|(?<!\d )мм)(?![\w-])(?:,|…|\.{2,})?"
)
_LOOSE: Final = re.compile(r",?\s+(?=[,.!?…])")

_MIXED: Final = re.compile(r"[а-я][a-z]|[a-z][а-я]")
_LETTERS: Final = re.compile(r"[a-zа-я]+")
_DECLINED: Final = re.compile(r"[a-z]{2,}[а-я]+")
_LATIN: Final = re.compile(r"[a-z]")
_CYRILLIC: Final = re.compile(r"[а-я]")

_PHANTOM: Final = re.compile(rf"\W*(?:(?:{'|'.join(PHANTOMS)})\W*)+")


def normalize(text: str) -> str:
    """Return the text as the model is to see it.

    Emoji become Russian words; case, ё, Unicode composition and spaces get one form; what is no speech goes: tags
    of noises, fillers ("эээ"), stuttered words, characters nobody sees, Whisper's phantom captions. Punctuation
    stays, since the model reads it where there is some.

    One step's outcome can be another one's business (a filler between two equal words), so the steps run until
    nothing changes. That makes the function idempotent; most texts of a recognizer need one round. It ends, since
    emoji, capitals and mixed words never come back and all else shortens the text.

    Args:
        text: as received, any Unicode.

    Returns:
        At most `MAX_CHARACTERS` characters; empty where nothing was said.
    """
    if _is_settled(text):
        return text
    text = text[:_MOST_READ]
    if _PLAIN.fullmatch(text) and _is_settled(lower := _lower(text)):
        return lower
    while (simpler := _round(text)) != text:
        text = simpler
    return text


def _is_settled(text: str) -> bool:
    """Return True where it is plain to see that no step would change the text; it saves most texts all steps."""
    if len(text) > MAX_CHARACTERS or not _WORDS.fullmatch(text):
        return False
    # Each filler holds one of these.
    holds_filler = "э" in text or "мм" in text or "гм" in text or "хм" in text or "м-м" in text
    if holds_filler and _FILLER.search(text):
        return False
    return not _stutters(text) and not _PHANTOM.fullmatch(text)


def _lower(text: str) -> str:
    return " ".join(text.lower().replace("ё", "е").split())


def _round(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", _PICTURES.sub(_in_words, text)))
    text = _without_tags(_lower(text))
    if _MIXED.search(text):
        text = _LETTERS.sub(_in_one_script, text)
    text = _capped(_without_repeats(_without_fillers(text)))
    return "" if _PHANTOM.fullmatch(text) else text


def _in_words(pictures: re.Match[str]) -> str:
    return _named(pictures[0])


@lru_cache(maxsize=512)
def _named(pictures: str) -> str:
    """Name a run of emoji in Russian, each once where it stands several times: "😂😂" says no more than "😂"."""
    names = emoji.demojize(pictures.translate(_SKIN_TONES), language="ru", delimiters=("\n", "\n"))
    distinct = (name for name, _ in groupby(name.strip() for name in names.split("\n") if name.strip()))
    return f" {' '.join(distinct).replace('_', ' ')} "


def _without_tags(text: str) -> str:
    clean = _TAG.sub(_tag_in_words, text)
    return text if clean == text else _LOOSE.sub("", clean).strip()


def _tag_in_words(tag: re.Match[str]) -> str:
    word = tag["square"] or tag["angle"] or tag["round"] or tag["starred"] or ""
    # Parentheses and asterisks hold ordinary words too, unlike the recognizers' own brackets.
    if (tag["round"] or tag["starred"]) and word not in NOISES:
        return tag[0]
    return f" {PLACEHOLDERS.get(word, '')} "


def _without_fillers(text: str) -> str:
    clean = _FILLER.sub(" ", text)
    return text if clean == text else _LOOSE.sub("", clean).strip()


def _in_one_script(word: re.Match[str]) -> str:
    """Spell a word in one alphabet where all its letters of the other have a twin there.

    A Latin stem with a Cyrillic ending stays: so Russian declines foreign words ("smsка", "iphoneа").
    """
    spelled = word[0]
    latin, cyrillic = len(_LATIN.findall(spelled)), len(_CYRILLIC.findall(spelled))
    if not latin or not cyrillic:
        return spelled
    russian, foreign = spelled.translate(LATIN_TO_CYRILLIC), spelled.translate(CYRILLIC_TO_LATIN)
    if not _LATIN.search(russian) and (cyrillic >= latin or _CYRILLIC.search(foreign)):
        return russian
    if not _CYRILLIC.search(foreign) and not _DECLINED.fullmatch(spelled):
        return foreign
    return spelled


def _without_repeats(text: str) -> str:
    """Say a stuttered word once: "я я я хочу", "я, я... хочу".

    Words that are doubled for emphasis, or that lost a hyphen, keep two: "нет нет" is stronger than "нет", and
    "чуть чуть" is a word. Digits keep all: "8 8 0 0" is a number. A full stop between two words parts them.
    """
    if not _stutters(text):
        return text
    kept: list[str] = []
    for _, repeats in groupby(text.split(), key=_bare):
        run = list(repeats)
        most = (2 if _bare(run[-1]) in DOUBLED else 1) if _bare(run[-1]).isalpha() else len(run)
        kept += run[-most:]
    return " ".join(kept)


def _stutters(text: str) -> bool:
    words = text.replace(",", "").replace(".", "").replace("…", "").split()
    return any(map(eq, words, islice(words, 1, None)))


def _bare(word: str) -> str:
    if word.endswith((",", "…", "..")):
        return word.rstrip(",….")
    return word


def _capped(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    head, space, _ = text[: MAX_CHARACTERS + 1].rpartition(" ")
    return head if space else text[:MAX_CHARACTERS]
