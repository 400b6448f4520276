"""The statements on results that the documents and the dashboards show, read out of these themselves."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from places import ROOT

_STATEMENT: Final = r"(?:SELECT|WITH|UPDATE|DELETE|INSERT)\b"
_RESULTS: Final = re.compile(r"\b(?:emotion_results|hourly_emotions|session_emotions(?:_between)?)\b")
_NOT_HERE: Final = re.compile(r"\bemotion_archive\b")
"""A table that users make; its statements have a test of their own."""

_MOMENT: Final = re.compile(r"'\d{4}-\d\d-\d\d(?:[ T][\d:.]+)?(?:Z|[+-]\d\d(?::?\d\d)?)?'")

# What Grafana's macros stand for; source: its documentation of the PostgreSQL data source, "Macros".
_MACROS: Final = {
    r"\$__timeFilter\((\w+)\)": r"\1 BETWEEN {since} AND {until}",
    r"\$__timeFrom\(\)": "{since}",
    r"\$__timeTo\(\)": "{until}",
    r"\$__timeGroup\((\w+), *\$__interval\)": r"floor(extract(epoch FROM \1) / 60) * 60",
    r"\$__interval": "1m",
    r"\$\{source:sqlstring\}": "'source-1'",
    r"\$role": "'customer', '-'",
    r"\$source": "'source-1'",
    r"\$\{session:sqlstring\}": "'call-17'",
}


class DocumentedQuery(NamedTuple):
    """A statement as a document or a dashboard has it."""

    place: str
    """File, and what of it."""
    statement: str

    def for_day(self, since: datetime) -> str:
        """Return the statement for one day: the first moment that it names is the day's beginning, others its end."""
        until = since + timedelta(days=1)
        bounds = {"since": f"'{since.isoformat()}'", "until": f"'{until.isoformat()}'"}
        said = self.statement
        for macro, meaning in _MACROS.items():
            said = re.sub(macro, meaning.format(**bounds), said)
        moments = iter([bounds["since"]])
        if _MOMENT.search(self.statement):
            said = _MOMENT.sub(lambda _: next(moments, bounds["until"]), said)
        return said


def documented_queries() -> list[DocumentedQuery]:
    """Return all statements on results, each once."""
    found: dict[str, DocumentedQuery] = {}
    for place, statement in (*_of_documents(), *_of_examples(), *_of_dashboards()):
        plain = statement.strip().removesuffix(";")
        if _RESULTS.search(plain) and not _NOT_HERE.search(plain):
            found.setdefault(" ".join(plain.split()), DocumentedQuery(place, plain))
    return list(found.values())


def _of_documents() -> Iterator[tuple[str, str]]:
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")):
        name, document = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        fenced = r"^```sql\n(.*?)^```$"
        blocks = re.findall(fenced, document, re.MULTILINE | re.DOTALL)
        document = re.sub(fenced, "", document, flags=re.MULTILINE | re.DOTALL)
        blocks += re.findall(rf"^ {{4,}}{_STATEMENT}.*(?:\n {{4,}}.*)*", document, re.MULTILINE)
        blocks += re.findall(rf"`({_STATEMENT} [^`]*)`", document)
        blocks += re.findall(rf'psql[^"\n]*-c "({_STATEMENT} [^"]*)"', document)
        for block in blocks:
            for statement in block.split(";"):
                without_comments = re.sub(r"^\s*--.*$", "", statement, flags=re.MULTILINE)
                if re.match(rf"\s*{_STATEMENT}", without_comments):
                    yield name, without_comments


def _of_examples() -> Iterator[tuple[str, str]]:
    path = ROOT / "examples" / "queries.sql"
    for question, statement in re.findall(r"^-- (.+?\?).*\n([^;]+);", path.read_text(encoding="utf-8"), re.MULTILINE):
        yield f"examples/queries.sql: {question}", statement


def _of_dashboards() -> Iterator[tuple[str, str]]:
    for path in ROOT.glob("deploy/**/*.json"):
        yield from ((f"{path.name}: {name}", said) for name, said in _in_panel(json.loads(path.read_bytes()), ""))


def _in_panel(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield each statement within a dashboard, by the nearest title or name around it."""
    if isinstance(value, dict):
        name = next((value[key] for key in ("title", "name") if isinstance(value.get(key), str)), name)
        for key, inner in value.items():
            if key in {"rawSql", "query"} and isinstance(inner, str):
                yield name, inner
            else:
                yield from _in_panel(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_panel(inner, name)
