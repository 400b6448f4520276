"""A bundle on disk, data in files, and the report that comes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import BOTH, make_bundle
from manifests import manifest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from registry.write import write_bundle
from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.datasets import load
from training.errors import UnusableData, UnusableModel, UnusableOutput
from training.evaluate.predictor import open_served
from training.evaluate.report import evaluate

WORDS = ("злюсь", "мерзко", "страшно", "рада", "грустно", "неожиданно", "обычно")
NUMBERS = (2, 11, 14, 17, 25, 26, 27)
"""GoEmotions' of the words above."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untrained encoder of one layer, with calibration left for the manifest."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    inner = Tokenizer(WordLevel({word: at for at, word in enumerate(("<unk>", "<pad>", *WORDS))}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>")  # noqa: S106 - no secret.
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=9,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            id2label=dict(enumerate(EMOTIONS)),
            label2id={emotion: at for at, emotion in enumerate(EMOTIONS)},
            pad_token_id=1,
            initializer_range=1.0,
        )
    )
    served = manifest(
        version="tiny-1",
        thresholds=dict.fromkeys(EMOTIONS, 0.3),
        calibration=dict.fromkeys(EMOTIONS, Calibration(scale=0.5, bias=-1.0)),
        metrics={"learning_curve": [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.4}]},
    )
    write_bundle(folder, model, tokenizer, served, "# tiny\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "ru_go_emotions").mkdir()
    rows = [
        (f"Ну вот, {word}! Раз {at}", number, at)
        for at in range(10)
        for word, number in zip(WORDS, NUMBERS, strict=True)
    ]
    table = "".join(f'"{text}",so,[{number}],{number}x{at}\n' for text, number, at in rows)
    (root / "ru_go_emotions" / "validation.csv").write_text("ru_text,text,labels,id\n" + table, encoding="utf-8")
    (root / "brighter").mkdir()
    table = "".join(
        f"{at},Мне {WORDS[at % 6]}?,{','.join(str(int(at % 6 == e)) for e in range(6))}\n" for at in range(30)
    )
    (root / "brighter" / "rus_track_a_dev.csv").write_text(
        "id,text,anger,disgust,fear,joy,sadness,surprise\n" + table, encoding="utf-8"
    )
    return root


def test_a_bundle_is_measured_on_every_set_and_reported(bundle: Path, data: Path, tmp_path: Path) -> None:
    figures = evaluate(open_served(bundle), load([str(data)], "validation"), tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8")) == figures
    assert {source: measured["as_served"]["rows"] for source, measured in figures.items()} == {
        "brighter": 30,
        "ru_go_emotions": 70,
    }
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "tiny-1" in page
    assert "The loss went from 0.500 to 0.400" in page


def test_no_report_is_written_into_a_bundle(bundle: Path, data: Path) -> None:
    """It quotes texts, and a bundle may be published."""
    before = sorted(bundle.iterdir())
    with pytest.raises(UnusableOutput, match="a report quotes texts"):
        evaluate(open_served(bundle), load([str(data / "brighter")], "validation"), bundle)
    assert sorted(bundle.iterdir()) == before


def test_the_figures_need_no_report(bundle: Path, data: Path) -> None:
    figures = evaluate(open_served(bundle), load([str(data / "brighter")], "validation"))
    assert figures["brighter"]["written"]["as_served"]["rows"] == 30


def test_data_without_russian_validation_rows_is_one_clear_error(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "goemotions").mkdir()
    (tmp_path / "goemotions" / "dev.tsv").write_text("So what\t27\tid\n", encoding="utf-8")
    with pytest.raises(UnusableData, match="no Russian validation rows"):
        evaluate(open_served(bundle), load([str(tmp_path)], "validation"), tmp_path / "report")


def test_each_convention_of_a_bundle_is_measured_by_its_own_outputs_and_calibration(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path / "two", **BOTH))
    texts = ["мне грустно", "спасибо"]
    by_default, public = open_served(folder), open_served(folder, "public")
    assert by_default.logits(texts).shape == public.logits(texts).shape == (2, len(EMOTIONS))
    assert not np.allclose(by_default.logits(texts), public.logits(texts))
    [score, *_] = public.scores(np.zeros((1, len(EMOTIONS)), np.float32))[0]
    assert score == pytest.approx(1 / (1 + np.exp(-0.25)))
    with pytest.raises(UnusableModel, match="knows no convention 'film': name one of calls, public"):
        open_served(folder, "film")


def test_the_command_asks_for_behaviour_where_the_convention_is_calls_or_it_is_told_to(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_bundle(tmp_path / "two", **BOTH)
    for options, asked in (
        ([], True),
        (["--no-behaviour"], False),
        (["--convention", "public"], False),
        (["--convention", "public", "--behaviour"], True),
    ):
        figures = tmp_path / "figures.json"
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--model", folder, "--data", str(data / "brighter"), "--json", str(figures), *options])
        assert not ended.value.code
        assert ("behaviour: " in capsys.readouterr().out) is asked
        assert ("behaviour" in json.loads(figures.read_text(encoding="utf-8"))) is asked
