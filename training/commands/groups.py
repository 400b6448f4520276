"""The commands that lie under a common word: labels, datasets, models and runs."""

from cyclopts import App

labels = App(name="labels", help="What people say of texts: import it, look at it, and export texts to be labelled.")
datasets = App(name="datasets", help="Public sets of labelled texts, into the same table.")
models = App(name="models", help="The models there are, and which of them is served.")
runs = App(name="runs", help="What the retraining job did, and why.")

labels.command(
    "training.commands.labels:import_",
    name="import",
    help="""Put the labels of a file into the database; a later label replaces an earlier.

    Done twice, it changes nothing.

    For example:

        emotion-training labels import calls.csv --annotator anna
        emotion-training labels import project-1.json --strict
        emotion-training labels import calls.xlsx --map text=Фраза joy=радостно,весело skip=другое --dry-run
    """,
)
labels.command(
    "training.commands.labels:list_",
    name="list",
    help="""Print labels, the newest first.

    For example:

        emotion-training labels list --emotion anger -n 50
    """,
)
labels.command(
    "training.commands.labels:stats_",
    name="stats",
    help="""Count labels by emotion, origin and annotator, and say how far annotators agree (Krippendorff's alpha).

    For example:

        emotion-training labels stats
    """,
)
labels.command(
    "training.commands.labels:export",
    help="""Draw texts that nobody has labelled, each with what was said before it in the call.

    For example:

        emotion-training labels export --for label-studio --strategy uncertain -n 500
        emotion-training labels export --for xlsx -n 200
    """,
)
labels.command(
    "training.commands.forget:forget",
    help="""Delete labels, and say where their texts remain and what to do there.

    Who deleted how many labels of which kind stays in a history, without a text; `labels forgotten` prints it.

    For example:

        emotion-training labels forget --session call-17 --dry-run
        emotion-training labels forget --annotator anna --origin pilot --by "privacy officer"
    """,
)
labels.command(
    "training.commands.forget:forgotten",
    help="""Print who deleted how many labels, of which kind and when.

    For example:

        emotion-training labels forgotten
    """,
)
datasets.command(
    "training.commands.labels:import_sets",
    name="import",
    help="""Put the training rows of public sets into the database, each with its set as origin.

    Done twice, it changes nothing. The published validation rows stay outside: models are compared on them.

    For example:

        emotion-training datasets import seara/ru_go_emotions folder/cedr
    """,
)

models.command(
    "training.commands.models:list_models",
    name="list",
    help="""List the models, the newest first: state, weighted F1, times, place.

    For example:

        emotion-training models list
    """,
)
models.command(
    "training.commands.models:show_model",
    name="show",
    help="""Show what a model is: where it comes from, settings, data, thresholds, conventions, figures.

    For example:

        emotion-training models show mine-20261124120000
        emotion-training models show models/mine
    """,
)
models.command(
    "training.commands.models:diff",
    help="""Show what two models differ in: settings, data fingerprint, thresholds, conventions, figures.

    For example:

        emotion-training models diff mine-20261124120000 models/other
    """,
)
models.command(
    "training.commands.models:compare",
    help="""Compare what two models say of the transcripts that both have scored, as WORKER_SHADOW=candidate lets them.

    For example:

        emotion-training models compare candidate-7
        emotion-training models compare candidate-7 champion-6 --json compared.json
    """,
)
models.command(
    "training.commands.models:register",
    help="""Make a bundle a candidate.

    For example:

        emotion-training models register models/mine --store s3://bucket/models
    """,
)
models.command(
    "training.commands.models:promote",
    help="""Make a version the champion, and retire the one before.

    For example:

        emotion-training models promote mine-20261124120000
    """,
)
models.command(
    "training.commands.models:rollback",
    help="""Make the champion before the present one champion again; a second rollback takes it back.

    For example:

        emotion-training models rollback
    """,
)
models.command(
    "training.commands.models:reject",
    help="""Mark a candidate or a retired version as one that is not to be served; the shadow leaves it out.

    For example:

        emotion-training models reject mine-20261124120000 --reason "misses sarcasm"
    """,
)
models.command(
    "training.commands.models:prune",
    help="""Delete the bundles of retired and rejected models, but the newest ones and the one a rollback needs.

    Only bundles that were copied into a store go. One that was registered where it lies stays there.

    For example:

        emotion-training models prune --keep 5 --dry-run
    """,
)
runs.command(
    "training.commands.models:list_runs",
    name="list",
    help="""List the runs of the retraining job, the newest first.

    For example:

        emotion-training runs list
    """,
)
runs.command(
    "training.commands.models:show",
    help="""Show every number and verdict of a run.

    For example:

        emotion-training runs show 12
    """,
)
