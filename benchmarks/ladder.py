"""How fast the released models are side by side, as the worker serves them, in one run by turns.

    python benchmarks/ladder.py [--device cpu] [--texts 2000]

Texts are lines of the project's own calls. It prints texts a second of each model, the best of three turns, and their
ratio to the first.
"""

import argparse
import time

from registry.released import SHORT_NAMES
from training.data.calls_corpus import load_calls
from training.data.text_forms import as_spoken
from worker.inference.classifier import EmotionClassifier

TURNS = 3


def main() -> None:
    """Measure, and print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--texts", type=int, default=2000)
    given = parser.parse_args()
    texts = [as_spoken(text) for text in load_calls("train").texts[: given.texts]]
    models = {name: EmotionClassifier(name, given.device) for name in SHORT_NAMES}
    best = dict.fromkeys(models, 0.0)
    for _ in range(TURNS):
        for name, model in models.items():
            begun = time.perf_counter()
            model.classify(texts)
            best[name] = max(best[name], len(texts) / (time.perf_counter() - begun))
    first = next(iter(best.values()))
    for name, rate in best.items():
        print(f"{name}: {rate:,.0f} texts/s, {rate / first:.1f} times the first")


if __name__ == "__main__":
    main()
