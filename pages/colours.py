"""A colour for each emotion.

They are those of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, which colour-blind readers can tell apart.
"""

from typing import Final

COLOURS: Final = {
    "anger": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "joy": "#e69f00",
    "sadness": "#0072b2",
    "surprise": "#56b4e9",
    "neutral": "#8a8a8a",
}
