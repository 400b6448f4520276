"""A bundle from whoever can write to a store: nothing of it is written, read or run elsewhere, or as code."""

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from bundles import make_bundle
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from registry.cache import download
from registry.contents import manifest_at, open_bundle
from registry.errors import BrokenBundle
from registry.load import load_bundle
from registry.locations import upload
from registry.write import now
from schemas.bundle import (
    CONFIG,
    MANIFEST,
    ONNX,
    ONNX_VERSION,
    WEIGHTS,
    WEIGHTS_INDEX,
    UnusableBundle,
    is_bundle_file,
    read_manifest,
    version_of,
)
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel
from worker.errors import ConfigurationError
from worker.inference.bundle import find_bundle
from worker.inference.onnx_backend import OnnxBackend

Spoil = Callable[[Path], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "inside" / "bundle"
    folder.mkdir(parents=True)
    make_bundle(folder)
    return folder


def say(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def version(said: str) -> Spoil:
    return lambda folder: say(folder / MANIFEST, version=said)


def link(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        outside = folder.parent / "secret"
        outside.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"secret")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target.format(outside=outside))

    return spoil


def index(name: str) -> Spoil:
    """Have the index name a file of weights, which is whole and lies where it says."""

    def spoil(folder: Path) -> None:
        weights = (folder / WEIGHTS).read_bytes()
        (folder / name.format(folder=folder.parent)).resolve().write_bytes(weights)
        (folder / WEIGHTS).unlink()
        named = dict.fromkeys(("a", "b"), name.format(folder=folder.parent))
        (folder / WEIGHTS_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": named}), encoding="utf-8")

    return spoil


def directory(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return spoil


HOSTILE = {
    "a version that climbs": (version("../../outside/evil"), "version"),
    "a version that is an absolute path": (version("/tmp/evil"), "version"),  # noqa: S108 - it is to be refused.
    "a version of two segments": (version("a/b"), "version"),
    "a version that hides": (version(".hidden"), "version"),
    "a version of another system": (version("..\\evil"), "version"),
    "a version with a line break": (version("evil\n"), "version"),
    "a version without end": (version("a" * 129), "version"),
    "a version of no letters": (version(""), "version"),
    "a link to a file outside": (link("README.md", "{outside}"), "README.md is a link"),
    "a link in place of the configuration": (link(CONFIG, "{outside}"), f"{CONFIG} is a link"),
    "a link by a relative path": (link("vocab.txt", "../secret"), "vocab.txt is a link"),
    "a link that leads nowhere": (link("vocab.txt", "nowhere"), "vocab.txt is a link"),
    "an index that climbs": (index("../x.safetensors"), "which is no file of a bundle's weights"),
    "an index that names an absolute path": (index("{folder}/x.safetensors"), "which is no file of a bundle's weights"),
    "an index that names a pickle": (index("pytorch_model.bin"), "pytorch_model.bin, which may run code"),
    "an index that names another file": (index("config.json"), "which is no file of a bundle's weights|cannot be read"),
    "a pickle": (
        lambda folder: (folder / "pytorch_model.bin").write_bytes(b"\x80"),
        "pytorch_model.bin, which may run",
    ),
    "a pickle beside": (
        lambda folder: (folder / "training_args.pt").write_bytes(b"\x80"),
        "training_args.pt, which may",
    ),
    "a pickle of old": (lambda folder: (folder / "labels.pkl").write_bytes(b"\x80"), "labels.pkl, which may run"),
    "a huge manifest": (lambda folder: say(folder / MANIFEST, metrics={"x": "x" * (5 << 20)}), "larger than 4 MiB"),
    "a huge configuration": (lambda folder: say(folder / CONFIG, x="x" * (5 << 20)), "larger than 4 MiB"),
    "a manifest without a bottom": (
        lambda folder: (folder / MANIFEST).write_text('{"metrics": {"x": ' + "[" * 200_000),
        "cannot be read",
    ),
    "a configuration that names other weights": (
        lambda folder: say(folder / CONFIG, transformers_weights="../x.safetensors"),
        "transformers_weights",
    ),
    "a folder named like a file": (directory("special_tokens_map.json"), "special_tokens_map.json is no file"),
    "a folder named like the manifest": (directory(MANIFEST), f"{MANIFEST} is no file"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_bundle_is_refused_before_anything_of_it_is_opened(how: str, bundle: Path, tmp_path: Path) -> None:
    spoil, says = HOSTILE[how]
    spoil(bundle)
    for refusing in (
        lambda: upload(bundle, str(tmp_path / "store" / "one")),
        lambda: load_bundle(bundle),
        lambda: find_bundle(str(bundle)),
    ):
        with pytest.raises((BrokenBundle, UnusableModel, ConfigurationError), match=says) as refused:
            refusing()
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("how", [how for how in HOSTILE if "link" not in how])
def test_a_hostile_bundle_in_a_store_writes_nothing_anywhere(how: str, bundle: Path, tmp_path: Path) -> None:
    """Links are known to local folders alone."""
    spoil, says = HOSTILE[how]
    spoil(bundle)
    location = f"memory://store-{uuid.uuid4().hex}/one"
    system, root = fsspec.core.url_to_fs(location)
    system.makedirs(root)
    for path in bundle.iterdir():
        if path.is_dir():
            system.pipe_file(f"{root}/{path.name}/inner", b"x")
        else:
            system.put_file(str(path), f"{root}/{path.name}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BrokenBundle, match=f"{says}|is missing"):
        download(location, tmp_path / "cache" / "deep")
    assert sorted(tmp_path.rglob("*")) == before


def test_links_of_a_folder_that_only_looks_like_the_hubs_cache_are_refused(bundle: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "abc"
    shutil.copytree(bundle, snapshot)
    (snapshot / CONFIG).unlink()
    (snapshot / CONFIG).symlink_to(bundle / CONFIG)
    with pytest.raises(BrokenBundle, match=f"{CONFIG} is a link"):
        manifest_at(str(snapshot))


def test_a_header_of_weights_that_promises_more_than_there_is_is_not_read(bundle: Path) -> None:
    weights = bundle / WEIGHTS
    weights.write_bytes((1 << 60).to_bytes(8, "little") + weights.read_bytes()[8:])
    with pytest.raises(BrokenBundle):
        manifest_at(str(bundle))


@pytest.mark.parametrize("where", ["../outside.data", "{outside}", "model.onnx.data"])
def test_an_onnx_file_reads_no_weights_outside_its_bundle(where: str, bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "inside" / "outside.data"
    weights = np.ones((1, len(EMOTIONS)), np.float32)
    outside.write_bytes(weights.tobytes())
    tensor = numpy_helper.from_array(weights, "logits_")
    set_external_data(tensor, where.format(outside=outside), 0, weights.nbytes)
    tensor.ClearField("raw_data")
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(EMOTIONS)])
    nodes = [helper.make_node("Identity", ["logits_"], ["logits"])]
    model = helper.make_model(helper.make_graph(nodes, "evil", [ids], [logits], [tensor]), ir_version=8)
    helper.set_model_props(model, {ONNX_VERSION: "random-1"})
    model.opset_import[0].version = 17
    (bundle / ONNX).write_bytes(model.SerializeToString())
    if where == "model.onnx.data":
        (bundle / where).symlink_to(outside)
        with pytest.raises(BrokenBundle, match=f"{where} is a link"):
            open_bundle(bundle)
        (bundle / where).unlink()
    with pytest.raises(ConfigurationError, match=f"{ONNX} cannot be loaded"):
        OnnxBackend(bundle / ONNX, read_manifest((bundle / MANIFEST).read_bytes()))
    if where == "model.onnx.data":
        shutil.copy(outside, bundle / where)
        open_bundle(bundle)
        OnnxBackend(bundle / ONNX, read_manifest((bundle / MANIFEST).read_bytes()))


def test_a_version_made_of_any_name_is_one_that_a_manifest_may_hold(bundle: Path) -> None:
    for name in ("mine", "моя модель", "../../evil", ".hidden", "..", "a" * 300, "v1.2_final", ""):
        made = version_of(name, now())
        say(bundle / MANIFEST, version=made)
        assert read_manifest((bundle / MANIFEST).read_bytes()).version == made
    with pytest.raises(UnusableBundle):
        read_manifest(b"null")
    assert version_of("v1.2_final", now()).startswith("v1.2_final-")


def test_reports_and_what_else_may_quote_texts_are_no_files_of_a_bundle() -> None:
    foreign = ("report.html", "metrics.json", "errors.csv", "calibration.svg", "refused.csv", "snapshot.json", ".env")
    assert not list(filter(is_bundle_file, (*foreign, "a/config.json", "../config.json", "model-1-of-2.safetensors")))
    assert all(
        map(is_bundle_file, ("README.md", "model-00001-of-00002.safetensors", "model.int8.onnx", "tokenizer.json"))
    )
