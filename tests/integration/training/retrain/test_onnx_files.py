"""A candidate gets the ONNX files that the champion has, and both are timed as a worker here would run them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bundles import TEXTS, make_bundle
from structlog.testing import capture_logs

import registry.onnx_export
from registry.onnx_export import export_onnx
from schemas.bundle import ONNX, ONNX_INT8, ONNX_VERSION
from training.errors import UnusableModel
from training.evaluate.predictor import open_served
from training.retrain.onnx_files import by_onnx, export_alike, of_both
from training.retrain.timing import _as_run


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "champion", version="old")
    return tmp_path / "champion"


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "candidate", version="new")
    return tmp_path / "candidate"


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("*.onnx")}


@pytest.mark.parametrize("names", [(), (ONNX,), (ONNX_INT8,), (ONNX, ONNX_INT8)])
def test_a_candidate_gets_what_the_champion_has(names: tuple[str, ...], champion: Path, candidate: Path) -> None:
    for name in names:
        (champion / name).touch()
    export_alike(champion, candidate)
    assert files(candidate) == set(names)
    for name in names:
        said = {item.key: item.value for item in onnx.load(candidate / name).metadata_props}
        assert said[ONNX_VERSION] == "new"


def test_a_run_that_goes_on_exports_nothing_twice(champion: Path, candidate: Path) -> None:
    for folder in (champion, candidate):
        (folder / ONNX).write_bytes(b"as it was")
    export_alike(champion, candidate)
    assert (candidate / ONNX).read_bytes() == b"as it was"


def test_without_the_packages_a_warning_says_what_to_install(
    champion: Path, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (champion / ONNX_INT8).touch()
    monkeypatch.delitem(sys.modules, "registry.onnx_export")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with capture_logs() as lines:
        export_alike(champion, candidate)
    [line] = lines
    assert line["log_level"] == "warning"
    assert "asr-emotions[onnx]" in line["advice"]
    assert files(candidate) == set()


def test_a_network_that_has_no_onnx_form_is_warned_of(
    champion: Path, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnusableModel("torch cannot write this architecture as ONNX: an operator. Serve it by torch")

    (champion / ONNX).touch()
    monkeypatch.setattr(registry.onnx_export, "_trace", refuse)
    with capture_logs() as lines:
        export_alike(champion, candidate)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "cannot write this architecture" in lines[0]["error"]
    assert files(candidate) == set()


def test_both_are_timed_by_the_file_that_both_have(champion: Path, candidate: Path) -> None:
    assert of_both(champion, candidate) is None
    for folder in (champion, candidate):
        export_onnx(folder, int8=False)
    assert of_both(champion, candidate) == ONNX
    (champion / ONNX_INT8).touch()
    assert of_both(champion, candidate) == ONNX
    (candidate / ONNX_INT8).touch()
    assert of_both(champion, candidate) == ONNX_INT8, "what a worker takes first"


def test_by_its_file_a_bundle_gives_the_logits_of_torch(champion: Path) -> None:
    export_onnx(champion, int8=False)
    assert np.abs(by_onnx(champion / ONNX)(TEXTS) - open_served(champion).logits(TEXTS)).max() < 1e-4


@pytest.mark.parametrize("missing", ["nothing", "file", "onnxruntime", "cpu"])
def test_torch_is_timed_where_a_worker_would_run_it(
    missing: str, champion: Path, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_onnx(champion, int8=False)
    if missing != "file":
        export_onnx(candidate, int8=False)
    if missing == "onnxruntime":
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    models = open_served(champion), open_served(candidate)
    if missing == "cpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with capture_logs() as lines:
        runs = _as_run((models[0], champion), (models[1], candidate))
    by_torch = missing != "nothing"
    assert lines[0]["by"] == ("torch" if by_torch else ONNX)
    assert [run == model.logits for run, model in zip(runs, models, strict=True)] == [by_torch, by_torch]
