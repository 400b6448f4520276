"""A worker fetches the bundle that was registered, or none; the released one lies beside the code."""

from pathlib import Path

import pytest
from follower import Rig, failing, rig_fixture

from registry.contents import checksum
from registry.lifecycle import champion, promote
from registry.released import NAME, SHORT_NAMES
from schemas.bundle import MANIFEST
from worker.errors import Away, ConfigurationError
from worker.inference.bundle import find_bundle
from worker.inference.load import released_model
from worker.swap.follower import fetch_version

rig = rig_fixture()


def test_the_released_bundle_is_taken_from_beside_the_code_wherever_it_was_registered(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    row = row._replace(location="/home/another/runs/models/one")
    with pytest.raises(ConfigurationError, match="holds no complete bundle"):
        fetch_version(row, tmp_path)
    monkeypatch.setattr("registry.released.released_model", lambda: tmp_path / "one")
    assert fetch_version(row, tmp_path).folder == tmp_path / "one"
    assert fetch_version(row._replace(location=""), tmp_path).folder == tmp_path / "one"
    for another in ({"data_fingerprint": "another"}, {"version": "two"}, {"checksum": "another"}):
        with pytest.raises(ConfigurationError, match="holds no complete bundle"):
            fetch_version(row._replace(**another), tmp_path)


def test_files_that_are_not_those_that_were_registered_are_refused_and_not_kept(rig: Rig, tmp_path: Path) -> None:
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    assert row.checksum == checksum(str(tmp_path / "one"))
    folder = fetch_version(row, rig.cache).folder
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fetch_version(row._replace(checksum=None), rig.cache).folder == folder, "it was registered without one"
    with pytest.raises(ConfigurationError, match=r"holds the bundle of checksum .*Copy the bundle there again"):
        fetch_version(row, rig.cache)
    assert list(rig.cache.iterdir()) == []
    assert fetch_version(row, rig.cache).folder == folder


def test_a_bundle_is_fetched_only_if_it_is_the_one_that_was_registered(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    folder = fetch_version(row, Path("~/cache")).folder
    assert folder.parent == tmp_path / "home" / "cache"
    assert (folder / MANIFEST).read_bytes() == (tmp_path / "one" / MANIFEST).read_bytes()
    with pytest.raises(ConfigurationError, match="fingerprint none, registered is another"):
        fetch_version(row._replace(data_fingerprint="another"), tmp_path)
    with pytest.raises(ConfigurationError, match="version one, registered is two"):
        fetch_version(row._replace(version="two"), tmp_path)
    with pytest.raises(ConfigurationError, match="was pruned"):
        fetch_version(row._replace(location=""), tmp_path)
    with pytest.raises(ConfigurationError, match="Protocol not known: nowhere"):
        fetch_version(row._replace(location="nowhere://one"), tmp_path)


def test_a_store_that_does_not_answer_is_away(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.ls", failing(ConnectionResetError("no line")))
    with pytest.raises(Away, match="no line"):
        fetch_version(row, tmp_path)


def test_the_released_model_lies_beside_the_code_or_where_an_installation_keeps_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(released_model()).name == NAME
    monkeypatch.setattr("registry.released.__file__", str(tmp_path / "code" / "registry" / "released.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "installed"))
    with pytest.raises(ConfigurationError, match=r"neither .*/code/.* nor .*/installed/.*Copy .* set WORKER_MODEL"):
        released_model()
    installed = tmp_path / "installed" / "share" / "asr-emotions" / "models" / NAME
    installed.mkdir(parents=True)
    assert released_model() == str(installed)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_each_model_that_comes_with_the_code_is_opened_by_one_word(name: str) -> None:
    bundle = find_bundle(name)
    assert bundle.manifest.version.startswith(f"{SHORT_NAMES[name]}-")
    assert list(bundle.manifest.tunings) == ["calls", "public"]
