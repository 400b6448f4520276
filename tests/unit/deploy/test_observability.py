"""The dashboard and the alerts ask for metrics that the worker tells and for columns that the tables have."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from places import ROOT

from schemas.emotions import EMOTIONS
from schemas.tables import metadata
from training.database import connect
from training.monitor.drift import Drift
from training.monitor.label_quality import Month
from training.monitor.prometheus_file import drift_registry
from training.monitor.run_metrics import RunMetrics
from training.monitor.watch import Watch
from worker.observability.metrics import Metrics

FOLDER = ROOT / "deploy" / "observability"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
DASHBOARDS: list[dict[str, Any]] = [
    json.loads((FOLDER / "grafana" / name).read_text(encoding="utf-8")) for name in ("emotions.json", "calls.json")
]
PANELS: list[dict[str, Any]] = [
    panel for dashboard in DASHBOARDS for panel in dashboard["panels"] if panel["type"] != "row"
]
VARIABLES: list[dict[str, Any]] = [
    variable for dashboard in DASHBOARDS for variable in dashboard["templating"]["list"] if variable["type"] == "query"
]
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = [
    test
    for name in ("alerts_test.yml", "alerts_of_days_test.yml")
    for test in yaml.safe_load((ROOT / "tests" / "compose" / name).read_text(encoding="utf-8"))["tests"]
]
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in PANELS for target in panel["targets"] if "expr" in target
]
QUERIES = [
    *(target["rawSql"] for panel in PANELS for target in panel["targets"] if "rawSql" in target),
    *(annotation["target"]["rawSql"] for each in DASHBOARDS for annotation in each["annotations"]["list"]),
    *(variable["query"] for variable in VARIABLES),
]

DRIFT = Drift(False, (), 100, 100, 10, 10, "one", 0.01, 0.1)
MONTH = Month("2026-11", 100, 0.7, [0.6, 0.8], dict.fromkeys(EMOTIONS, 0.7))

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
    "time",
    "unless",
    "on",
}
SQL = set(
    re.findall(
        r"\w+",
        "select from where and as group by order desc limit cross join lateral unnest array any is not null count avg "
        "coalesce filter int distinct in date_trunc to_char greatest sum min max array_agg nulls last string_agg "
        "having bool_or row_number over case when then end array_to_string concat_ws",
    )
)


def metrics() -> dict[str, set[str]]:
    """The names of the time series of worker and trainer, and their labels."""
    # No engine connects before it is asked.
    engine = connect("postgresql://nobody@localhost/nothing")
    trainer = Watch(engine, ROOT / "none.prom", lambda: None).registry
    told = {family.name: set(family._labelnames) for family in RunMetrics(engine).describe()}
    return {
        name: set(getattr(collector, "_labelnames", told.get(name, ())))
        | ({"le"} if name.endswith("_bucket") else set())
        for registry in (Metrics().registry, trainer, drift_registry(DRIFT, [MONTH]))
        for collector, names in registry._collector_to_names.items()
        for name in names
    }


def words(query: str) -> Iterator[str]:
    """The names in a query, without what stands in quotes, Grafana's macros and its variables."""
    bare = re.sub(r"'[^']*'|\[[^\]]*:[^\]]*\]|\$\w+|\$\{[^}]*\}", " ", query)
    return (word.lower() for word in re.findall(r"(?<![\w.])[A-Za-z_]\w*", bare))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_one_that_worker_or_trainer_tells(expression: str) -> None:
    known = metrics()
    bare = re.sub(r"\[[^\]]*\]|\"[^\"]*\"", "", expression)
    # `up` is Prometheus' own, of each target; the process collector tells its own.
    used = set(re.findall(r"\b(?:emotion|process)_\w+|\bup\b", bare))
    assert used
    known |= {
        name: {"job", "instance"} for name in ("up", "process_cpu_seconds_total", "process_resident_memory_bytes")
    }
    assert used <= set(known)
    labels = {"instance"}.union(*(known[name] for name in used))
    assert set(words(bare)) - used - PROMQL <= labels


def test_no_metric_is_left_unseen() -> None:
    families, seen = (
        {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in names}
        for names in (metrics(), re.findall(r"\bemotion_\w+", str(EXPRESSIONS)))
    )
    # Rows are records less dead letters; the rest is for whoever looks closer at a drift.
    close = {
        f"emotion_{name}"
        for name in ["drift_rows", "drift_calls", "drift_value", "drift_p_value", "labels_rows", "labels_f1"]
    }
    assert families - seen == {"emotion_rows"} | close, "each has a panel or an alert"


@pytest.mark.parametrize("query", QUERIES)
def test_every_column_is_one_of_the_tables(query: str) -> None:
    tables = {name for name in re.findall(r"(?:FROM|JOIN) (\w+)", query) if name not in {"LATERAL", "unnest"}}
    assert tables <= set(metadata.tables)
    columns = {column.name for name in tables for column in metadata.tables[name].columns}
    aliases = {name.lower() for name in re.findall(r" AS (\w+)", query)}
    assert set(words(query)) - SQL - tables - aliases <= columns


def test_emotions_are_those_of_the_worker_in_its_order() -> None:
    found = [re.findall(r"'(\w+)'", part) for query in QUERIES for part in re.findall(r"ARRAY\[([^]]+)\]", query)]
    # The others are those of distress.
    assert {tuple(names) for names in found} == {EMOTIONS, ("anger", "disgust", "fear", "sadness")}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_panels_show_what_an_operator_asks_for(dashboard: dict[str, Any]) -> None:
    """Each has a title, says what it shows, and stands where no other does."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboards_ask_sources_that_are_provisioned() -> None:
    provisioned = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text(encoding="utf-8"))
    sources = {source["uid"]: source["type"] for source in provisioned["datasources"]}
    used = [panel["datasource"] for panel in PANELS] + [target["datasource"] for p in PANELS for target in p["targets"]]
    used += [variable["datasource"] for variable in VARIABLES]
    assert {source["uid"]: source["type"] for source in used} == sources
    assert {source["url"] for source in provisioned["datasources"]} == {"http://prometheus:9090", "postgres:5432"}
    assert "$READER_PASSWORD" in str(provisioned)
    assert "READER_PASSWORD" in SERVICES["grafana"]["environment"]


def test_prometheus_asks_every_worker_that_docker_knows_of_and_the_trainer() -> None:
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    found = {job["job_name"]: discovery for job in settings["scrape_configs"] for discovery in job["dns_sd_configs"]}
    assert {job: (each["names"], each["type"]) for job, each in found.items()} == {
        "emotion-worker": (["worker"], "A"),
        "emotion-trainer": (["trainer"], "A"),
    }
    assert f"::{found['emotion-worker']['port']}" in SERVICES["worker"]["ports"][0]
    assert found["emotion-trainer"]["port"] == SERVICES["trainer"]["environment"]["TRAINING_HTTP_PORT"]
    assert SERVICES["trainer"]["environment"]["TRAINING_HTTP_HOST"] == "0.0.0.0"  # noqa: S104 - within its container.
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


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_the_runbook_shows_an_alerts_expression(rule: dict[str, Any]) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8").replace(r"\|", "|")
    assert f"`{rule['expr'].strip()}`" in runbook


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_promtool_sees_an_alert_ring_and_be_silent_though_its_series_are_there(rule: dict[str, Any]) -> None:
    well, *cases = TESTS
    assert well["promql_expr_test"] == [{"expr": "ALERTS", "eval_time": "1h"}]
    present = " ".join(series["series"] for series in well["input_series"])
    bare = re.sub(r'"[^"]*"', "", rule["expr"])
    assert all(name in present for name in re.findall(r"emotion_\w+|\bup\b", bare))
    rings = [
        *(case["alertname"] for test in cases for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")),
        *re.findall(r'alertname="(\w+)"', str([test.get("promql_expr_test") for test in cases])),
    ]
    assert rule["alert"] in rings
