"""Emoji as people write them in messengers, behind what they say; normalization turns them into Russian words."""

from collections.abc import Collection
from typing import Final

import numpy as np

from schemas.emotions import EMOTIONS

FITTING: Final = {
    "anger": "😡 😠 🤬 👿 💢 👎",
    "disgust": "🤢 🤮 💩 🥴",
    "fear": "😱 😨 😰 🙀 😬",
    "joy": "😂 😊 😁 ❤️ 🥰 🎉 😍 🤗 🥳 😄",
    "sadness": "😢 😭 💔 😞 🥺 ☹️",
    "surprise": "😮 😲 😳 🤯 🙀 🤔",
    "neutral": "👌 📞 🕐 📍 📎 ✅",
}
"""Our own choice, for each emotion, of those whose Russian name says what the picture does."""

_REPEATED: Final = (0.65, 0.15, 0.2)
"""How often an emoji stands once, twice, three times."""

_MARKS: Final = (".", "!", "?", ",", "…")


def with_emoji(text: str, emotions: Collection[str], random: np.random.Generator) -> str:
    """Return the text with an emoji of one of its emotions: at its end mostly, else behind a mark within it.

    Args:
        text: as written or in ASR form.
        emotions: of `EMOTIONS`; with none of them, the text stays as it is.
        random: says which emoji, where, how often.

    Raises:
        ValueError: an emotion is none of the seven.
    """
    unknown = set(emotions) - set(EMOTIONS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: none of {', '.join(EMOTIONS)}")
    if not emotions:
        return text
    carried = [emotion for emotion in EMOTIONS if emotion in emotions]  # A set has another order in each process.
    choices = FITTING[carried[int(random.integers(len(carried)))]].split()
    emoji = choices[random.integers(len(choices))] * int(random.choice((1, 2, 3), p=_REPEATED))
    words = text.split(" ")
    ends = [at for at, word in enumerate(words, 1) if word.endswith(_MARKS) and at < len(words)]
    within = bool(ends) and random.random() < 1 / 4
    at = ends[random.integers(len(ends))] if within else len(words)
    return " ".join([*words[:at], emoji, *words[at:]]).strip()
