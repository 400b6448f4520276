"""One file of what `benchmarks/conventions.py` needs: token ids of each text in each form, labels, starting weights.

    python benchmarks/conventions_data.py --data FOLDER --released models/ru-emotions-small --base FOLDER --output OUT

`--data` holds the sets as published; `--base` holds the encoder packed in four bits (weights.q4.npz). `rows.jsonl` in
OUT says which row is which.
"""

import argparse
import csv
import gzip
import json
import lzma
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.augment.word_errors import add_noise
from training.data.datasets import load
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.distill.pseudo_labels import read_lines

SETS: Final = ("calls", "ru_go", "go_en", "brighter", "cedr", "lines", "ru_go_dev", "brighter_dev", "cedr_dev")
WRITTEN, SPOKEN, NOISY = range(3)
LONGEST: Final = 64
GROUP: Final = 32
FOLDS: Final = 4
ERRORS: Final = 0.15


class Rows:
    """Texts with labels, and the forms in which each is seen."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("set", "gold", "annotated", "fine", "part", "fold", "author", "twin")
        }
        self.forms: dict[str, list[Any]] = {name: [] for name in ("row", "form", "length")}
        self.ids: list[int] = []
        self.said: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.said)

    def add(self, kind: str, forms: list[tuple[int, str]], key: str, **known: Any) -> None:
        """Append a row; `key` decides which tenth and which fold it is in."""
        digest = crc32(key.encode())
        row = {
            "set": SETS.index(kind),
            "gold": np.zeros(7),
            "annotated": np.zeros(7),
            "fine": np.zeros(28),
            "part": digest % 10,
            "fold": digest // 10 % FOLDS if kind == "calls" else digest % FOLDS,
            "author": 255,
            "twin": -1,
        }
        for name, value in (row | known).items():
            self.columns[name].append(value)
        for encoded, (form, _) in zip(self._tokenizer.encode_batch([text for _, text in forms]), forms, strict=True):
            self.forms["row"].append(len(self))
            self.forms["form"].append(form)
            self.forms["length"].append(len(encoded.ids))
            self.ids += encoded.ids
        self.said.append({"set": kind, "key": key, "text": forms[0][1]})

    def arrays(self) -> dict[str, Any]:
        """Return the rows, laid out for one file."""
        small = {name: np.array(values, np.uint8) for name, values in self.columns.items() if name != "twin"}
        return small | {
            "twin": np.array(self.columns["twin"], np.int32),
            "row": np.array(self.forms["row"], np.int32),
            "form": np.array(self.forms["form"], np.uint8),
            "length": np.array(self.forms["length"], np.uint8),
            "ids": np.array(self.ids, np.uint16),
        }


def misheard(text: str, seed: int) -> str:
    """Return the spoken form with recognition errors."""
    return as_spoken(add_noise(as_spoken(text), ERRORS, np.random.default_rng((seed, crc32(text.encode())))))


def spellings(text: str, variants: int) -> list[tuple[int, str]]:
    """Return the forms of a Russian text: written, spoken, and some with recognition errors."""
    noisy = [(NOISY, misheard(text, seed)) for seed in range(variants)]
    return [(WRITTEN, normalize(text)), (SPOKEN, as_spoken(text)), *noisy]


def add_calls(rows: Rows, file: Path) -> None:
    """Add the corpus of calls; what has no written form is seen as spoken alone."""
    for line in file.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        gold = np.array([emotion in call["emotions"] for emotion in EMOTIONS])
        forms = [(SPOKEN, normalize(call["text"])), (NOISY, misheard(call["text"], 0))]
        author = ord(call["author"]) - ord("a")
        rows.add("calls", forms, call["dialogue"], gold=gold, annotated=np.ones(7), author=author)
        rows.said[-1] |= call


def add_set(rows: Rows, kind: str, examples: Examples, variants: int) -> None:
    """Add a public set."""
    for at, text in enumerate(examples.texts):
        forms = spellings(text, variants) if examples.language == "ru" else [(WRITTEN, text)]
        fine = np.zeros(28) if examples.fine is None else examples.fine[at]
        known = {"gold": examples.targets[at], "annotated": examples.annotated[at], "fine": fine}
        rows.add(kind, forms, examples.ids[at], **known)


def add_lines(rows: Rows, data: Path, most: int) -> None:
    """Add dialogue and everyday sentences without labels."""
    texts = [text for name in ("native_dialogues", "dialogues") for text in read_lines([str(data / name)], most)]
    with gzip.open(data / "tatoeba" / "tatoeba_en_ru.tsv.gz", "rt", encoding="utf-8") as file:
        texts += [row["text"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    for text in dict.fromkeys(texts):
        rows.add("lines", [(SPOKEN, as_spoken(text))], text)


def name_twins(rows: Rows) -> None:
    """Note for each translated row where its original is."""
    originals = {said["key"]: at for at, said in enumerate(rows.said) if said["set"] == "go_en"}
    for at, said in enumerate(rows.said):
        if said["set"] == "ru_go":
            rows.columns["twin"][at] = originals.get(said["key"], -1)


def packed(tensor: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return a matrix as whole numbers of eight bits and a scale for each 32 of them."""
    groups = tensor.astype(np.float32).reshape(len(tensor), -1, GROUP)
    scale = np.maximum(np.abs(groups).max(-1, keepdims=True), 1e-8) / 127
    return np.round(groups / scale).astype(np.int8), scale.astype(np.float16)


def bundle_weights(start: str, folder: Path) -> dict[str, Any]:
    """Return a bundle's weights in eight bits; of two heads, that of the public sets comes first here."""
    arrays: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        for name, saved in load_file(file).items():
            calls_first = name.startswith("classifier") and len(saved) == 2 * len(EMOTIONS)
            tensor = np.roll(saved, len(EMOTIONS), axis=0) if calls_first else saved
            if tensor.ndim > 1 and tensor.shape[1] % GROUP == 0:
                arrays[f"{start}:q/{name}"], arrays[f"{start}:s/{name}"] = packed(tensor)
            else:
                arrays[f"{start}:f/{name}"] = tensor
    return arrays


def base_weights(folder: Path, released: Path) -> dict[str, Any]:
    """Return the encoder's packed weights, its vocabulary cut to the released one's pieces."""
    pieces = [json.loads((at / "tokenizer.json").read_text())["model"]["vocab"] for at in (folder, released)]
    place = {piece: at for at, (piece, _) in enumerate(pieces[0])}
    kept = [place[piece] for piece, _ in pieces[1]]
    kept.append(len(pieces[0]))  # What hides a token comes after the pieces.
    arrays = {}
    with np.load(folder / "weights.q4.npz") as file:
        for name in file.files:
            tensor = file[name]
            arrays[f"base:{name}"] = tensor[kept] if "word_embeddings" in name else tensor
    return arrays


def main() -> None:
    """Read, normalize, tokenize, pack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--released", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", action="append", default=[], help="NAME=FOLDER, of one more bundle to begin with")
    parser.add_argument("--lines", type=int, default=200_000, help="of each set of dialogue")
    given = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(given.released / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()
    rows = Rows(tokenizer)
    add_calls(rows, given.data / "calls" / "calls.jsonl")
    for kind, source, split, variants in (
        ("ru_go", "ru_go_emotions", "train", 2),
        ("go_en", "goemotions", "train", 0),
        ("brighter", "brighter", "train", 1),
        ("cedr", "cedr", "train", 1),
        ("ru_go_dev", "ru_go_emotions", "validation", 1),
        ("brighter_dev", "brighter", "validation", 0),
        ("cedr_dev", "cedr", "validation", 0),
    ):
        for examples in load([str(given.data / source)], split):
            add_set(rows, kind, examples, variants)
            print(kind, len(examples), flush=True)
    add_lines(rows, given.data, given.lines)
    name_twins(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(said, ensure_ascii=False) + "\n" for said in rows.said)
    arrays = rows.arrays()
    arrays["packed_ids"] = np.frombuffer(lzma.compress(arrays.pop("ids").tobytes(), preset=6), np.uint8)
    np.savez_compressed(
        given.output / "conventions.npz",
        **arrays,
        **bundle_weights("released", given.released),
        **base_weights(given.base, given.released),
    )
    for name, folder in (start.split("=", 1) for start in given.start):
        np.savez_compressed(given.output / f"{name}.npz", **bundle_weights(name, Path(folder)))
    print(len(rows), "rows,", (given.output / "conventions.npz").stat().st_size / 2**20, "MiB")


if __name__ == "__main__":
    main()
