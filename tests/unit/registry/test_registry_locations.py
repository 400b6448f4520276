"""Bundles in a folder and behind a URL: complete before they show, and gone as a whole."""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from bundles import make_bundle

from registry.cache import download, forget, keep
from registry.contents import checksum, manifest_at
from registry.errors import BrokenBundle, UnknownProtocol, UnusableLocation
from registry.locations import adopt, delete, is_placed, require_writable, upload
from schemas.bundle import MANIFEST


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(params=["folder", "file URL", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    places = {
        "folder": str(tmp_path / "store" / "one"),
        "file URL": f"file://{tmp_path}/store/one",
        "memory": f"memory://store-{uuid.uuid4().hex}/one",
    }
    yield places[request.param]
    delete(places[request.param], "random-1")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def remove(location: str, name: str) -> None:
    system, root = fsspec.core.url_to_fs(location)
    system.rm_file(f"{root}/{name}")


def test_a_bundle_comes_back_as_it_was_uploaded(bundle: Path, location: str, tmp_path: Path) -> None:
    upload(bundle, location)
    assert contents(download(location, tmp_path / "cache").folder) == contents(bundle)
    assert manifest_at(location).version == "random-1"


def test_a_local_bundle_is_used_where_it_lies(bundle: Path, tmp_path: Path) -> None:
    assert download(str(bundle), tmp_path / "cache").folder == bundle
    assert not (tmp_path / "cache").exists()


def test_a_bundle_in_the_hubs_cache_is_complete(bundle: Path, location: str, tmp_path: Path) -> None:
    """Its files are links from snapshots/REVISION to blobs."""
    revision, blobs = tmp_path / "hub" / "snapshots" / "abc", tmp_path / "hub" / "blobs"
    revision.mkdir(parents=True)
    blobs.mkdir()
    for file in bundle.iterdir():
        (blobs / file.name[::-1]).write_bytes(file.read_bytes())
        (revision / file.name).symlink_to(Path("../../blobs") / file.name[::-1])
    (revision / "folder").symlink_to(tmp_path)
    upload(revision, location)
    assert download(str(revision), tmp_path / "cache").folder == revision
    assert checksum(str(revision)) == checksum(location) == checksum(str(bundle))


def test_the_manifest_is_uploaded_last(bundle: Path, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, _ = fsspec.core.url_to_fs(location)
    put_file = type(system).put_file

    def full_disk(self: Any, source: str, target: str, **options: Any) -> None:
        if target.endswith("tokenizer_config.json"):
            raise OSError(28, "No space left on device")
        put_file(self, source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "put_file", full_disk)
        with pytest.raises(UnusableLocation, match="No space left"):
            upload(bundle, location)
    with pytest.raises(BrokenBundle, match=f": {MANIFEST} is missing"):
        manifest_at(location)
    upload(bundle, location)
    assert manifest_at(location).version == "random-1"


def test_what_lies_there_in_the_end_has_the_checksum_of_the_bundle(bundle: Path, location: str) -> None:
    """An earlier try may have left a file that is gone by now, or another one of the same size."""
    upload(bundle, location)
    system, root = fsspec.core.url_to_fs(location)
    size = system.size(f"{root}/tokenizer.json")
    system.pipe_file(f"{root}/model.onnx", b"of an earlier try")
    system.pipe_file(f"{root}/tokenizer.json", b" " * size)
    upload(bundle, location)
    assert checksum(location) == checksum(str(bundle))


def test_an_upload_to_where_the_bundle_is_repairs_it(bundle: Path, location: str) -> None:
    upload(bundle, location)
    remove(location, "tokenizer.json")
    upload(bundle, location)
    upload(bundle, location)
    assert manifest_at(location).version == "random-1"


def test_a_store_that_can_be_written_is_left_as_it_was(location: str) -> None:
    require_writable(location)
    system, root = fsspec.core.url_to_fs(location)
    assert system.ls(root) == []


def test_a_store_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(UnusableLocation, match="store cannot be used"):
        require_writable(str(tmp_path / "store"))
    with pytest.raises(UnknownProtocol):
        require_writable("s4://bucket/models")


def test_no_bundle_is_written_over_another(bundle: Path, location: str, tmp_path: Path) -> None:
    upload(bundle, location)
    make_bundle(tmp_path / "other", version="other")
    with pytest.raises(UnusableLocation, match="holds another bundle"):
        upload(tmp_path / "other", location)
    assert manifest_at(location).version == "random-1"


@pytest.mark.parametrize("name", [MANIFEST, "config.json", "tokenizer.json", "model.safetensors"])
def test_a_bundle_that_lacks_a_file_is_refused_by_its_name(
    name: str, bundle: Path, location: str, tmp_path: Path
) -> None:
    upload(bundle, location)
    remove(location, name)
    with pytest.raises(BrokenBundle, match=f"no complete bundle: {name} is missing"):
        download(location, tmp_path / "cache")


def test_weights_that_are_cut_short_are_refused(bundle: Path, location: str, tmp_path: Path) -> None:
    upload(bundle, location)
    system, root = fsspec.core.url_to_fs(location)
    weights = f"{root}/model.safetensors"
    whole = system.cat_file(weights)
    for content, complaint in ((whole[:-1], "cut short"), (whole[:4], "cannot be read"), (b"", "cannot be read")):
        system.pipe_file(weights, content)
        with pytest.raises(BrokenBundle, match=complaint):
            download(location, tmp_path / "cache")


def test_weights_in_several_files_must_all_be_there(bundle: Path, location: str) -> None:
    upload(bundle, location)
    system, root = fsspec.core.url_to_fs(location)
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    system.pipe_file(
        f"{root}/model.safetensors.index.json",
        b'{"weight_map": {"a": "%b", "b": "%b"}}' % (first.encode(), second.encode()),
    )
    system.mv(f"{root}/model.safetensors", f"{root}/{first}")
    with pytest.raises(BrokenBundle, match=f": {second} is missing"):
        manifest_at(location)


def test_a_second_download_is_served_by_the_cache(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)
    first = download(location, tmp_path).folder
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", None)
    assert download(location, tmp_path).folder == first
    assert list(tmp_path.iterdir()) == [first]


def in_cache(folder: Path, *, days: int) -> None:
    """Make what the cache would have made some days ago."""
    folder.mkdir()
    (folder / ".of-the-cache").touch()
    os.utime(folder, (time.time() - days * 86_400,) * 2)


def test_the_cache_forgets_what_nobody_asked_for_in_a_week(bundle: Path, tmp_path: Path) -> None:
    now = time.time()
    for name, days in (("unused", 8), (".unfinished-by-one-that-died", 8), ("used", 6)):
        in_cache(tmp_path / name, days=days)
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)
    first = download(location, tmp_path).folder
    assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "used"])
    os.utime(first, (now, now - 8 * 86_400))
    assert download(location, tmp_path).folder == first
    assert first.stat().st_mtime > now - 60


def test_the_cache_deletes_no_folder_that_it_did_not_make(bundle: Path, tmp_path: Path) -> None:
    """Somebody may name a folder as the cache that holds other things too."""
    in_cache(tmp_path / "unused", days=8)
    (tmp_path / "mine").mkdir()
    (tmp_path / "a link").symlink_to(tmp_path / "unused")
    os.utime(tmp_path / "mine", (0, 0))
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)
    first = download(location, tmp_path).folder
    assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "mine", tmp_path / "a link"])


def test_the_cache_holds_what_is_kept(bundle: Path, tmp_path: Path) -> None:
    keep("one", tmp_path / "no cache yet")
    for name in ("one-0123456789ab", "one-more-0123456789ab"):
        in_cache(tmp_path / name, days=8)
    keep("one", tmp_path)
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)
    first = download(location, tmp_path).folder
    assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "one-0123456789ab"])


def test_what_was_downloaded_can_be_forgotten_but_not_what_is_used_where_it_lies(bundle: Path, tmp_path: Path) -> None:
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)
    downloaded = download(location, tmp_path).folder
    forget(downloaded)
    assert not downloaded.exists()
    for local in (str(bundle), f"file://{bundle}"):
        forget(download(local, tmp_path).folder)
        assert bundle.is_dir()


def test_the_checksum_is_the_same_wherever_a_bundle_lies(bundle: Path, location: str) -> None:
    upload(bundle, location)
    lines = [
        f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("config.json", MANIFEST, "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    ]
    assert checksum(location) == checksum(str(bundle)) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_checksum_tells_of_a_byte_a_name_and_a_file_but_not_of_what_people_read(
    bundle: Path, location: str
) -> None:
    upload(bundle, location)
    system, root = fsspec.core.url_to_fs(location)
    before = checksum(location)
    for name in ("README.md", "metrics.json"):
        system.pipe_file(f"{root}/{name}", b"of a report")
    assert checksum(location) == before
    weights = system.cat_file(f"{root}/model.safetensors")
    system.pipe_file(f"{root}/model.safetensors", weights[:-1] + bytes([weights[-1] ^ 1]))
    flipped = checksum(location)
    system.pipe_file(f"{root}/model.onnx", b"")
    added = checksum(location)
    system.mv(f"{root}/model.onnx", f"{root}/model.int8.onnx")
    assert len({before, flipped, added, checksum(location)}) == 4


def test_a_download_that_breaks_off_leaves_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"memory://store-{uuid.uuid4().hex}/one"
    upload(bundle, location)

    def broken(self: Any, source: str, target: str) -> None:
        del self, source
        Path(target).write_bytes(b"half")
        raise ConnectionResetError("the line is dead")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", broken)
    with pytest.raises(UnusableLocation, match="the line is dead"):
        download(location, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_deleting_spares_what_is_not_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    location = tmp_path / "one"
    upload(bundle, str(location))
    (location / "notes").mkdir()
    (location / "notes" / "mine.txt").write_text("mine")
    (location / "notes.txt").write_text("mine too")
    delete(str(location), "another")
    assert manifest_at(str(location)).version == "random-1"
    for _ in range(2):
        delete(str(location), "random-1")
    assert sorted(path.name for path in location.iterdir()) == ["notes", "notes.txt"]


def test_a_bundle_that_was_placed_goes_as_a_whole_with_reports_that_quote_texts(bundle: Path, tmp_path: Path) -> None:
    """Earlier versions wrote such reports into the bundle."""
    location = tmp_path / "one"
    upload(bundle, str(location))
    for name in ("report.html", "metrics.json"):
        (location / name).write_text("a customer's words")
    delete(str(location), "random-1")
    assert not location.exists()


def test_a_bundle_that_was_not_placed_there_is_not_deleted(bundle: Path, location: str) -> None:
    system, root = fsspec.core.url_to_fs(location)
    system.makedirs(root, exist_ok=True)
    for file in bundle.iterdir():
        system.put_file(str(file), f"{root}/{file.name}")
    delete(location, "random-1")
    upload(bundle, location)
    delete(location, "random-1")
    assert (is_placed(location), manifest_at(location).version) == (False, "random-1")
    adopt(location)
    delete(location, "random-1")
    assert system.isdir(root) is False or system.ls(root) == []
    adopt(location)
    assert not is_placed(location), "there is nothing any more that could be adopted"


def test_a_bundle_is_placed_over_nothing_that_somebody_else_put_there(bundle: Path, location: str) -> None:
    system, root = fsspec.core.url_to_fs(location)
    system.makedirs(root, exist_ok=True)
    system.pipe_file(f"{root}/config.json", b"of another project")
    with pytest.raises(UnusableLocation, match="holds files that were not placed there"):
        upload(bundle, location)
    assert system.cat_file(f"{root}/config.json") == b"of another project"
    remove(location, "config.json")
    upload(bundle, location)


def test_only_a_bundles_own_files_are_copied(bundle: Path, location: str, tmp_path: Path) -> None:
    folder = tmp_path / "fitted"
    shutil.copytree(bundle, folder)
    for name in ("report.html", "metrics.json", "errors.csv", "calibration.svg", ".env"):
        (folder / name).write_text("a customer's words")
    upload(folder, location)
    system, root = fsspec.core.url_to_fs(location)
    names = {path.rsplit("/", 1)[-1] for path in system.ls(root, detail=False)}
    assert names == {*contents(bundle), ".placed-by-asr-emotions"}
    system.pipe_file(f"{root}/report.html", b"a customer's words")
    assert contents(download(location, tmp_path / "cache").folder).keys() - {"report.html"} == contents(bundle).keys()


def test_two_may_delete_a_bundle_at_the_same_time(bundle: Path, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(bundle, location)
    system, _ = fsspec.core.url_to_fs(location)
    rm_file = type(system).rm_file

    def rm_file_after_another(self: Any, path: str) -> None:
        rm_file(self, path)
        rm_file(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "rm_file", rm_file_after_another)
        delete(location, "random-1")
    with pytest.raises(BrokenBundle, match="no complete bundle"):
        manifest_at(location)


def test_a_url_that_nothing_opens_is_refused_in_one_line(tmp_path: Path) -> None:
    fsspec.register_implementation("lacking", "no_such_package.Files", clobber=True, errtxt="Install lacking")
    for location, complaint in (("nowhere://one", "Protocol not known: nowhere"), ("lacking://one", "Install lacking")):
        with pytest.raises(UnknownProtocol, match=complaint) as refused:
            download(location, tmp_path)
        assert "\n" not in str(refused.value)


def test_a_bundle_for_another_version_is_refused(bundle: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "old", normalizer="ru-asr-0")
    with pytest.raises(BrokenBundle, match="normalizer ru-asr-0"):
        upload(tmp_path / "old", str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
    assert manifest_at(str(bundle)).version == "random-1"
