"""The command emotion-training: what it is told, and how it ends."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App

from registry.command_line import run_command, tell_error, version
from registry.logs import configure_logs
from registry.traces import account_of
from training.commands.groups import datasets, labels, models, runs
from training.signals import Interrupted

# Commands are imported when they are called: the libraries of one take seconds, and another needs none of them.
app = App(name="emotion-training", help="Fits and measures the models that emotion-worker serves.", version=version)
for group in (labels, datasets, models, runs):
    app.command(group)

app.command(
    "training.commands.fit:fit",
    help="""Fine-tune an encoder and write a bundle.

    Several GPUs: put `torchrun --nproc-per-node 2 --no-python` before the command.

    For example:

        emotion-training fit --recipe ru-emotions-small --output models/mine
        emotion-training fit --data labels.csv seara/ru_go_emotions --base intfloat/multilingual-e5-small \\
            --set learning.learning_rate=1e-4 teaching.folds=0 --output models/mine
        torchrun --nproc-per-node 2 --no-python emotion-training fit --recipe ru-emotions-small --output models/mine
    """,
)
app.command(
    "training.commands.tune:tune",
    help="""Fit thresholds and calibration to 50 to 1,000 labels of your own, in seconds; the network stays as it is.

    Writes a bundle where that wins on labels that it was not tuned to, and prints a table of before and after. Ends
    with 1 where nothing is won, and writes nothing.

    For example:

        emotion-training tune --model models/ru-emotions-small --data labels.csv --output models/tuned
    """,
)
app.command(
    "training.commands.evaluate:evaluate",
    help="""Measure a bundle on the Russian validation rows of data sets, in ASR form and as written.

    For example:

        emotion-training evaluate --model models/ru-emotions-small --data seara/ru_go_emotions --report report
        emotion-training evaluate --model models/ru-emotions-small --data calls --split test
    """,
)
app.command(
    "training.commands.search:search",
    help="""Search for better settings with optuna, and write the best as a recipe. Started again, it goes on.

    For example:

        emotion-training search --recipe ru-emotions-small --space space.yaml --study search.db --output best.yaml
    """,
)
app.command(
    "training.commands.bundles:export",
    help="""Write a bundle's model into the bundle in another format, for WORKER_BACKEND=onnx.

    For example:

        emotion-training export --model models/mine --onnx --int8
    """,
)
app.command(
    "training.commands.bundles:push",
    help="""Upload a bundle to the Hugging Face hub; the token comes from HF_TOKEN or `hf auth login`.

    For example:

        emotion-training push --model models/mine --repository me/ru-emotions --dry-run
    """,
)
app.command(
    "training.commands.retrain:retrain",
    help="""Fit a candidate on the labels in the database, and promote it if it is surely better than the champion.

    Ends with one line that says what became of it, and exit code 0, whether it was promoted, rejected or skipped.

    For example:

        emotion-training retrain --store s3://bucket/models --set min_labels=100
    """,
)
app.command(
    "training.commands.gate:gate",
    help="""Compare two bundles by the rules of a retraining: would B take A's place? Ends with 1 where it would not.

    Nothing is promoted. Texts that either has learnt, as far as its bundle tells, do not judge.

    For example:

        emotion-training gate models/mine models/other --data labels.csv
        emotion-training gate mine-20261124120000 models/other --data calls --split test --set gate.margin=0.01
    """,
)
app.command(
    "training.commands.schedule:schedule",
    help="""Call `retrain` at the dates of a cron expression, until SIGTERM or Ctrl-C.

    A run that was interrupted is taken up again at the start, and of the dates that were missed, one is caught up
    with. A signal ends a run at a checkpoint; the exit code is 0.

    For example:

        emotion-training schedule --cron "0 3 * * 1" --timezone Europe/Moscow --store s3://bucket/models
    """,
)
app.command(
    "training.commands.drift:drift",
    help="""Compare the last results with those before: scores, emotions, texts. Ends with 1 where they have drifted.

    For example:

        emotion-training drift --window 7d --reference 30d --page drift.html
        emotion-training drift --months 12 --metrics /var/lib/node_exporter/emotions.prom
    """,
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; expected errors end in one line and exit code 2, others in a trace and 1."""
    configure_logs("info", account_of)
    try:
        code = run_command(app, str, arguments)
    except Interrupted as interrupted:
        tell_error(app, f"{interrupted}: run it again to go on")
        code = interrupted.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
