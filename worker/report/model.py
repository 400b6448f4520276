"""A report as data: what the page shows, wherever it came from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from worker.report.intervals import Share, difference
from worker.report.score import LEAST_TURNS, TURNED, WRONG, length_of, score_call

_FIRST: Final = datetime.min.replace(tzinfo=UTC)


class Period(NamedTuple):
    """Time from `since` up to, and without, `until`; None where a file is taken as a whole."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def before(self) -> "Period | None":
        """The period of one length that ends where this one begins; no calendar begins before the year 1."""
        if self.since is None or self.until is None:
            return None
        return Period(self.since - min(self.until - self.since, self.since - _FIRST), self.since)


class Piece(NamedTuple):
    """Words of a turn, and whether they carried its score."""

    text: str
    marked: bool


class Turn(NamedTuple):
    """What somebody said.

    Attributes:
        number: counts the turns of the call from 1.
        role: agent, customer or None.
        speaker: who spoke, as the message says.
        pieces: the text; empty where it is not stored, or not to be shown.
        emotions: emotions assigned.
        strongest: the strongest emotion but neutral, with its probability.
        distress: highest probability of anger, disgust, fear and sadness; None where there is no score.
        not_scored: why there is no score: empty, or what the row says.
        scored_by: version of the model that scored it, and the convention of labels.
    """

    number: int
    role: str | None
    speaker: str | None
    pieces: tuple[Piece, ...]
    emotions: tuple[str, ...]
    strongest: tuple[str, float] | None
    distress: float | None
    not_scored: str | None
    scored_by: tuple[str, str]


class Call(NamedTuple):
    """What is known of a call without its texts.

    Attributes:
        source: where it was held.
        name: session, or id of the message where it names none.
        agent: name of the agent, where the messages tell it.
        turns: utterances of all.
        started: first moment, where one is known.
        ended: last moment, where one is known.
        customer_turns: utterances of the customer that have scores.
        severity: mean distress of the worst turns.
        distressed: customer turns that carry one of the four emotions.
        ending: mean distress of the last third.
        earlier: mean distress before the last third; None where there is nothing before.
        peak: the emotion that reached the highest probability, with that.
        emotions: emotions that the customer showed at least once.
    """

    source: str
    name: str
    agent: str | None
    turns: int
    started: datetime | None
    ended: datetime | None
    customer_turns: int
    severity: float
    distressed: int
    ending: float
    earlier: float | None
    peak: tuple[str, float]
    emotions: frozenset[str]

    @property
    def score(self) -> float:
        """How much went wrong, 0 to 100."""
        return score_call(self.severity, length_of(self.distressed, self.customer_turns), self.ending)

    @property
    def went_wrong(self) -> bool:
        """Whether the call counts as gone wrong."""
        return self.score >= WRONG

    @property
    def relief(self) -> float:
        """How far the distress fell towards the end, -1 to 1."""
        return 0.0 if self.earlier is None else self.earlier - self.ending

    @property
    def turned_round(self) -> bool:
        """Whether the customer was distressed first, and calmer in the end."""
        return self.customer_turns >= LEAST_TURNS and self.relief >= TURNED


class ShownCall(NamedTuple):
    """A call with its turns; `left_out` are the turns in its middle that a long one does not show."""

    call: Call
    turns: tuple[Turn, ...]
    left_out: int = 0


class Group(NamedTuple):
    """Calls of one source, or of one agent."""

    name: str
    wrong: Share
    turned: int


class Change(NamedTuple):
    """What of a thing was in the calls now, and in those of the period before."""

    name: str
    now: Share
    before: Share

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the change."""
        return difference(self.now, self.before)

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out no change at all."""
        low, high = self.interval
        return low > 0 or high < 0


class Course(NamedTuple):
    """How often emotions were heard over time, of one role in one source, or in all.

    Attributes:
        texts: utterances with scores.
        counts: utterances that carry each emotion.
        shares: for each emotion the share of the utterances at each moment of the report; None where there are none.
    """

    texts: int
    counts: Mapping[str, int]
    shares: Mapping[str, tuple[float | None, ...]]


class RoleCourse(NamedTuple):
    """The course of a role in all sources together, and in each."""

    role: str
    whole: Course
    sources: Mapping[str, Course]


class Model(NamedTuple):
    """A model that scored texts of the report."""

    version: str
    convention: str
    texts: int


class Report(NamedTuple):
    """All that the page shows.

    Attributes:
        origin: where the rows came from, as a reader would call it.
        period: what was asked for.
        first: first moment of any row.
        last: last moment of any row.
        models: models that scored, most texts first.
        texts: how many texts there are by outcome: scored, empty, language or another reason.
        calls: calls in all.
        heard: calls in which a customer has scores; shares are of these.
        wrong: calls that went wrong.
        turned: calls that turned round.
        worst: calls that went wrong, worst first, as many as are to be shown.
        relieved: calls that turned round, as many as are to be shown.
        step: hour, day, week or month.
        moments: the moments of the courses, in order.
        courses: emotions over time, by role.
        sources: groups by source.
        agents: groups by agent.
        changes: against the period before; empty where it has no calls.
        calls_before: calls of the period before.
        marking: why words are not marked; None where they are.
        with_texts: whether texts are shown.
    """

    origin: str
    period: Period
    first: datetime | None
    last: datetime | None
    models: tuple[Model, ...]
    texts: Mapping[str, int]
    calls: int
    heard: int
    wrong: Share
    turned: Share
    worst: tuple[ShownCall, ...]
    relieved: tuple[ShownCall, ...]
    step: str
    moments: tuple[datetime, ...]
    courses: tuple[RoleCourse, ...]
    sources: tuple[Group, ...]
    agents: tuple[Group, ...]
    changes: tuple[Change, ...]
    calls_before: int
    marking: str | None
    with_texts: bool
