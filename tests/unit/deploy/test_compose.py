"""What compose.yaml and the Dockerfile promise; Docker itself is not needed to see it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT
from prometheus_client import CollectorRegistry

from schemas.access import READER, TRAINER, WORKER
from training.environment import Environment
from worker.observability.health import Health
from worker.observability.server import serve
from worker.settings import Settings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
GPU: dict[str, Any] = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("migrate", "worker", "prune")
CONFINED = (*OURS, "trainer")
LASTING = ("kafka", "postgres", "worker", "prometheus", "grafana", "label-studio")
ONCE = ("topics", "migrate")
PROFILES = {"prometheus": ["observability"], "grafana": ["observability"], "label-studio": ["labelling"]}
PROFILES |= {"prune": ["retention"]}


def stage(name: str) -> str:
    """What the Dockerfile says of one of its stages."""
    return re.split(r"^FROM \S+ AS ", DOCKERFILE.partition(f" AS {name}\n")[2], flags=re.MULTILINE)[0]


def image_health_check() -> list[str]:
    """The command of the image's HEALTHCHECK."""
    found = re.search(r"^HEALTHCHECK .*\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found
    return list(json.loads(found[1]))


@pytest.mark.parametrize("name", CONFINED)
def test_our_containers_may_do_nothing_that_they_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp:size=256m"]  # noqa: S108 - of the container.
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_fills_neither_the_disk_with_its_log_nor_the_memory(name: str) -> None:
    assert SERVICES[name]["logging"]["options"] == {"max-size": "20m", "max-file": "5"}
    assert re.fullmatch(r"[1-8]g", SERVICES[name]["mem_limit"])


@pytest.mark.parametrize(("name", "command"), [("worker", "emotion-worker"), ("trainer", "emotion-training")])
def test_an_image_runs_its_command_as_a_user_without_rights(name: str, command: str) -> None:
    assert re.search(r"^USER [1-9]\d*$", stage(name), re.MULTILINE)
    assert f'ENTRYPOINT ["{command}"]' in stage(name)
    assert re.search("^COPY models ", stage("base"), re.MULTILINE)


def test_the_worker_is_what_a_build_makes_unless_told_otherwise_and_lacks_what_training_needs() -> None:
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)[-1] == "worker"
    assert re.findall(r"^FROM (?!python)(\w+) AS (worker|trainer)$", DOCKERFILE, re.MULTILINE) == [
        ("base", "trainer"),
        ("base", "worker"),
    ]
    assert "trainer.txt" in stage("trainer")
    assert "trainer.txt" not in stage("base") + stage("dependencies") + stage("worker")


def test_a_change_of_our_code_installs_no_dependencies_again() -> None:
    """What comes after a COPY of our packages is made again whenever they change."""
    packages = ["schemas", "registry", "worker", "training", "migrations"]
    for name in packages:
        assert f"COPY {name} {name}" in stage("package")
    for name in ("dependencies", "base"):
        assert not re.search(rf"^COPY ({'|'.join(packages)}) ", stage(name), re.MULTILINE)
    installs = re.findall(r"--requirement|--from=package", stage("trainer"))
    assert installs == ["--requirement", "--from=package"]


def test_the_image_names_no_package_index_and_takes_one_by_argument() -> None:
    assert 'ARG TORCH_INDEX_URL=""' in DOCKERFILE
    assert "://" not in DOCKERFILE.replace("http://127.0.0.1", "")
    for name in ("migrate", "trainer"):
        assert SERVICES[name]["build"]["args"] == {
            "TORCH_INDEX_URL": "${TORCH_INDEX_URL:-}",
            "TORCH_SHA256": "${TORCH_SHA256:-}",
        }


def test_one_service_builds_the_image_that_both_run() -> None:
    """Two builds of one name race; and what is built here is never pulled."""
    built = {name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service}
    assert built == {"migrate": "worker", "trainer": "trainer"}
    assert {(SERVICES[name]["image"], SERVICES[name]["pull_policy"]) for name in OURS} == {("asr-emotions", "never")}
    trainer = SERVICES["trainer"]
    assert (trainer["image"], trainer["pull_policy"]) == ("asr-emotions-trainer", "never")


def test_what_is_pulled_is_pinned_to_a_version() -> None:
    pulled = {service["image"] for service in SERVICES.values() if "pull_policy" not in service}
    assert len(pulled) == 5
    # `make pin` adds the digests.
    assert all(re.fullmatch(r"[\w/-]+:v?\d+(\.\d+)*(@sha256:[0-9a-f]{64})?", image) for image in pulled)


def test_what_is_beside_the_flow_is_asked_for_by_name() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == PROFILES


def test_the_trainer_writes_the_bundles_that_workers_read() -> None:
    bundles = SERVICES["trainer"]["environment"]["TRAINING_MODEL_STORE"]
    assert SERVICES["worker"]["volumes"][0] == f"bundles:{bundles}:ro"
    assert SERVICES["trainer"]["volumes"][0] == f"bundles:{bundles}"
    made = re.findall(r"install --directory --owner 10001 (.*)$", stage("base").replace("\\\n", ""), re.MULTILINE)
    volumes = SERVICES["trainer"]["volumes"] + SERVICES["worker"]["volumes"]
    folders = {volume.split(":")[1] for volume in volumes}
    assert set(made[0].split()) == folders, "a folder that the image lacks would belong to root once mounted"


def test_models_that_are_downloaded_lie_on_the_disk_and_not_in_memory() -> None:
    """The folder for temporary files is memory, and counts towards the container's limit."""
    settings = dict(re.findall(r"(\w+)=(\S+)", stage("base")))
    [cache] = [volume.partition(":")[2] for volume in SERVICES["worker"]["volumes"] if volume.startswith("cache:")]
    assert settings["WORKER_MODEL_CACHE"] == cache
    assert settings["HF_HOME"].startswith(f"{cache}/")
    work = SERVICES["trainer"]["volumes"][1].partition(":")[2]
    assert f"TMPDIR={work} " in stage("trainer")


@pytest.mark.parametrize("name", ["torch", "worker", "trainer", "build"])
def test_an_image_installs_what_the_tests_ran_with_and_nothing_without_a_hash(name: str) -> None:
    tested = pins("constraints.txt")
    locked = pins(f"requirements/{name}.txt")
    assert {package: version for package, version in locked.items() if tested.get(package, version) != version} == {}
    whole = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    assert all(" --hash=sha256:" in line for line in whole.splitlines())
    assert "://" not in whole
    assert f"--require-hashes --requirement {name}.txt" in DOCKERFILE


def test_the_lists_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    worker = pins("requirements/torch.txt") | pins("requirements/worker.txt")
    trainer = worker | pins("requirements/trainer.txt")
    for line in [*project["dependencies"], *extras["report"], "onnxruntime"]:
        assert canonicalize_name(Requirement(line).name) in worker, "run `make lock`"
    for line in extras["excel"] + extras["onnx"] + extras["training"]:
        name = canonicalize_name(Requirement(line).name)
        assert name in trainer or name == "asr-emotions", "run `make lock`"


def pins(file: str) -> dict[str, str]:
    """The version of each package in a list."""
    found = re.findall(r"^([\w.-]+)==([^ \n]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_only_the_users_own_labels_judge_unless_the_operator_names_public_sets() -> None:
    assert SERVICES["trainer"]["environment"]["TRAINING_PUBLIC"] == "${TRAINING_PUBLIC:-}"


def test_the_trainer_takes_neither_the_processor_nor_the_memory_from_the_others() -> None:
    trainer = SERVICES["trainer"]
    assert trainer["cpu_shares"] < 1024
    assert trainer["mem_limit"] == "8g"
    assert trainer["restart"] == "unless-stopped"
    assert trainer["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", LASTING)
def test_what_runs_on_is_watched_and_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


@pytest.mark.parametrize("name", ONCE)
def test_what_runs_once_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


def test_a_worker_starts_when_tables_and_topics_are_there() -> None:
    done = {"condition": "service_completed_successfully"}
    healthy = {"condition": "service_healthy"}
    assert SERVICES["worker"]["depends_on"] == {"migrate": done, "topics": done}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": healthy}
    assert SERVICES["topics"]["depends_on"] == {"kafka": healthy}


def test_a_worker_has_longer_to_stop_than_it_takes() -> None:
    assert SERVICES["worker"]["stop_grace_period"] == "15s"
    assert SERVICES["worker"]["init"] is True


def test_workers_can_be_many() -> None:
    """No two of them ask for the same name or the same port of the host, and the topic has a partition for each."""
    worker = SERVICES["worker"]
    assert "container_name" not in worker
    assert worker["ports"] == ["127.0.0.1::8080"]
    assert "--topic transcripts --partitions 4" in SERVICES["topics"]["command"][0]


def test_no_port_is_open_to_the_network() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_they_hold_outlives_their_containers() -> None:
    assert SERVICES["kafka"]["volumes"] == [f"kafka:{SERVICES['kafka']['environment']['KAFKA_LOG_DIRS']}"]
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) == {name for name in used if not name.startswith(".")}


ROLE_OF = {"worker": WORKER, "trainer": TRAINER, "grafana": READER}


@pytest.mark.parametrize(("name", "role"), ROLE_OF.items())
def test_each_program_has_a_role_of_its_own_and_the_password_that_migrate_gives_it(name: str, role: str) -> None:
    given = SERVICES["migrate"]["environment"][f"WORKER_DATABASE_{role.removeprefix('emotions_').upper()}_PASSWORD"]
    if name == "grafana":
        provisioned = (ROOT / "deploy" / "observability" / "grafana" / "datasources.yaml").read_text(encoding="utf-8")
        assert f"user: {role}\n" in provisioned
        assert SERVICES[name]["environment"]["READER_PASSWORD"] == given
    else:
        variable = {"worker": "WORKER", "trainer": "TRAINING"}[name] + "_DATABASE_URL"
        assert SERVICES[name]["environment"][variable] == f"postgresql://{role}@postgres/emotions", "without a password"
        assert SERVICES[name]["environment"]["PGPASSWORD"] == given
    assert "migrate" in SERVICES[name]["depends_on"]


def test_the_superuser_makes_the_roles_and_does_nothing_else() -> None:
    assert SERVICES["migrate"]["command"] == ["migrate", "--roles"]
    password = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert [name for name in SERVICES if password in SERVICES[name].get("environment", {}).values()] == [
        "postgres",
        "migrate",
    ]


def test_every_setting_is_one_that_its_program_knows() -> None:
    services = [*SERVICES.values(), *GPU["services"].values()]
    names = {name for service in services for name in service.get("environment", ())}
    names |= set(re.findall(r"(?:WORKER|TRAINING)_\w+", DOCKERFILE))
    for program in (Settings, Environment):
        program.refuse_unknown(names)


def test_on_a_gpu_all_run_the_cuda_images_and_worker_and_trainer_get_the_gpu() -> None:
    overridden = GPU["services"]
    assert {name: overridden[name]["image"] for name in OURS} == dict.fromkeys(OURS, "asr-emotions:cuda")
    assert overridden["migrate"]["build"] == {"args": {"TORCH_INDEX_URL": ""}}
    assert overridden["trainer"]["image"] == "asr-emotions-trainer:cuda"
    assert overridden["trainer"]["build"] == overridden["migrate"]["build"]
    for name in ("worker", "trainer"):
        (device,) = overridden[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert overridden["worker"]["environment"] == {"WORKER_DEVICE": "cuda"}


def test_compose_asks_for_health_as_the_image_does() -> None:
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", *image_health_check()]
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize(("stuck", "code"), [(False, 0), (True, 1)])
def test_the_health_check_tells_a_stuck_worker_from_a_well_one(stuck: bool, code: int) -> None:
    now = 0.0
    health = Health(30, clock=lambda: now)
    health.note_turn(waiting=True, progressed=False)
    server = serve(health, CollectorRegistry(), "127.0.0.1", 0)
    now = 31.0 if stuck else 1.0
    environment = os.environ | {"WORKER_HTTP_PORT": str(server.server_port)}
    answer = subprocess.run(
        [sys.executable, *image_health_check()[1:]], env=environment, check=False, stderr=subprocess.DEVNULL
    )
    server.shutdown()
    server.server_close()
    assert answer.returncode == code


def test_the_build_context_holds_all_that_the_dockerfile_copies() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == allowed


def test_the_build_context_holds_every_package_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}\n" in DOCKERFILE
