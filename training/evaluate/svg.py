"""One style for all plots, and a figure as an <svg> element whose ink is that of the page, light or dark."""

import io
import re
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

INK: Final = "#010203"
"""No other thing has this colour; the page's own takes its place."""

QUIET: Final = "#808080"
ACCENT: Final = "#0072b2"
_WIDTH: Final = 8.8

# Matplotlib's types want each key as a literal.
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "asr-emotions",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": QUIET,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def svg(height: float, draw: Callable[[Figure], None]) -> str:
    """Draw a figure of the page's width and return its <svg> element."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = re.sub(r"<metadata>.*?</metadata>", "", content.getvalue(), flags=re.DOTALL)
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    # Numbered ids are the same in every figure, and nothing refers to them.
    drawn = re.sub(r' id="[a-z.\dA-Z]+_\d+"', "", drawn)
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
