"""Mean time to normalize a message: the examples as they are, as Whisper would write them, and with emoji."""

import time

from harness import example_texts

from schemas.normalization import normalize

ROUNDS = 50


def mean_us(messages: list[str]) -> float:
    """Return the microseconds that one message takes, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for message in messages:
            normalize(message)
        best = min(best, time.perf_counter() - start)
    return best / len(messages) * 1e6


def main() -> None:
    """Print a line for each kind of text."""
    plain = example_texts()
    kinds = {
        "as recognized": plain,
        "with capitals and punctuation": [f"{text.capitalize()}, да. Ещё раз!" for text in plain],
        "with emoji": [f"{text} {'😂❤️👍🏽😡'[place % 3 :]}" for place, text in enumerate(plain)],
    }
    for kind, messages in kinds.items():
        length = sum(map(len, messages)) / len(messages)
        print(f"{kind:30} {mean_us(messages):6.1f} us a message of {length:.0f} characters")


if __name__ == "__main__":
    main()
