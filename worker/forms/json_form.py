"""A form of JSON: how a document is known, and how its turns are read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from worker.forms.source import Source
from worker.forms.turn import Turn, UnreadableFile

Document = TypeVar("Document")


@dataclass(frozen=True)
class JsonForm(Generic[Document]):
    """A form of JSON.

    Attributes:
        name: as `--format` takes it.
        document: what is read of a document; fields that it lacks are ignored.
        knows: whether an object is a document of this form, from its fields alone.
        read: turns of a document, in their order.
        fragment: a document is a part of the call, as a recognizer writes it phrase by phrase; else it is a call.
    """

    name: str
    document: type[Document]
    knows: Callable[[dict[str, Any]], bool]
    read: Callable[[Document], Iterable[Turn]]
    fragment: bool = False

    def turns(self, source: Source) -> Iterator[tuple[str, int, Turn]]:
        """Yield the turns of a file, each with its place in the file and the number of its call, from 0.

        Raises:
            UnreadableFile: a document is of another form, or breaks this one.
        """
        for number, (place, document) in enumerate(source.documents()):
            if not self.knows(document):
                raise UnreadableFile(
                    f"{source.name}, {place}: this is no {self.name}, as what stands before it: its fields are "
                    f"{names_of(document)}. Put files of two forms on the topic one by one"
                )
            try:
                turns = list(self.read(msgspec.convert(document, self.document, strict=False)))
            except msgspec.ValidationError as error:
                raise UnreadableFile(f"{source.name}, {place}: it is no {self.name} after all: {error}") from error
            for turn in turns:
                yield place, 0 if self.fragment else number, turn


def names_of(document: dict[str, Any]) -> str:
    """Return the names of a document's fields, for an error; no more than ten, and of each no more than 40 letters."""
    plain = [f"`{name}`" for name in document if name.isidentifier() and name.isascii()][:10]
    return ", ".join(name[:42] for name in plain) or "none that are known"


def has_objects(document: dict[str, Any], field: str, *fields: str) -> bool:
    """Whether a field holds a list of objects, the first of which has all of these fields; or an empty list."""
    entries = document.get(field)
    if not isinstance(entries, list):
        return False
    return not entries or (isinstance(entries[0], dict) and all(name in entries[0] for name in fields))


def value_at(document: dict[str, Any], *path: str) -> Any:
    """Return what stands at a path of fields; None where there is nothing."""
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
