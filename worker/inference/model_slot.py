"""Which model serves now."""

from worker.records import Classifier


class Serving:
    """The place of the model that serves; another thread may put another one into it at any moment.

    Whoever classifies takes the model out once for each piece of work, and holds it no longer than that: the memory of
    one that was replaced is free from then on.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
