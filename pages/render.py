"""Pages of one file: no scripts, nothing loaded from elsewhere, one style for all."""

from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: package and path of the template within it, such as `training/monitor/drift.html.jinja`.
        values: what the template shows; texts are escaped.
    """
    package = template.partition("/")[0]
    environment = Environment(
        loader=PrefixLoader({name: PackageLoader(name, ".") for name in (package, "pages")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
