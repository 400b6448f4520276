"""What examples/kubernetes promises; a cluster is not needed to see it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from training import database
from training.cli import app
from training.retrain_cli import retrain
from worker.cli import app as worker_app
from worker.settings import refuse_unknown

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "examples" / "kubernetes" / "retrain-cronjob.yaml").read_text(encoding="utf-8")
OBJECTS: dict[str, Any] = {f"{one['kind']} {one['metadata']['name']}": one for one in yaml.safe_load_all(TEXT)}
JOB: dict[str, Any] = OBJECTS["CronJob emotions-retrain"]["spec"]
PODS: dict[str, Any] = {
    "retrain": JOB["jobTemplate"]["spec"]["template"]["spec"],
    "worker": OBJECTS["Deployment emotions-worker"]["spec"]["template"]["spec"],
}


def container(pod: str) -> dict[str, Any]:
    [only] = PODS[pod]["containers"]
    return dict(only)


def test_every_argument_is_an_option_of_the_command() -> None:
    command, bound, unused = app.parse_args(container("retrain")["args"])[:3]
    assert command is retrain
    assert not unused
    assert bound.arguments.keys() == {"store", "work", "set_"}
    worker_app.parse_args(container("worker")["args"])


def test_every_variable_is_one_that_the_command_knows() -> None:
    assert {one["name"] for one in container("retrain")["env"]} <= set(database._VARIABLES)
    names = {one["name"] for one in container("worker")["env"]}
    refuse_unknown(names)
    assert all(name.startswith("WORKER_") for name in names)


@pytest.mark.parametrize("pod", PODS)
def test_a_password_comes_from_a_secret(pod: str) -> None:
    [url] = [one for one in container(pod)["env"] if one["name"].endswith("DATABASE_URL")]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "emotions-database", "key": "url"}
    assert "value" not in url


@pytest.mark.parametrize("pod", PODS)
def test_a_container_may_do_nothing_that_it_needs_not(pod: str) -> None:
    user = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert user
    whole, own = PODS[pod]["securityContext"], container(pod)["securityContext"]
    assert (whole["runAsNonRoot"], whole["runAsUser"]) == (True, int(user[1]))
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert PODS[pod]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("pod", PODS)
def test_what_is_mounted_is_there_and_what_is_written_is_mounted(pod: str) -> None:
    mounts = {mount["name"]: mount for mount in container(pod)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in PODS[pod]["volumes"]}
    assert mounts.keys() == volumes.keys()
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values() if "emptyDir" not in volume}
    assert {f"PersistentVolumeClaim {claim}" for claim in claims} <= OBJECTS.keys()
    writable = [mount["mountPath"] for mount in mounts.values() if not mount.get("readOnly")]
    for argument in container(pod)["args"]:
        if argument.startswith("/"):
            assert any(argument.startswith(path) for path in writable)


def test_runs_are_never_beside_each_other_and_a_wrong_setting_is_not_tried_again() -> None:
    assert JOB["concurrencyPolicy"] == "Forbid"
    rules = JOB["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}} in rules
    assert PODS["retrain"]["restartPolicy"] == "Never", "or there could be no such rules"
    assert PODS["retrain"]["terminationGracePeriodSeconds"] >= 60


def test_workers_follow_the_registry() -> None:
    assert "WORKER_MODEL" not in {one["name"] for one in container("worker")["env"]}
