"""The dashboard and the alerts ask for metrics that the worker tells and for columns that the tables have."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from places import ROOT
from prometheus_client import CollectorRegistry

from schemas.emotions import EMOTIONS
from schemas.tables import metadata
from worker.observability.metrics import Metrics

FOLDER = ROOT / "deploy" / "observability"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "emotions.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in PANELS for target in panel["targets"] if "expr" in target
]
QUERIES = [
    *(target["rawSql"] for panel in PANELS for target in panel["targets"] if "rawSql" in target),
    *(annotation["target"]["rawSql"] for annotation in DASHBOARD["annotations"]["list"]),
    *(variable["query"] for variable in DASHBOARD["templating"]["list"]),
]

# Words of PromQL and of SQL that stand where a name could.
PROMQL = {
    "by",
    "le",
    "and",
    "rate",
    "sum",
    "count",
    "max",
    "deriv",
    "increase",
    "absent",
    "histogram_quantile",
    "min",
    "max_over_time",
}
SQL = set(
    re.findall(
        r"\w+",
        "select from where and as group by order desc limit cross join lateral unnest array any is not null count avg "
        "coalesce filter int distinct in",
    )
)


def metrics() -> dict[str, set[str]]:
    """The names of the worker's time series, and their labels."""
    registry: CollectorRegistry = Metrics().registry
    return {
        name: set(collector._labelnames) | ({"le"} if name.endswith("_bucket") else set())
        for collector, names in registry._collector_to_names.items()
        for name in names
    }


def words(query: str) -> Iterator[str]:
    """The names in a query, without what stands in quotes, Grafana's macros and its variables."""
    bare = re.sub(r"'[^']*'|\[[^\]]*:[^\]]*\]|\$\w+", " ", query)
    return (word.lower() for word in re.findall(r"(?<![\w.])[A-Za-z_]\w*", bare))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_one_that_the_worker_tells(expression: str) -> None:
    known = metrics()
    bare = re.sub(r"\[[^\]]*\]|\"[^\"]*\"", "", expression)
    # `up` is Prometheus' own, of each target.
    used = set(re.findall(r"\bemotion_\w+|\bup\b", bare))
    assert used
    known["up"] = {"job", "instance"}
    assert used <= set(known)
    labels = {"instance"}.union(*(known[name] for name in used))
    assert set(words(bare)) - used - PROMQL <= labels


def test_no_metric_of_the_worker_is_left_unseen() -> None:
    families, seen = (
        {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in names}
        for names in (metrics(), re.findall(r"\bemotion_\w+", str(EXPRESSIONS)))
    )
    assert families - seen == {"emotion_rows"}, "each has a panel or an alert; rows are records less dead letters"


@pytest.mark.parametrize("query", QUERIES)
def test_every_column_is_one_of_the_tables(query: str) -> None:
    tables = {name for name in re.findall(r"(?:FROM|JOIN) (\w+)", query) if name not in {"LATERAL", "unnest"}}
    assert tables <= set(metadata.tables)
    columns = {column.name for name in tables for column in metadata.tables[name].columns}
    aliases = {name.lower() for name in re.findall(r" AS (\w+)", query)}
    assert set(words(query)) - SQL - tables - aliases <= columns


def test_emotions_are_those_of_the_worker_in_its_order() -> None:
    (query,) = (query for query in QUERIES if "ARRAY[" in query)
    assert re.findall(r"'(\w+)'", query.partition("ARRAY[")[2].partition("]")[0]) == list(EMOTIONS)


def test_panels_show_what_an_operator_asks_for() -> None:
    """Each has a title, says what it shows, and stands where no other does."""
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in PANELS
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_asks_sources_that_are_provisioned() -> None:
    provisioned = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text(encoding="utf-8"))
    sources = {source["uid"]: source["type"] for source in provisioned["datasources"]}
    used = [panel["datasource"] for panel in PANELS] + [target["datasource"] for p in PANELS for target in p["targets"]]
    used += [variable["datasource"] for variable in DASHBOARD["templating"]["list"]]
    assert {source["uid"]: source["type"] for source in used} == sources
    assert {source["url"] for source in provisioned["datasources"]} == {"http://prometheus:9090", "postgres:5432"}
    assert "$POSTGRES_PASSWORD" in str(provisioned)
    assert "POSTGRES_PASSWORD" in SERVICES["grafana"]["environment"]


def test_prometheus_asks_every_worker_that_docker_knows_of() -> None:
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = settings["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert (discovery["names"], discovery["type"]) == (["worker"], "A")
    assert f"::{discovery['port']}" in SERVICES["worker"]["ports"][0]
    assert settings["rule_files"] == ["alerts.yml"]


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_is_mounted_is_there(service: str) -> None:
    mounted = [volume.split(":")[0] for volume in SERVICES[service]["volumes"] if volume.startswith(".")]
    assert mounted
    assert all((ROOT / path).is_file() for path in mounted)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_the_matter_and_where_the_answer_stands(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["summary"]
    document, _, chapters = rule["annotations"]["runbook"].partition(": ")
    runbook = (ROOT / document).read_text(encoding="utf-8")
    for chapter in chapters.split(", "):
        assert re.search(rf"^#+ {re.escape(chapter)}", runbook, re.MULTILINE)
