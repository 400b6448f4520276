"""One spelling for what speech recognizers write: the text that the model sees, in training and in service."""

from typing import Final

NORMALIZER: Final = "ru-asr-1"


def normalize(text: str) -> str:
    return text.lower()
