"""Writes the tables of settings into documents that say where they stand, so that no page can lie.

A page holds a line such as `<!-- settings: worker.settings.Settings kafka_ -->`: a class, and how the names of its
fields begin. The table that belongs there follows, up to the line `<!-- end of settings -->`. Run it as
`python -m registry.settings_tables PAGE ...`.
"""

import pydoc
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from registry.settings import EnvironmentSettings

_TABLE: Final = re.compile(r"(<!-- settings: (\S+)([^\n]*) -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return a page, its tables as the settings are now."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2], tuple(found[3].split())) + found[4], page)


def _table(name: str, beginnings: tuple[str, ...]) -> str:
    """Return the table of a class: fields whose names begin so, or without a beginning those that are in no group.

    A field without a description is another program's.
    """
    kind = cast("type[BaseModel]", pydoc.locate(name))
    rows = [
        _row(kind, path, field)
        for path, field in _fields(kind)
        if field.description and (path.startswith(beginnings) if beginnings else "." not in path)
    ]
    return "\n".join(["", "| setting | default | meaning |", "|---|---|---|", *rows, "", ""])


def _fields(kind: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in kind.model_fields.items():
        nested = field.annotation
        # A group that may be left out is a value of its own.
        if isinstance(nested, type) and issubclass(nested, BaseModel) and not path:
            yield from _fields(nested, f"{name}.")
        else:
            yield path + name, field


def _row(kind: type[BaseModel], path: str, field: FieldInfo) -> str:
    name, meaning = path, [str(field.description)]
    if choices := _choices(field.annotation):
        meaning.append(f"One of {', '.join(f'`{choice}`' for choice in choices)}.")
    if issubclass(kind, EnvironmentSettings):
        name = kind.variable(path)
        meaning += ["A secret."] if kind.is_secret(path) else []
    return f"| `{name}` | {_default(field.default)} | {' '.join(' '.join(meaning).split())} |"


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the words that a setting may be, also where it may be left out; nothing for other settings."""
    return next((get_args(kind) for kind in (annotation, *get_args(annotation)) if get_origin(kind) is Literal), ())


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, Mapping):
        value = tuple(f"{name}: {each if isinstance(each, str) else format(each, 'g')}" for name, each in value.items())
    if value in {None, (), ""}:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return ", ".join(f"`{each}`" for each in (value if isinstance(value, tuple) else (value,)))


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
