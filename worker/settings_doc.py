"""Makes docs/configuration.md from the settings, so that the page cannot lie: `python -m worker.settings_doc`."""

from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from worker.settings import PREFIX, SECRETS, Settings, is_secret

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

_INTRODUCTION: Final = f"""\
<!-- Made by `python -m worker.settings_doc` from worker/settings.py; change it there. -->

# Configuration

`emotion-worker` is set up by environment variables, all of which begin with `{PREFIX}`. Where one is not set, the
worker looks for a file of that name in `{SECRETS}`: so Docker and Kubernetes hand over secrets. The environment
comes before the files; upper and lower case are the same.

- A name that begins with `{PREFIX}` and is not on this page is an error that suggests the nearest one, in the
  environment as in `{SECRETS}`: a misspelt setting is never ignored.
- A value that cannot be right is an error of one line. Both end the command with exit code 2.
- `emotion-worker run` logs its settings at the start; secrets are masked there and appear in no message.
- `emotion-worker run` and `emotion-worker migrate` need `{PREFIX}DATABASE_URL`; everything else has a default.
- The names are a contract: they change in major versions only.
"""

_GROUPS: Final = {
    "Kafka": ("kafka_",),
    "Postgres": ("database_",),
    "Model and batches": ("model", "convention", "neutral", "champion_", "device", "backend", "max_"),
    "Rows": ("channel_",),
    "Shadow": ("shadow",),
    "Dead letters": ("dead_letters_",),
    "Health, metrics and logs": ("http_", "stuck_", "log_"),
}
"""Title of each section, and how the names of its settings begin."""


def configuration_page() -> str:
    """Return the page, in Markdown: one table a group of settings."""
    return "\n".join([_INTRODUCTION, *(_section(title, prefixes) for title, prefixes in _GROUPS.items())])


def _section(title: str, prefixes: tuple[str, ...]) -> str:
    rows = [_row(name, field) for name, field in Settings.model_fields.items() if name.startswith(prefixes)]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    meaning = [field.description or ""]
    choices = _choices(field.annotation)
    if choices:
        meaning.append(f"One of {', '.join(f'`{choice}`' for choice in choices)}.")
    if is_secret(name):
        meaning.append("A secret.")
    return f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {' '.join(meaning)} |"


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the words that a setting may be, also where it may be left out; nothing for other settings."""
    return next((get_args(kind) for kind in (annotation, *get_args(annotation)) if get_origin(kind) is Literal), ())


def _default(value: Any) -> str:
    if value is None or value == {}:
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(configuration_page(), encoding="utf-8")
