"""Images that stand in for those of compose.yaml, on a machine that can't pull them.

They are made of Debian's packages, PyPI and Maven Central, and carry the names of the real ones while they are needed,
so that the Dockerfile and compose.yaml stay as they are.
"""

import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).with_name("substitutes")
OURS: Final = "asr-emotions-substitute-"
DEBIAN: Final = OURS + "debian"
RELEASE: Final = "bookworm"


def provide(images: dict[str, str]) -> list[str]:
    """Make sure that images are there: pulled where they can be, else built as what stands in for them.

    Args:
        images: by the stage of substitutes/Dockerfile that stands in for it, each image's name and tag.

    Returns:
        The names that something stands in for.
    """
    missing = {stage: name for stage, name in images.items() if not (present(name) or pulled(name))}
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder) / "context"
            shutil.copytree(HERE, context)
            _fill(context, kafka_version=images["kafka"].partition(":")[2])
            for stage, name in missing.items():
                run("docker", "build", "--target", stage, "--tag", name, "--tag", OURS + stage, str(context))
    return [name for stage, name in images.items() if present(OURS + stage) and _id(name) == _id(OURS + stage)]


def withdraw(names: Iterable[str]) -> None:
    """Take the names of the real images off what stood in for them; under its own names it stays for next time."""
    for name in names:
        run("docker", "rmi", name)


def present(name: str) -> bool:
    """Whether Docker has an image of that name."""
    return _succeeds("docker", "image", "inspect", name)


def pulled(name: str) -> bool:
    """Whether it could be had from its registry."""
    return _succeeds("docker", "pull", "--quiet", name)


def run(*command: str) -> None:
    """Run a command in sight.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, check=True)


def _id(name: str) -> str:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _fill(context: Path, kafka_version: str) -> None:
    """Put into a build's context what comes from this machine."""
    if not present(DEBIAN):
        _debootstrap(context)
    jars = [f"-Dkafka.version={kafka_version}", "-DincludeScope=runtime", f"-DoutputDirectory={context}/kafka-jars"]
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    run("mvn", "-q", "-B", "-f", str(context / "pom.xml"), copy, *jars)
    settings = Path("/etc/pip.conf")
    (context / "pip.conf").write_text(settings.read_text() if settings.exists() else "")
    authorities = ssl.get_default_verify_paths().cafile
    assert authorities, "this machine has no file of certificate authorities; install ca-certificates"
    shutil.copy(authorities, context / "ca-certificates.crt")


def _debootstrap(context: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", RELEASE, str(root))
        archive = context / "root.tar"
        run("tar", "--create", "--file", str(archive), "--directory", str(root), ".")
    run("docker", "import", str(archive), DEBIAN)
    archive.unlink()


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
