"""Figures of a page: what each finds, its drawing, and how to read it."""

from typing import NamedTuple

from markupsafe import Markup


class Plot(NamedTuple):
    """A figure: what it finds, the drawing, and how to read it."""

    finding: str
    svg: Markup
    reading: str


def plot(finding: str, svg: str, reading: str) -> Plot:
    """Return a figure of a drawing of our own."""
    return Plot(finding, Markup(svg), reading)  # noqa: S704 - our own drawing; texts of data sets are never drawn.
