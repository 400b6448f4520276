"""Pages of one file: no scripts, nothing loaded from elsewhere, one style for all."""

from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


class Plot(NamedTuple):
    """A figure: what it finds, the drawing, and how to read it."""

    finding: str
    svg: Markup
    reading: str


def plot(finding: str, svg: str, reading: str) -> Plot:
    """Return a figure of a drawing of our own."""
    return Plot(finding, Markup(svg), reading)  # noqa: S704 - our own drawing; texts of data sets are never drawn.


def render(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: path of the template within the package `training`.
        values: what the template shows; texts are escaped.
    """
    environment = Environment(
        loader=PackageLoader("training", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
