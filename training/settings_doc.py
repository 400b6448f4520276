"""Makes the tables of docs/training.md from the settings, so that the page cannot lag behind them.

Run `python -m training.settings_doc` to write the page anew.
"""

import re
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from training.settings import Augmentation, FitSettings, Learning, Network, Teaching

PAGE: Final = Path(__file__).parent.parent / "docs" / "training.md"

_BEGIN: Final = "<!-- settings: made by `python -m training.settings_doc` -->"
_PARTS: Final[dict[str, type[BaseModel]]] = {
    "": FitSettings,
    "network": Network,
    "learning": Learning,
    "teaching": Teaching,
    "augmentation": Augmentation,
}


def page(current: str) -> str:
    """Return the page with its tables made anew; what stands above them stays."""
    head, begin, _ = current.partition(_BEGIN)
    return head + begin + "\n" + "\n".join(_table(name, part) for name, part in _PARTS.items())


def _table(name: str, part: type[BaseModel]) -> str:
    said = _attributes(part)
    lines = [f"\n### {name or 'the run'}\n", "| setting | default | what |", "|---|---|---|"]
    for field, about in part.model_fields.items():
        if not name and field in _PARTS:
            continue
        full = f"{name}.{field}" if name else field
        lines.append(f"| `{full}` | {_default(about.default)} | {said[field]} |")
    return "\n".join(lines) + "\n"


def _attributes(part: type[BaseModel]) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    text = (part.__doc__ or "").partition("Attributes:")[2]
    found = re.findall(r"^\s+(\w+): (.*(?:\n {12}.*)*)", text, flags=re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, dict):
        return (
            ", ".join(f"{name}: {each if isinstance(each, str) else format(each, 'g')}" for name, each in value.items())
            or "none"
        )
    if isinstance(value, BaseModel):
        value = ", ".join(f"{name}: {said}" for name, said in value.model_dump(exclude_defaults=True).items())
    if value in (None, (), ""):
        return "none"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
