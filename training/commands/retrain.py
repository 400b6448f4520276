"""The command emotion-training retrain."""

from pathlib import Path

from training.database import connect
from training.options import Overrides, Public, Store, Work
from training.retrain.settings import read_settings
from training.signals import on_signals


def retrain(  # noqa: PLR0913 - the command's options.
    *,
    recipe: str | None = None,
    force: bool = False,
    store: Store = None,
    work: Work = None,
    champion: Path | None = None,
    public: Public = None,
    set_: Overrides | None = None,
) -> None:
    """Fit a candidate on the labels in the database, and promote it if it is surely better than the champion.

    Args:
        recipe: A YAML file of settings, on top of what docs/retraining.md lists.
        force: Retrain even if there are too few new labels, or the same were judged before.
        store: Folder or URL of the bundles, where the workers find them; without it, the folder `models` in --work.
        work: Folder for what a run has on the disk while it lasts; without it, `runs`.
        champion: Bundle to begin with while the registry has no champion, instead of the released one.
        public: Sets on whose published validation rows both models are compared too: folders, files or hub names. A
            fall there is reported; with gate.public_veto=true it refuses the candidate.
        set_: Other settings, such as gate.margin=0.005.
    """
    given = {"store": store, "work": work, "champion": champion, "public": public}
    settings = read_settings(recipe, set_ or (), **given)

    from training.retrain.run import retrain as run_once  # noqa: PLC0415 - --help is fast without torch.

    with on_signals() as stop:
        print(run_once(settings, connect(), stop, force=force).line())  # noqa: T201 - the command's answer.
