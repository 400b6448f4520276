"""Settings of a program: environment variables of one prefix, or files of their names in /run/secrets."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from registry.errors import ConfigurationError

SECRETS: Final = Path("/run/secrets")


class EnvironmentSettings(BaseSettings):
    """What an operator can set; a program adds its prefix and its fields, each with a docstring that describes it."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True, use_attribute_docstrings=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment and the secrets.

        Args:
            overrides: what the command line gives in place of settings; None where it gives nothing.

        Raises:
            ConfigurationError: an unknown name, a value that cannot be right, or a file that cannot be read.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            folder = SECRETS if SECRETS.is_dir() else None
            cls.refuse_unknown([*os.environ, *(file.name for file in (folder.iterdir() if folder else ()))])
            return cls(**{"_secrets_dir": folder, **given})
        except ValidationError as error:
            raise ConfigurationError("; ".join(map(cls._explain, error.errors()))) from None
        except (SettingsError, OSError) as error:
            raise ConfigurationError(
                f"{SECRETS} cannot be read: {error.__cause__ or error}. Its files must be UTF-8 text that the user of "
                f"this program (id {os.getuid()}) may read"
            ) from error

    @classmethod
    def refuse_unknown(cls, names: Iterable[str]) -> None:
        """Refuse a misspelt name, which would otherwise be ignored in silence.

        Raises:
            ConfigurationError: it says the name, and the nearest one that exists where one is near.
        """
        prefix = str(cls.model_config["env_prefix"])
        known = [cls.variable(field).removeprefix(prefix) for field in cls.model_fields]
        for name in names:
            short = name.upper().removeprefix(prefix)
            if name.upper().startswith(prefix) and short not in known:
                near = difflib.get_close_matches(short, known, n=1)
                suggestion = f"; did you mean {prefix}{near[0]}?" if near else "."
                raise ConfigurationError(f"{name} is no setting{suggestion} docs/configuration.md lists them")

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the name of the variable that sets a field."""
        alias = cls.model_fields[field].validation_alias
        return str(alias or f"{cls.model_config['env_prefix']}{field.upper()}")

    @classmethod
    def is_secret(cls, field: str) -> bool:
        """Whether a field's value must never be shown."""
        return SecretStr in get_args(cls.model_fields[field].annotation)

    def printable(self) -> dict[str, Any]:
        """Return the settings as they may be logged: secrets are masked, unset ones left out."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}

    @classmethod
    def _explain(cls, detail: Any) -> str:
        # A field that has an alias is told by it.
        field = next((name for name in cls.model_fields if detail["loc"][0] in {name, cls.variable(name)}), "")
        # An address may hold a password too.
        given = "" if cls.is_secret(field) else re.sub("//[^/@]*@", "//***@", f", got {detail['input']!r}")
        return f"{cls.variable(field)}: {detail['msg'][0].lower()}{detail['msg'][1:]}{given}"
