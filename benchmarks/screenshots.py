"""The report of the sample calls as Chromium shows it: at 1440 and 390 pixels, light and dark."""

import shutil
import subprocess
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from worker.report.run import Order, write_report
from worker.settings import Settings

EXAMPLES = Path(__file__).parents[1] / "examples" / "transcripts.jsonl"
SCHEMES = {"light": 1, "dark": 0}
SIZES = {1440: 5_000, 390: 7_000}


def shoot(page: Path, width: int, scheme: str, picture: Path) -> None:
    """Take a picture of a page, in a frame, since Chromium's windows are 500 pixels wide at least."""
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder) / "frame.html"
        style = f"border:0;width:{width}px;height:{SIZES[width]}px"
        frame.write_text(f'<body style="margin:0"><iframe src="{page.resolve().as_uri()}" style="{style}"></iframe>')
        subprocess.run(
            [
                shutil.which("chromium") or "chromium",
                "--headless=new",
                "--no-sandbox",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
                f"--window-size={max(width, 500)},{SIZES[width]}",
                f"--screenshot={picture.resolve()}",
                frame.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


def main() -> None:
    """Write the page and its pictures, and name them."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="Page that is there already; by default it is made of the examples.")
    parser.add_argument("--output", type=Path, default=Path("build"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    page = given.page or given.output / "report.html"
    if not given.page:
        write_report(Order(str(EXAMPLES), calls=6), Settings.load(), page)
    for width in SIZES:
        for scheme in SCHEMES:
            picture = given.output / f"report-{width}-{scheme}.png"
            shoot(page, width, scheme, picture)
            print(picture)


if __name__ == "__main__":
    main()
