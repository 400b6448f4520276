"""Every PromQL query of the dashboard, asked of a real Prometheus over an hour of metrics; each has a known answer."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest
from broker import lasting_port
from places import ROOT
from services import wait_for

DASHBOARD: Final = json.loads((ROOT / "deploy/observability/grafana/emotions.json").read_text(encoding="utf-8"))
QUERIES: Final = {
    (panel["title"], target["legendFormat"]): target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
    if "expr" in target
}

END: Final = 1_790_000_000
"""The moment that is asked for, as seconds since 1970."""
STEP_S: Final = 15
SAMPLES: Final = 240

WORKER, TRAINER = 'job="emotion-worker",instance="w"', 'job="emotion-trainer",instance="t"'

# Counters by what they grow in a second, from zero.
COUNTERS: Final = {
    f"emotion_records{{{WORKER}}}": 100.0,
    f'emotion_dead_letters{{{WORKER},stage="decode",reason="InvalidTranscript"}}': 2.0,
    f"emotion_rows_overwritten{{{WORKER}}}": 1.0,
    f"emotion_outdated_records{{{WORKER}}}": 3.0,
    f"emotion_tombstones{{{WORKER}}}": 4.0,
    f"emotion_rows_deleted{{{WORKER}}}": 5.0,
    f"emotion_erased_records{{{WORKER}}}": 8.0,
    f'emotion_not_scored{{{WORKER},reason="language"}}': 6.0,
    f"emotion_tokens{{{WORKER}}}": 900.0,
    f"emotion_padded_tokens{{{WORKER}}}": 1000.0,
    f'emotion_outages{{{WORKER},what="kafka"}}': 0.1,
    f"emotion_model_swap_failures{{{WORKER}}}": 0.01,
    f'emotion_shadow_records{{{WORKER},outcome="scored"}}': 7.0,
    f"emotion_shadow_failures{{{WORKER}}}": 0.5,
    f"emotion_fenced_records{{{WORKER}}}": 0.2,
    f"process_cpu_seconds{{{WORKER}}}": 1.5,
}
GAUGES: Final = {
    f'emotion_lag_records{{{WORKER},topic="t",partition="0"}}': 42.0,
    f'emotion_model_info{{{WORKER},version="one"}}': 1.0,
    f"emotion_model_behind{{{WORKER}}}": 1.0,
    f"up{{{WORKER}}}": 1.0,
    f"up{{{TRAINER}}}": 1.0,
    f"emotion_ready{{{WORKER}}}": 1.0,
    f"process_resident_memory_bytes{{{WORKER}}}": 1e9,
    f'emotion_hidden_records{{{WORKER},topic="t",partition="0"}}': 8.0,
    f"emotion_silent_partitions{{{WORKER}}}": 9.0,
    f'emotion_training_last_run_timestamp_seconds{{{TRAINER},state="promoted"}}': END - 3600.0,
    f'emotion_training_last_run_timestamp_seconds{{{TRAINER},state="failed"}}': 0.0,
    f"emotion_training_next_run_timestamp_seconds{{{TRAINER}}}": END + 7200.0,
    f"emotion_training_labels_waiting{{{TRAINER}}}": 120.0,
    f'emotion_drift_effect{{{TRAINER},statistic="score of anger",measure="D"}}': 0.2,
    f'emotion_drift_statistic_found{{{TRAINER},statistic="score of anger"}}': 1.0,
    f"emotion_drift_compared_timestamp_seconds{{{TRAINER}}}": END - 43200.0,
    f'emotion_labels_weighted_f1{{{TRAINER},month="2026-11"}}': 0.7,
}
# Chunks a second by the bounds of the latency: 8 of 10 within 0.1 s, 10 within 1 s. Stages take 0.2 s each.
HISTOGRAMS: Final = {
    "emotion_chunk_latency_seconds": (WORKER, {"0.1": 8.0, "1.0": 10.0, "+Inf": 10.0}, 3.0),
    "emotion_stage_seconds": (f'{WORKER},stage="inference"', {"1.0": 5.0, "+Inf": 5.0}, 1.0),
}

ANSWERS: Final[dict[tuple[str, str], dict[tuple[str, ...], float]]] = {
    ("Records stored", "{{instance}}"): {("w",): 100},
    ("Lag", "{{topic}} {{partition}}"): {("0", "t"): 42},
    ("From reading to stored", "half of the chunks"): {(): 0.0625},
    ("From reading to stored", "95 %"): {(): 0.775},
    ("From reading to stored", "99 %"): {(): 0.955},
    ("Seconds of a stage, a chunk", "{{stage}}"): {("inference",): 0.2},
    ("Dead letters", "{{stage}} {{reason}}"): {("InvalidTranscript", "decode"): 2},
    ("Other than written", "overwritten"): {(): 1},
    ("Other than written", "outdated"): {(): 3},
    ("Other than written", "tombstones"): {(): 4},
    ("Other than written", "deleted"): {(): 5},
    ("Other than written", "erased for good"): {(): 8},
    ("Other than written", "not scored: {{reason}}"): {("language",): 6},
    ("Useful tokens", "of all tokens"): {(): 0.9},
    ("Outages", "{{what}}"): {("kafka",): 6},
    ("Workers by model", "{{version}}"): {("one",): 1},
    ("Workers behind", "workers"): {(): 1},
    ("Swaps that failed", "swaps"): {(): 36},
    ("Shadow", "{{outcome}}"): {("scored",): 7},
    ("Shadow", "failures"): {(): 0.5},
    ("Workers", "up"): {(): 1},
    ("Workers", "ready"): {(): 1},
    ("Memory", "{{job}} {{instance}}"): {("process_resident_memory_bytes", "w", "emotion-worker"): 1e9},
    ("Processor", "{{job}} {{instance}}"): {("w", "emotion-worker"): 1.5},
    ("Held up", "behind a transaction"): {(): 8},
    ("Held up", "partitions without a leader"): {(): 9},
    ("Held up", "fenced"): {(): 12},
    ("Since the latest run", "{{state}}"): {("promoted",): 3600},
    ("Until the next run", "next run"): {(): 7200},
    ("Labels waiting", "labels"): {(): 120},
    ("Drift", "{{statistic}}"): {("score of anger",): 0.2},
    ("Drifted", "statistics"): {(): 1},
    ("Drifted", "days since the comparison"): {(): 0.5},
    ("Champion on labels", "{{month}}"): {("2026-11",): 0.7},
}


def lines(series: str, suffix: str, rate: float | None, value: float = 0.0) -> Iterator[str]:
    """The samples of a series in OpenMetrics' form."""
    name, _, labels = series.partition("{")
    for at in range(SAMPLES + 1):
        moment = END - STEP_S * (SAMPLES - at)
        shown = value if rate is None else rate * STEP_S * at
        yield f"{name}{suffix}{{{labels} {shown} {moment}"


def open_metrics() -> str:
    """An hour of all metrics, each family in a row, as OpenMetrics wants them."""
    families: dict[tuple[str, str], list[str]] = {}
    for series, rate in COUNTERS.items():
        families.setdefault((series.partition("{")[0], "counter"), []).extend(lines(series, "_total", rate))
    for series, value in GAUGES.items():
        families.setdefault((series.partition("{")[0], "gauge"), []).extend(lines(series, "", None, value))
    for name, (labels, bounds, total) in HISTOGRAMS.items():
        written = families.setdefault((name, "histogram"), [])
        for bound, rate in bounds.items():
            written.extend(lines(f'{name}{{{labels},le="{bound}"}}', "_bucket", rate))
        written.extend(lines(f"{name}{{{labels}}}", "_count", bounds["+Inf"]))
        written.extend(lines(f"{name}{{{labels}}}", "_sum", total))
    parts = [f"# TYPE {name} {kind}\n" + "\n".join(samples) for (name, kind), samples in families.items()]
    return "\n".join([*parts, "# EOF\n"])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that holds an hour of metrics."""
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not installed: it is Debian's package prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "metrics").write_text(open_metrics(), encoding="utf-8")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n", encoding="utf-8")
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(folder / "metrics")]
    subprocess.run([*fill, str(folder / "data")], check=True)
    address = f"127.0.0.1:{lasting_port()}"
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
    options |= {"storage.tsdb.retention.time": "100y", "web.listen-address": address, "log.level": "warn"}
    server = subprocess.Popen(["prometheus", *(f"--{name}={value}" for name, value in options.items())])
    try:
        wait_for(lambda: ready(address), "Prometheus")
        yield address
    finally:
        server.terminate()
        server.wait()


def ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def asked(address: str, expression: str) -> list[Any]:
    """What Prometheus answers to a query as Grafana sends it."""
    filled = expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
    query = urllib.parse.urlencode({"query": filled, "time": END})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=60) as answer:
        return list(json.load(answer)["data"]["result"])


@pytest.mark.parametrize("panel", QUERIES, ids=" ".join)
def test_a_panel_shows_what_prometheus_holds(panel: tuple[str, str], prometheus: str) -> None:
    found = {
        tuple(value for _, value in sorted(series["metric"].items())): float(series["value"][1])
        for series in asked(prometheus, QUERIES[panel])
    }
    assert found == pytest.approx(ANSWERS[panel])
