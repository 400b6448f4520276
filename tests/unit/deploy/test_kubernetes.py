"""What deploy/kubernetes promises; a cluster is not needed to see it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from places import ROOT

from schemas.access import ROLES
from training.cli import app
from training.commands.retrain import retrain
from training.environment import Environment
from worker.cli import app as worker_app
from worker.settings import Settings

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
OVERLAYS = ["overlays/cpu", "overlays/gpu"]
VERSIONS = ("1.31", "1.34")


def read(*names: str) -> list[dict[str, Any]]:
    """Return the objects of files of the base."""
    return [one for name in names for one in yaml.safe_load_all((BASE / name).read_text(encoding="utf-8"))]


KUSTOMIZATION = read("kustomization.yaml")[0]
RETENTION = "../components/retention/prune.yaml"
RESOURCES = read(*KUSTOMIZATION["resources"], RETENTION)
OBJECTS: dict[str, Any] = {f"{one['kind']} {one['metadata']['name']}": one for one in RESOURCES}
JOB: dict[str, Any] = OBJECTS["CronJob emotions-retrain"]["spec"]
PODS: dict[str, Any] = {
    "retrain": JOB["jobTemplate"]["spec"]["template"]["spec"],
    "worker": OBJECTS["StatefulSet emotions-worker"]["spec"]["template"]["spec"],
    "migrate": OBJECTS["Job emotions-migrate"]["spec"]["template"]["spec"],
    "prune": OBJECTS["CronJob emotions-prune"]["spec"]["jobTemplate"]["spec"]["template"]["spec"],
}


def container(pod: str) -> dict[str, Any]:
    [only] = PODS[pod]["containers"]
    return dict(only)


def test_every_argument_is_an_option_of_the_command() -> None:
    command, bound, unused = app.parse_args(container("retrain")["args"])[:3]
    assert command is retrain
    assert not unused
    assert bound.arguments.keys() == {"store", "work", "set_"}
    for pod in ("worker", "migrate", "prune"):
        worker_app.parse_args(container(pod)["args"])


def test_every_variable_is_one_that_the_command_knows() -> None:
    names = {one["name"] for one in container("retrain")["env"]}
    Environment.refuse_unknown(names)
    assert all(name.startswith("TRAINING_") for name in names)
    [given] = KUSTOMIZATION["configMapGenerator"]
    names = {one["name"] for one in container("worker")["env"]} | {one.partition("=")[0] for one in given["literals"]}
    Settings.refuse_unknown(names)
    assert all(name.startswith("WORKER_") for name in names)


@pytest.mark.parametrize("pod", PODS)
def test_each_pod_has_the_url_of_its_own_role_from_a_secret(pod: str) -> None:
    [url] = [one for one in container(pod)["env"] if one["name"].endswith("DATABASE_URL")]
    key = {"migrate": "migrator", "worker": "worker", "prune": "worker", "retrain": "trainer"}[pod]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "emotions-database", "key": key}
    assert f"emotions_{key}" in ROLES
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
def test_a_service_that_is_called_like_a_prefix_of_settings_sets_none(pod: str) -> None:
    assert PODS[pod]["enableServiceLinks"] is False


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


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_schemas_accept_the_retention(version: str) -> None:
    kubernetes_validate.validate(OBJECTS["CronJob emotions-prune"], version, strict=True)


def test_runs_are_never_beside_each_other_and_a_wrong_setting_is_not_tried_again() -> None:
    assert JOB["concurrencyPolicy"] == "Forbid"
    rules = JOB["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}} in rules
    assert PODS["retrain"]["restartPolicy"] == "Never", "or there could be no such rules"
    assert PODS["retrain"]["terminationGracePeriodSeconds"] >= 60


def test_workers_follow_the_registry() -> None:
    assert "WORKER_MODEL" not in {one["name"] for one in container("worker")["env"]}


def test_a_worker_comes_back_to_its_group_by_the_name_of_its_pod() -> None:
    [name] = [one for one in container("worker")["env"] if one["name"] == "WORKER_KAFKA_INSTANCE_ID"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "StatefulSet emotions-worker" in OBJECTS, "pods of other kinds get new names"


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """Return the objects that kustomize makes of a folder."""
    command = shutil.which("kubectl")
    if not command:
        pytest.skip("kubectl is not installed: it holds kustomize")
    made = subprocess.run([command, "kustomize", str(folder)], check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(made))


def with_components(folder: Path) -> Path:
    """Return an overlay with all components."""
    components = [str(Path(os.path.relpath(each, folder))) for each in sorted((FOLDER / "components").iterdir())]
    resource = os.path.relpath(FOLDER / "overlays" / "cpu", folder)
    made = {"kind": "Kustomization", "resources": [resource], "components": components}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    return folder


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_schemas_accept_every_object(overlay: str, version: str) -> None:
    for made in kustomize(FOLDER / overlay):
        kubernetes_validate.validate(made, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_images_and_settings_of_its_own(overlay: str) -> None:
    made = {one["kind"]: one for one in kustomize(FOLDER / overlay)}
    pod = made["StatefulSet"]["spec"]["template"]["spec"]
    [worker] = pod["containers"]
    assert worker["image"].startswith("registry.example.com/asr-emotions:")
    [settings] = [one["configMapRef"]["name"] for one in worker["envFrom"]]
    assert settings == made["ConfigMap"]["metadata"]["name"]
    assert ("nvidia.com/gpu" in worker["resources"]["limits"]) == overlay.endswith("gpu")
    assert made["ConfigMap"]["data"].get("WORKER_DEVICE") == ("cuda" if overlay.endswith("gpu") else None)


def test_components_watch_and_scale_the_workers_that_there_are(tmp_path: Path) -> None:
    made = {one["kind"]: one for one in kustomize(with_components(tmp_path))}
    workers = made["StatefulSet"]
    labels = workers["spec"]["template"]["metadata"]["labels"]
    assert "replicas" not in workers["spec"], "the autoscaler owns the number"
    target = {"apiVersion": "apps/v1", "kind": workers["kind"], "name": workers["metadata"]["name"]}
    assert made["ScaledObject"]["spec"]["scaleTargetRef"] == target
    for kind in ("PodMonitor", "PodDisruptionBudget"):
        assert made[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    [endpoint] = made["PodMonitor"]["spec"]["podMetricsEndpoints"]
    [worker] = workers["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in worker["ports"]}
    [trigger] = made["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == Settings.model_fields["kafka_group_id"].default
    assert trigger["metadata"]["topic"] == made["ConfigMap"]["data"]["WORKER_KAFKA_TOPIC"]


def test_probes_are_those_of_the_runbook() -> None:
    probes = {name: container("worker")[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_network_policy_covers_every_pod_and_the_ports_that_they_need() -> None:
    policy = OBJECTS["NetworkPolicy emotions"]["spec"]
    [rule] = policy["podSelector"]["matchExpressions"]
    assert set(rule["values"]) == {f"emotions-{pod}" for pod in PODS}
    ports = {port["port"] for egress in policy["egress"] for port in egress["ports"]}
    assert {53, 5432, 9092} <= ports
