"""The seven emotions, in the order in which every array, column and manifest holds them."""

from typing import Final

EMOTIONS: Final = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
"""Ekman's six basic emotions and their absence; a text can carry several."""
