"""What the documents name exists: settings, files, headings, tests and make targets."""

import re
import shlex
from pathlib import Path

import psycopg
import pytest

from training.cli import app as training_app
from training.environment import Environment
from worker.cli import app as worker_app
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "models/*/*.md")
    for path in ROOT.glob(pattern)
)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 175


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_settings_that_a_document_names_exist(document: str) -> None:
    known = [program.variable(name) for program in (Settings, Environment) for name in program.model_fields]
    for name in re.findall(r"\b(?:WORKER|TRAINING)_[A-Z_]*", (ROOT / document).read_text(encoding="utf-8")):
        assert name in known or (name.endswith("_") and any(other.startswith(name) for other in known)), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for text, target in re.findall(r"\[([^\]]+)\]\(([^):\s]+)\)", path.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target
        if text.startswith("test_"):
            assert f"\ndef {text}(" in file.read_text(encoding="utf-8"), text


def blocks(document: str) -> str:
    """What stands indented in a document, a line each for what is continued."""
    text = re.sub(r"\\\n\s*", "", (ROOT / document).read_text(encoding="utf-8"))
    return "".join(re.findall(r"^ {4,}.*\n|^\n", text, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_that_a_document_shows_have_arguments_that_exist(document: str) -> None:
    """Those of README and runbook run, too: see the tests of their names."""
    apps = {"emotion-training": training_app, "emotion-worker": worker_app}
    for line in re.findall(
        r"^ +(?:\S+ \| |\w+=\S+ )*(emotion-(?:worker|training) [^…$\n]+)$", blocks(document), re.MULTILINE
    ):
        program, *words = shlex.split(line)
        apps[program].parse_args(words, exit_on_error=False, print_error=False)


def statements(document: str) -> list[str]:
    """The SQL that stands indented in a document."""
    return re.findall(r"^ +((?:SELECT|INSERT|UPDATE|DELETE|WITH)\b[^;]+;)$", blocks(document), re.MULTILINE)


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if statements(document)])
def test_the_sql_that_a_document_shows_runs(document: str, postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        for statement in statements(document):
            connection.execute(statement.encode())


def headings(file: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_make_targets_that_a_document_names_exist(document: str) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = (ROOT / document).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^    )make (\w+)", text, re.MULTILINE)) <= set(targets)


@pytest.mark.parametrize("package", ["schemas", "registry", "worker", "training"])
def test_the_architecture_lists_every_folder_and_no_other(package: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (listed,) = re.findall(rf"^    {package}/ .*\n((?:^      .*\n)*)", text, re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / package).glob("*/*.py")} - {"recipes"}
    assert set(re.findall(r"^      (\w+)/", listed, re.MULTILINE)) == folders
