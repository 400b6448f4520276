"""Which cheap way of marking words agrees best with leaving out each word by itself, and what it costs.

The texts are lines of the calls corpus that teach nothing, of ten words and more, that carry an emotion: shorter ones
are explained by leaving out each word anyway.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from registry.load import load_bundle
from registry.released import SHORT_NAMES, released_model
from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.calls_corpus import load_calls
from worker.inference.assign import assign_emotions
from worker.inference.classifier import EmotionClassifier
from worker.inference.explain import PLAN, Plan, emotion_to_explain, weigh_words

Weigh = Callable[[Sequence[str], Sequence[str]], list[Floats]]

EACH_WORD = Plan(10_000, 10_000)


def occlusion(classifier: EmotionClassifier, plan: Plan) -> Weigh:
    """Leave out what a plan says."""
    return lambda texts, emotions: weigh_words(classifier, texts, emotions, plan)


def gradients(folder: Path) -> Weigh:
    """Multiply each token's embedding by the gradient of the emotion's logit; needs PyTorch."""
    model, tokenizer, manifest = load_bundle(folder)
    columns = range(len(model.config.id2label))[manifest.columns()]

    def of_text(text: str, emotion: str) -> Floats:
        words = [normalize(word) for word in text.split()]
        pieces = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        inputs = model.get_input_embeddings()(pieces["input_ids"]).detach().requires_grad_()
        logits = model(inputs_embeds=inputs, attention_mask=pieces["attention_mask"]).logits
        logits[0, columns[EMOTIONS.index(emotion)]].backward()
        product = (inputs.grad * inputs).sum(-1)[0].detach().numpy()
        weights = np.zeros(len(words), np.float32)
        for value, word in zip(product, pieces.word_ids(0), strict=True):
            if word is not None:
                weights[word] += value
        return weights

    return lambda texts, emotions: [of_text(*pair) for pair in zip(texts, emotions, strict=True)]


def examples(classifier: EmotionClassifier, count: int, least: int) -> tuple[list[str], list[str]]:
    """Return texts that carry an emotion by the model, and the emotion."""
    texts = [text for text in load_calls("test").texts if len(text.split()) >= least]
    scores = classifier.classify([normalize(text) for text in texts])
    assigned = assign_emotions(classifier.rule, scores)
    found = [emotion_to_explain(*pair) for pair in zip(assigned, scores.tolist(), strict=True)]
    pairs = [(text, emotion) for text, emotion in zip(texts, found, strict=True) if emotion][:count]
    return [text for text, _ in pairs], [emotion for _, emotion in pairs]


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--words", type=int, default=10, help="Words of a text at least.")
    parser.add_argument("--model", default="small")
    parser.add_argument("--backend", default="auto")
    arguments = parser.parse_args()
    classifier = EmotionClassifier(arguments.model, "cpu", backend=arguments.backend)
    texts, emotions = examples(classifier, arguments.texts, arguments.words)
    normal = [normalize(text) for text in texts]
    begun = time.perf_counter()
    classifier.classify(normal)
    scoring = time.perf_counter() - begun
    truth = occlusion(classifier, EACH_WORD)(texts, emotions)
    ways: dict[str, Weigh] = {
        "each word": occlusion(classifier, EACH_WORD),
        "9 equal spans": occlusion(classifier, Plan(9, 9)),
        "3 spans, then 6": occlusion(classifier, Plan(9, 3)),
        "5 spans, then 4": occlusion(classifier, Plan(9, 5)),
        "6 spans, then 3": occlusion(classifier, PLAN),
        "gradient by embedding": gradients(released_model(SHORT_NAMES[arguments.model])),
    }
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts)} texts of {words:.0f} words; scoring them takes {scoring:.2f} s")
    print(f"{'way':28} {'heaviest word':>14} {'of top 3':>9} {'rank corr.':>11} {'cost':>6}")
    for name, weigh in ways.items():
        begun = time.perf_counter()
        weights = weigh(texts, emotions)
        cost = (time.perf_counter() - begun) / scoring
        print(f"{name:28} {agreement(truth, weights)} {cost:5.1f}x")


def agreement(truth: Sequence[Floats], weights: Sequence[Floats]) -> str:
    """Return how often the heaviest words agree, the share of the top three found, and the rank correlation."""
    pairs = list(zip(truth, weights, strict=True))
    first = np.mean([int(np.argmax(one)) == int(np.argmax(other)) for one, other in pairs])
    three = np.mean([len({*np.argsort(-one)[:3]} & {*np.argsort(-other)[:3]}) / 3 for one, other in pairs])
    ranks = np.nanmean([spearmanr(one, other).statistic for one, other in pairs])
    return f"{100 * first:12.0f} % {100 * three:7.0f} % {ranks:11.2f}"


if __name__ == "__main__":
    main()
