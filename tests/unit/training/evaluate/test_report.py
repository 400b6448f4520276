"""report.html and metrics.json, made with a model so small that it is a function."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from manifests import manifest

from schemas.bundle import Calibration, Tuning
from schemas.emotions import EMOTIONS
from training.data.augment.word_errors import add_noise
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.errors import UnusableData, UnusableOutput
from training.evaluate.breakdowns import weighted_f1
from training.evaluate.metrics import counts
from training.evaluate.model_card import summary
from training.evaluate.predictor import Served
from training.evaluate.report import evaluate
from training.evaluate.robustness import WORD_ERROR_RATES

STEMS = ("злюсь", "мерзко", "страшно", "рада", "грустно", "неожиданно", "обычно")
FILLING = ("ну", "вот", "так", "вчера", "звонила", "вам", "снова")
LOGS = [{"step": 50 * at, "loss": 1 / at, "learning_rate": 1e-4} for at in range(1, 60)]


def logits(texts: Sequence[str]) -> np.ndarray:
    """Hear a word and be fairly sure; a question mark helps, as punctuation does."""
    return np.array([[4.0 * (stem in text) - 2 + ("?" in text) for stem in STEMS] for text in texts], np.float32)


def examples(source: str, rows: int, *, language: str = "ru", asked: int = len(EMOTIONS)) -> Examples:
    """Rows of which every tenth is labelled otherwise than its word says, and every twentieth holds markup."""
    random = np.random.default_rng(0)
    targets = np.zeros((rows, len(EMOTIONS)), np.float32)
    texts = []
    for at in range(rows):
        heard = at % len(STEMS)
        targets[at, heard if at % 10 else (heard + 1) % len(STEMS)] = 1
        around = random.choice(FILLING, at % 15).tolist()
        texts.append(" ".join([*around, STEMS[heard], "<script>alert(1)</script>" if at % 20 == 0 else "?"]))
    annotated = np.tile(np.arange(len(EMOTIONS)) < asked, (rows, 1))
    return Examples(source, language, [f"{source}-{at}" for at in range(rows)], texts, targets * annotated, annotated)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report")
    sets = [
        examples("brighter", 40, asked=5),
        examples("ru_go_emotions", 210),
        examples("goemotions", 9, language="en"),
    ]
    evaluate(Served(manifest(), logits), sets, output, LOGS)
    return output


class Page(HTMLParser):
    """Collects tags, what they point to, and titles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.titles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["h3"] and data.strip():
            self.titles.append(data)


def test_the_report_is_one_file_that_loads_and_runs_nothing(written: Path) -> None:
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    assert sorted(file.name for file in written.iterdir()) == ["metrics.json", "report.html"]
    assert not {"script", "link", "img", "iframe", "image"} & set(page.tags)
    assert all(target.startswith("#") for target in page.targets)
    assert page.tags.count("figure") == page.tags.count("svg") == 9


def test_markup_in_a_text_stays_text(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text


def test_titles_say_what_the_plots_show(written: Path) -> None:
    titles = Page((written / "report.html").read_text(encoding="utf-8")).titles
    assert any(
        re.match(r"15 % word errors cost [\d.]+ points of weighted F1 \([\d.-]+ to [\d.]+\), ", it) for it in titles
    )
    assert any(it.startswith("The loss went from 1.000 to 0.017") for it in titles)


def test_plots_take_their_ink_from_the_page(written: Path) -> None:
    svgs = re.findall(r"<svg.*?</svg>", (written / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert all("currentColor" in svg for svg in svgs)
    ids = [identity for svg in svgs for identity in set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', svg))]
    assert all(any(f'id="{name}"' in svg for svg in svgs) for pair in ids for name in pair if name)


def test_equal_figures_make_an_equal_report(written: Path, tmp_path: Path) -> None:
    sets = [examples("brighter", 40, asked=5), examples("ru_go_emotions", 210)]
    evaluate(Served(manifest(metrics={"learning_curve": LOGS}), logits), sets, tmp_path)
    for file in ("report.html", "metrics.json"):
        assert (tmp_path / file).read_bytes() == (written / file).read_bytes()


def shown(folder: Path, chose: str, **settings: bool) -> tuple[dict[str, Any], str]:
    """Report on 210 rows, by a bundle whose thresholds these rows chose with luck, or others did."""
    lucky = dict.fromkeys(EMOTIONS, Calibration(scale=0.3))
    measured_on = {"measured_on": f"{chose} validation in ASR form"}
    served = Served(manifest(calibration=lucky, metrics=measured_on), logits)
    figures = evaluate(served, [examples("ru_go_emotions", 210)], folder, **settings)
    return figures["ru_go_emotions"], (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("chose", "held_out", "by"),
    [("ru_go_emotions", False, "other_half"), ("ru_calls", False, "as_served"), ("ru_go_emotions", True, "as_served")],
)
def test_each_figure_of_a_report_has_one_value_measured_on_rows_that_chose_nothing(
    chose: str, held_out: bool, by: str, tmp_path: Path
) -> None:
    figures, page = shown(tmp_path, chose, held_out=held_out)
    assert figures["judged_by"] == by
    [other] = {"as_served", "other_half"} - {by}
    worst = {name: max(each["ece"] for each in figures[name]["emotions"].values()) for name in (by, other)}
    assert f"{worst[by]:.3f}" != f"{worst[other]:.3f}"
    assert f"<b>{worst[by]:.3f}</b>" in page
    assert re.search(rf"the worst, \w+, is off by {worst[by]:.3f} in the mean", page)
    assert f"{worst[other]:.3f}" not in page
    [noisy] = [each for each in figures["word_errors"] if each["rate"] == 0.15]
    cost = f"{-100 * noisy[by]['change']:.1f}"
    assert f"<b>{cost}</b>" in page
    assert f"15 % word errors cost {cost} points" in page
    # What the plots show is measured in the same way.
    reached = {
        name: abs(sum((bin_["score"] - bin_["share"]) * bin_["rows"] for bin_ in bins)) / 210
        for name, bins in figures["reliability"].items()
    }
    assert all(reached[name] <= each["ece"] + 1e-6 for name, each in figures[by]["emotions"].items())


def test_metrics_hold_every_condition_of_every_russian_set(written: Path) -> None:
    metrics = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == ["brighter", "ru_go_emotions"]
    for measured in metrics.values():
        assert [each["rate"] for each in measured["word_errors"]] == [0, *WORD_ERROR_RATES]
        for by in ("as_served", "other_half"):
            assert measured["word_errors"][0][by]["change"] == 0
        assert measured["word_errors"][-1]["measured_rate"] == pytest.approx(0.25, abs=0.05)
        assert measured["written"]["as_served"]["rows"] == measured["as_served"]["rows"]
    assert "sadness" in metrics["brighter"]["as_served"]["emotions"]
    assert "neutral" not in metrics["brighter"]["as_served"]["emotions"]


def test_the_limited_cost_is_that_of_three_draws_of_errors_together(written: Path) -> None:
    rows = examples("ru_go_emotions", 210)
    served = Served(manifest(), logits)
    drawn = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        heard = [as_spoken(add_noise(as_spoken(text), 0.15, random)) for text in rows.texts]
        drawn.append(counts(served.scores(logits(heard)), rows.targets, served.rule, rows.annotated))
    metrics = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    [limited] = [each for each in metrics["ru_go_emotions"]["word_errors"] if each["rate"] == 0.15]
    together = weighted_f1(*(np.concatenate(each) for each in zip(*drawn, strict=True)))
    assert limited["as_served"]["weighted_f1"] == pytest.approx(together, abs=1e-6)
    assert together != pytest.approx(weighted_f1(*drawn[0]), abs=1e-4)


def test_without_an_output_word_errors_are_not_measured() -> None:
    figures = evaluate(Served(manifest(), logits), [examples("ru_go_emotions", 40)])
    assert "word_errors" not in figures["ru_go_emotions"]
    assert "word_errors_change" not in summary(figures)["ru_go_emotions"]


def test_a_bundle_without_a_learning_curve_has_a_report_without_one(tmp_path: Path) -> None:
    evaluate(Served(manifest(), logits), [examples("ru_go_emotions", 40)], tmp_path)
    assert "The loss went" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_no_russian_rows_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="no Russian validation rows"):
        evaluate(Served(manifest(), logits), [examples("goemotions", 9, language="en")], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_an_output_that_cannot_be_made_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    def never(texts: Sequence[str]) -> np.ndarray:
        raise AssertionError(texts)

    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UnusableOutput, match="cannot be made"):
        evaluate(Served(manifest(), never), [examples("ru_go_emotions", 40)], tmp_path / "file" / "report")


def test_each_set_is_measured_by_the_convention_that_its_labels_follow() -> None:
    other = Tuning(thresholds=dict.fromkeys(EMOTIONS, 0.5), calibration=dict.fromkeys(EMOTIONS, Calibration()))
    both = manifest(convention="calls", others={"public": other})
    served = Served(both, lambda texts: np.concatenate([-logits(texts), logits(texts)], axis=1))
    sets = [replace(examples(name, 70), conventions=(name,)) for name in ("calls", "public")]
    figures = evaluate(served, sets)
    assert {name: each["convention"] for name, each in figures.items()} == {"calls": "calls", "public": "public"}
    assert figures["public"]["as_served"]["macro_f1"] > 0.5 > figures["calls"]["as_served"]["macro_f1"]
    chosen = evaluate(served.following("calls"), sets)
    assert {each["convention"] for each in chosen.values()} == {"calls"}
