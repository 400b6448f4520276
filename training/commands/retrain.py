"""The command emotion-training retrain."""

from pathlib import Path

from training.database import connect
from training.environment import Environment
from training.options import BundleFolder, Names, Overrides
from training.retrain.settings import read_settings
from training.signals import on_signals


def retrain(  # noqa: PLR0913 - the command's options.
    *,
    recipe: str | None = None,
    force: bool = False,
    store: str | None = None,
    work: Path | None = None,
    champion: BundleFolder | None = None,
    public: Names | None = None,
    metrics: Path | None = None,
    set_: Overrides | None = None,
) -> None:
    """Fit a candidate on the labels in the database, and promote it if it is surely better than the champion.

    Args:
        recipe: A YAML file of settings, on top of what docs/retraining.md lists.
        force: Retrain even if there are too few new labels, or the same were judged before.
        store: Folder or URL of the bundles, where the workers find them; without it, TRAINING_MODEL_STORE's, or the
            folder `models` in --work.
        work: Folder for what a run has on the disk while it lasts; without it, TRAINING_WORK's, or `runs`.
        champion: Bundle (a folder, small or tiny) to begin with while the registry has no champion.
        public: Sets on whose published validation rows both models are compared too: folders, files or hub names. A
            fall there is reported; with gate.public_veto=true it refuses the candidate. Without it, TRAINING_PUBLIC's.
        metrics: Write metrics of the runs to this file once this one has ended, for the textfile collector of
            Prometheus, which reads names ending in .prom.
        set_: Other settings, such as gate.margin=0.005.
    """
    options = Environment.load(model_store=store, work=work, public=public)
    given = {"store": options.model_store, "work": options.work, "public": options.public, "champion": champion}
    settings = read_settings(recipe, set_ or (), **given)

    from training.monitor.run_metrics import write_run_metrics  # noqa: PLC0415 - --help is fast without scipy and torch.
    from training.retrain.run import retrain as run_once  # noqa: PLC0415 - as above.

    engine = connect()
    try:
        with on_signals() as stop:
            print(run_once(settings, engine, stop, force=force).line())  # noqa: T201 - the command's answer.
    finally:
        if metrics:
            write_run_metrics(metrics, engine)
