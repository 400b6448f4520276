"""A push sends a bundle's own files, to nobody but its owner, and no model that may quote customers unless told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bundles import make_bundle

from schemas.bundle import KNOWN_TEXTS
from training.data.known_texts import KnownTexts
from training.errors import UnusableModel, UnusableOutput
from training.push import push_bundle


class Hub:
    """Stands for the hub, which tests cannot reach; it remembers what it was sent.

    Args:
        private: whether the repository is; None where there is none yet.
    """

    def __init__(self, private: bool | None = None) -> None:
        self.private = private
        self.files: dict[str, bytes] = {}

    def create_repo(self, _: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        if self.private is None:
            self.private = private

    def repo_info(self, _: str) -> Any:
        return SimpleNamespace(private=self.private)

    def create_commit(self, _: str, operations: Any, commit_message: str) -> Any:
        self.files = {each.path_in_repo: Path(each.path_or_fileobj).read_bytes() for each in operations}
        return SimpleNamespace(commit_url=f"https://hub/commit/{commit_message}")


def push(monkeypatch: pytest.MonkeyPatch, hub: Hub, folder: Path, **options: bool) -> list[str]:
    monkeypatch.setattr("training.push.HfApi", lambda: hub)
    given = {"public": False, "own_labels": False, "dry_run": False} | options
    return list(push_bundle(folder, "me/small", **given))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle", metrics={"rows": {"cedr": 3}})
    return tmp_path / "bundle"


def test_a_push_sends_exactly_the_bundles_files_and_is_private(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {file.name: file.read_bytes() for file in bundle.iterdir()}
    for name in ("report.html", "metrics.json", "errors.csv", ".env", "notes.md"):
        (bundle / name).write_text("a customer's words")
    (bundle / KNOWN_TEXTS).write_bytes(KnownTexts.of(["a customer's words"]).encode())
    hub = Hub()
    *_, done = push(monkeypatch, hub, bundle)
    assert (hub.files, hub.private) == (own, True)
    assert done == "random-1 is at https://hub/commit/random-1, private"


def test_a_public_repository_takes_nothing_that_is_not_said_to_be_public(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(private=False)
    with pytest.raises(UnusableOutput, match="me/small is public already: say --public"):
        push(monkeypatch, hub, bundle)
    assert hub.files == {}
    push(monkeypatch, hub, bundle, public=True)
    assert hub.files


@pytest.mark.parametrize(
    ("metrics", "learnt"),
    [
        ({"rows": {"cedr": 3, "calls": 9}}, "calls"),
        ({"rows": {"cedr": 3}, "rows_before": ["calls"]}, "calls"),
        ({"rows": {"cedr": 3}, "settings": {"taken": {"at": "2026-01-01"}}}, "the table of labels"),
        ({"rows": {"dialogues": 3}}, "dialogues"),
        ({}, "sets that its manifest does not name"),
    ],
)
def test_a_model_that_learnt_the_users_own_labels_is_refused_unless_told(
    metrics: dict[str, Any], learnt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "mine", metrics=metrics)
    hub = Hub()
    for options in ({}, {"dry_run": True}, {"public": True}):
        with pytest.raises(UnusableModel, match=f"mine has learnt {learnt}: .*--own-labels"):
            push(monkeypatch, hub, tmp_path / "mine", **options)
    assert hub.files == {}
    push(monkeypatch, hub, tmp_path / "mine", own_labels=True)
    assert hub.files


def test_a_link_is_not_pushed(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret")
    (bundle / "README.md").symlink_to(tmp_path / "secret")
    hub = Hub()
    with pytest.raises(UnusableModel, match=r"README\.md is a link"):
        push(monkeypatch, hub, bundle)
    assert hub.files == {}
