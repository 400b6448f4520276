"""The gate's own rules on any two bundles."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import structlog

from registry.versions import fetch
from schemas.bundle import MANIFEST, read_manifest
from training.data.datasets import load
from training.data.examples import Examples
from training.data.known_texts import known_texts
from training.data.own_tables import name_tables
from training.data.public_sets import Split
from training.data.splits import identity
from training.data.tables import read_table
from training.database import find_version
from training.errors import UnusableData
from training.label_files.reading import SUFFIXES
from training.retrain.checks import Limits
from training.retrain.evaluate_pair import try_out
from training.retrain.gate import Verdict
from training.tune.run import join_sets

log = structlog.get_logger(__name__)


def gate_bundles(  # noqa: PLR0913 - the models, the rows, and what is asked.
    champion: str,
    candidate: str,
    data: Sequence[str],
    *,
    split: Split,
    public: Sequence[str],
    limits: Limits,
    seed: int = 0,
) -> Verdict:
    """Judge one bundle against another as a retraining would; nothing is promoted.

    Texts that either has learnt, by what its bundle tells, do not judge.

    Args:
        champion: a bundle's folder, or a version of the registry: what is served.
        candidate: the bundle that would take its place.
        data: tables, all rows of which judge; of other sets the rows of a split.
        split: validation or test.
        public: sets on whose validation rows both are compared too.
        limits: what is asked of the candidate.
        seed: random seed of the bootstrap samples.

    Raises:
        UserError: a bundle or the data cannot be used.
    """
    with TemporaryDirectory() as cache:
        folders = [_folder(name, Path(cache)) for name in (champion, candidate)]
        convention = read_manifest((folders[0] / MANIFEST).read_bytes()).convention
        holdout = _unknown(_read(data, split, convention), folders)
        others = [each for each in load(public, "validation") if each.language == "ru"]
        return try_out(folders[0], folders[1], holdout, others, limits=limits, seed=seed)


def _folder(name: str, cache: Path) -> Path:
    folder = Path(name)
    return folder if (folder / MANIFEST).is_file() else fetch(find_version(name), cache).folder


def _read(data: Sequence[str], split: Split, convention: str) -> Examples:
    """Return all rows of tables, and the split's rows of other sets, whose labels follow the champion's convention."""
    tables = [name for name in data if Path(name).suffix.lower() in SUFFIXES]
    others = [name for name in data if name not in tables]
    names = name_tables(tables)
    parts = ((table, part) for table in tables for part in ("train", "validation", "test", "holdout"))
    read = [each for table, part in parts if (each := read_table(Path(table), part, convention, names[table]))]
    sets = [each for each in (*read, *load(others, split, convention)) if each.language == "ru" and len(each)]
    if not sets:
        raise UnusableData(f"{', '.join(data)}: no Russian labels there. Name a table with the columns text, emotions")
    for each in sets:
        if each.conventions != (convention,):
            raise UnusableData(
                f"{each.source} follows the convention {', '.join(each.conventions)}, and the first model serves "
                f"{convention}. Name it with --public, or give labels of {convention}"
            )
    return join_sets(sets)


def _unknown(examples: Examples, folders: Sequence[Path]) -> Examples:
    """Return the rows that no bundle has learnt."""
    known = [known_texts(str(folder)) for folder in folders]
    names = list(map(identity, examples.texts))
    new = np.flatnonzero([not any(each.holds(name) for each in known) for name in names])
    if len(new) < len(examples):
        log.info("rows are left out that a model has learnt", rows=len(examples) - len(new), left=len(new))
    if not len(new):
        raise UnusableData("the models have learnt all of these texts: name labels that neither has seen")
    return examples.take(new)
