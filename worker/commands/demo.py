"""The command emotion-worker demo."""

from worker.demo.demo import run_demo


def demo(*, keep: bool = False) -> None:
    """Show the whole flow here.

    Args:
        keep: Leave broker and database up until Ctrl-C, and print their addresses.
    """
    run_demo(keep=keep)
