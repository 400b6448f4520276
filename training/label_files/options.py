"""What a command says of a label file beyond its content."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from schemas.emotions import EMOTIONS
from training.errors import UnusableRecipe
from training.label_files.emotion_names import NAMES, SKIP, fold

FIELDS: Final = (
    "text",
    "emotions",
    "annotated",
    "origin",
    "annotator",
    "labelled_at",
    "transcript_id",
    "source",
    "session_id",
    "drawn_by",
    "relative_chance",
    "split",
    "id",
    "original",
    "translation",
    "undecided",
)
"""The columns that are read, by the names that need no `--map`."""

ABOUT: Final = ("transcript_id", "source", "session_id", "drawn_by", "relative_chance", "split")
"""Those of them that tools carry along with a text, and that come back with the answer."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a command says of a label file beyond its content.

    Attributes:
        origin: origin of the rows that name none; None takes the form's own.
        annotator: annotator of the rows that name none.
        prefix: put before the annotators that rows name.
        drawn_by: how texts were drawn whose rows do not say it.
        columns: the file's column for a field; see `FIELDS`.
        wanted: the file's names for an emotion or for `SKIP`: label names, or columns that mark it.
        threshold: score from which on an emotion is given, 0 to 1.
        unannotated: rows that are annotated for nothing are taken, as texts that teachers score.
        neutral_mixes: neutral may stand with other emotions, as in the public sets.
        control: Label Studio's control, or Argilla's question, that holds the emotions.
    """

    origin: str | None = None
    annotator: str = ""
    prefix: str = ""
    drawn_by: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    threshold: float | None = None
    control: str | None = None
    unannotated: bool = False
    neutral_mixes: bool = False

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The emotion that each label name means, or `SKIP`."""
        return {**NAMES, **{fold(name): emotion for emotion, names in self.wanted.items() for name in names}}


def parse_map(entries: Iterable[str]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Read `--map`: our name, an equals sign, and the file's name, or several with commas between.

    Args:
        entries: as `text=Реплика`, `emotions=Метка`, `anger=раздражение,недовольство`, `skip=другое`.

    Returns:
        The file's column for each field, and the file's names for each emotion.

    Raises:
        UnusableRecipe: an entry names nothing of ours, or nothing of the file's, or a name twice.
    """
    columns: dict[str, str] = {}
    wanted: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        ours, _, theirs = map(str.strip, entry.partition("="))
        names = tuple(filter(None, map(str.strip, theirs.split(","))))
        if not names or ours not in (*FIELDS, *EMOTIONS, SKIP):
            raise UnusableRecipe(
                f"--map {entry} is not understood. Write our name first, as text=Реплика or joy=радостно; our names "
                f"are {', '.join((*FIELDS, *EMOTIONS, SKIP))}"
            )
        if ours in columns or ours in wanted:
            raise UnusableRecipe(f"--map names {ours} twice. Put commas between its names: {ours}=a,b")
        if ours in FIELDS:
            columns[ours] = theirs
        else:
            wanted[ours] = names
    taken = [fold(name) for names in wanted.values() for name in names]
    if twice := [name for name in taken if taken.count(name) > 1]:
        raise UnusableRecipe(f"--map gives {twice[0]} two meanings. Leave one")
    return columns, wanted
