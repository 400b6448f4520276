"""The commands emotion-training export and push."""

from training.errors import UnusableRecipe
from training.options import BundleFolder


def export(*, model: BundleFolder, onnx: bool = False, int8: bool = False) -> None:
    """Write a bundle's model into the bundle in another format, for WORKER_BACKEND=onnx.

    Args:
        model: The bundle: its folder, or small or tiny for one that comes with the code.
        onnx: As ONNX.
        int8: With weights of eight bits: a quarter of the size, and faster on a CPU.
    """
    if not onnx:
        raise UnusableRecipe("export: say into what; --onnx is the format there is")

    from registry.onnx_export import export_onnx  # noqa: PLC0415 - --help is fast without torch.

    print(export_onnx(model, int8=int8))  # noqa: T201 - the command's answer.


def push(
    *, model: BundleFolder, repository: str, public: bool = False, own_labels: bool = False, dry_run: bool = False
) -> None:
    """Upload a bundle to the Hugging Face hub.

    Args:
        model: The bundle: its folder, or small or tiny for one that comes with the code.
        repository: Owner and name on the hub.
        public: Let everybody read it; without this the repository is private.
        own_labels: Push a model that has learnt from labels of your own.
        dry_run: Check the bundle and say what would be uploaded.
    """
    from training.push import push_bundle  # noqa: PLC0415 - --help is fast without torch.

    for line in push_bundle(model, repository, public=public, own_labels=own_labels, dry_run=dry_run):
        print(line)  # noqa: T201 - the command's answer.
