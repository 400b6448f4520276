"""A form that is no JSON: how it is known by its first lines, and how its turns are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.forms.source import Source
from worker.forms.turn import Turn


@dataclass(frozen=True)
class LineForm:
    """A form of text, or of a table.

    Attributes:
        name: as `--format` takes it.
        knows: whether a file is of this form, from its first lines that are not blank.
        read: turns with their places, and the number of the call, which is None for lines that are no call.
        checked: no text needs to be looked at for traces of another form, since the decoder has proved the structure,
            or `read` looks itself.
    """

    name: str
    knows: Callable[[list[str]], bool]
    read: Callable[[Source], Iterator[tuple[str, int | None, Turn]]]
    checked: bool = False

    def turns(self, source: Source) -> Iterator[tuple[str, int | None, Turn]]:
        """Yield the turns of a file, each with its place in the file and the number of its call, from 0.

        Raises:
            UnreadableFile: a line breaks the form.
        """
        return self.read(source)
