"""What deploy/ holds, as far as it can be tried without an engine or a cluster.

Every command that stands there is one that the real command line takes; probes ask routes that the real
gateway answers; and whoever waits for the gateway to leave waits longer than it may take.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.local_provider import Home, provider
from tests.cli.test_serve import MODULE, Served
from understudy.cli.serve import serve
from understudy.config.pool import load_pool
from understudy.config.store import ProfileStore
from understudy.gateway.server import Server

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
UNIT = DEPLOY / "systemd" / "understudy.service"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


OBJECTS = {(one["kind"], one.get("metadata", {}).get("name", "")): one for one in documents()}
DEPLOYMENT = OBJECTS["Deployment", "understudy"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
CONTAINER = POD["containers"][0]


# What each file says


def instructions(text: str) -> list[tuple[str, str]]:
    """A Containerfile's, in order: the word, and the rest of its line."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.strip().partition(" ") for line in text.splitlines() if line.strip())
    return [(word, " ".join(rest.split())) for word, _, rest in lines]


STEPS = instructions(CONTAINERFILE.read_text())


def last(word: str) -> str:
    """What the image that is kept says of it."""
    return [rest for found, rest in STEPS if found == word][-1]


def unit() -> dict[str, list[str]]:
    """The unit's settings, whichever section they are in."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


COMMANDS: Mapping[str, Sequence[str]] = {
    "container": json.loads(last("CMD")),
    "compose": COMPOSE["services"]["understudy"]["command"],
    "kubernetes": CONTAINER["args"],
    "systemd": shlex.split(unit()["ExecStart"][0])[1:],
}


def options(where: str) -> dict[str, Any]:
    """What the real command line makes of the command there."""
    name, *arguments = COMMANDS[where]
    assert name == "serve"
    context = serve.make_context("serve", list(arguments))
    return context.params


everywhere = pytest.mark.parametrize("where", COMMANDS)


# Commands


@everywhere
def test_the_command_is_one_that_the_command_line_takes(where: str) -> None:
    assert options(where)["port"] == 4141
    assert options(where)["host"] == ("127.0.0.1" if where == "systemd" else "0.0.0.0")


@everywhere
def test_and_one_that_serves(where: str, tmp_path: Path) -> None:
    """The real process with exactly these words, but for the port; where there is no Redis it serves, too."""
    home = Home(tmp_path)
    with provider() as made:
        home.backend("a", made.base_url)
        home.pool("evening", "a", "a")
        words = list(COMMANDS[where])
        at = next(index for index, word in enumerate(words) if word.startswith("--port"))
        words[at : at + (1 if "=" in words[at] else 2)] = ["--port", "0"]
        environ = {"UNDERSTUDY_HOME": str(tmp_path), "UNDERSTUDY_KEYS": "client=key-of-a-client"}
        process = subprocess.Popen(
            [*MODULE, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip().replace("0.0.0.0", "127.0.0.1")
            served = Served(process, url)
            for path in probed():
                assert served.get(path)["status"] in ("alive", "ready")
            assert served.chat("key-of-a-client")["choices"]
            served.end(signal.SIGINT)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def probed() -> set[str]:
    """The routes that anything here asks for to see how the gateway is."""
    health = re.search(r"127\.0\.0\.1:4141(/[\w/]+)", last("HEALTHCHECK"))
    assert health is not None
    probes = (CONTAINER[name] for name in ("startupProbe", "readinessProbe", "livenessProbe"))
    return {health[1], *(probe["httpGet"]["path"] for probe in probes)}


def test_what_is_alive_is_asked_of_liveness_and_what_is_ready_of_readiness() -> None:
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/health/liveness"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/health/readiness"
    assert "/health/liveness" in last("HEALTHCHECK")


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_asks_at_the_port_that_is_served(probe: str) -> None:
    (port,) = CONTAINER["ports"]
    assert CONTAINER[probe]["httpGet"]["port"] == port["name"]
    assert port["containerPort"] == options("kubernetes")["port"]


# Leaving


def needed(where: str) -> float:
    """How long the gateway may take to leave, at most."""
    given = options(where)
    return float(given["drain_delay"] + given["drain_timeout"] + Server.last_words + 3)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_whoever_waits_for_it_to_leave_waits_longer_than_it_may_take() -> None:
    rest = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert CONTAINER["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"
    assert POD["terminationGracePeriodSeconds"] >= rest + needed("kubernetes")
    assert seconds(COMPOSE["services"]["understudy"]["stop_grace_period"]) >= needed("compose")
    assert seconds(unit()["TimeoutStopSec"][0]) >= needed("systemd")


def test_it_is_told_to_leave_by_the_signal_that_it_heeds() -> None:
    assert last("STOPSIGNAL") == "SIGTERM"
    assert "KillSignal" not in unit(), "SIGTERM is what systemd sends"


# The image


def test_every_command_of_the_image_is_in_exec_form() -> None:
    for word in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(last(word)), list)
    assert last("HEALTHCHECK").partition("CMD ")[2].startswith("[")


def test_it_does_not_run_as_root_and_nothing_is_built_in_what_is_kept() -> None:
    user, _, group = last("USER").partition(":")
    assert min(int(user), int(group)) > 0
    stages = [index for index, (word, _) in enumerate(STEPS) if word == "FROM"]
    assert len(stages) == 2
    assert not any(word == "RUN" for word, _ in STEPS[stages[-1] :])


def test_the_health_check_says_whether_it_is_well(tmp_path: Path) -> None:
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    home = Home(tmp_path)
    with provider() as made:
        home.backend("a", made.base_url)
        process = subprocess.Popen(
            [*MODULE, "serve", "--port", "0", "--profile-load", "a"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path)},
        )
        assert process.stdout is not None
        port = process.stdout.readline().strip().rpartition(":")[2]
        command = [sys.executable, *(part.replace("4141", port) for part in check[1:])]
        assert subprocess.run(command, timeout=20, check=False).returncode == 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert subprocess.run(command, timeout=20, check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_its_steps_build_a_command_that_starts(tmp_path: Path) -> None:
    """The RUN steps of the Containerfile, one by one, on a copy of what it copies."""
    build, place = tmp_path / "build", tmp_path / "understudy"
    build.mkdir()
    for word, rest in STEPS:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, build / target / ("" if target == "src" else source))
        elif word == "RUN":
            step = re.sub("^python ", f"{sys.executable} ", rest).replace("/opt/understudy", str(place))
            done = subprocess.run(["sh", "-ec", step], cwd=build, capture_output=True, text=True, check=False)
            if "No matching distribution" in done.stderr and os.environ.get("CI") != "true":
                pytest.skip("no package index can be reached")
            assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"
    command = json.loads(last("ENTRYPOINT"))[0]
    assert "--state" in said(place / "bin" / command, "serve", "--help")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (build / "constraints.txt").read_text(), re.MULTILINE))
    installed = dict(
        re.findall(r"^(\S+)==(\S+)$", said(place / "bin" / "pip", "freeze").lower(), re.MULTILINE)
    )
    for name in ("aiohttp", "uvicorn", "redis", "uvloop"):
        assert installed[name] == pinned[name]


def said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


# Compose


def test_compose_builds_the_image_from_the_root_of_the_checkout() -> None:
    build = COMPOSE["services"]["understudy"]["build"]
    context = (DEPLOY / "compose" / build["context"]).resolve()
    assert context == ROOT
    assert context / build["dockerfile"] == CONTAINERFILE


def test_compose_serves_what_lies_beside_it(tmp_path: Path) -> None:
    (volume,) = COMPOSE["services"]["understudy"]["volumes"]
    source, target, mode = volume.split(":")
    assert (target, mode) == ("/etc/understudy/profiles", "ro")
    store = ProfileStore((DEPLOY / "compose" / source).resolve().parent)
    keys = dict.fromkeys(COMPOSE["services"]["understudy"]["environment"], "sk-0123456789")
    for path in (DEPLOY / "compose" / source).resolve().glob("*.json"):
        assert not any(slot.problem for slot in load_pool(path.stem, store, keys).members)


def test_compose_reaches_its_redis_and_prometheus_the_gateway_by_their_names_and_ports() -> None:
    assert options("compose")["state"] == "redis://redis:6379/0"
    assert "redis" in COMPOSE["services"]
    scraped = yaml.safe_load((DEPLOY / "compose" / COMPOSE["configs"]["prometheus"]["file"]).read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["understudy:4141"]}]
    (secret,) = COMPOSE["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "compose" / "prometheus.yaml").read_text()
    (tmp_path / "key").write_text("k")
    file = tmp_path / "prometheus.yaml"
    file.write_text(text.replace("/run/secrets/prometheus_key", str(tmp_path / "key")))
    subprocess.run(["promtool", "check", "config", str(file)], check=True, stdout=subprocess.DEVNULL)


def test_nobody_in_compose_may_write_but_where_it_must() -> None:
    gateway = COMPOSE["services"]["understudy"]
    assert (gateway["read_only"], gateway["tmpfs"], gateway["cap_drop"]) == (True, ["/tmp"], ["ALL"])


# Kubernetes


def test_every_manifest_is_named_in_the_kustomization_and_says_what_it_is() -> None:
    (kustomization,) = (one for one in documents() if one["kind"] == "Kustomization")
    named = set(kustomization["resources"])
    assert named == {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert all(one["apiVersion"] and one["kind"] for one in documents())
    assert len(OBJECTS) == len(list(documents()))


def test_the_profile_of_the_config_map_can_be_served(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    for name, text in OBJECTS["ConfigMap", "understudy-profiles"]["data"].items():
        (tmp_path / "profiles" / name).write_text(text)
    keys = dict.fromkeys(("SYNTHETIC_API_KEY", "CHUTES_API_KEY", "GROQ_API_KEY"), "sk-0123456789")
    pool = load_pool("testlb489", ProfileStore(tmp_path), keys)
    assert not any(slot.problem for slot in pool.members)


def test_the_pod_finds_its_profiles_and_may_write_in_tmp_alone() -> None:
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert mounts.keys() == volumes.keys()
    assert mounts["profiles"]["mountPath"] == "/etc/understudy/profiles"
    assert f"UNDERSTUDY_HOME={Path(mounts['profiles']['mountPath']).parent}" in last("ENV")
    assert ("ConfigMap", volumes["profiles"]["configMap"]["name"]) in OBJECTS
    assert [name for name, mount in mounts.items() if not mount.get("readOnly")] == ["tmp"]
    assert mounts["tmp"]["mountPath"] == "/tmp"
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    context = POD["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == last("USER")
    assert context["runAsNonRoot"] is True


def test_keys_come_from_a_secret_and_stand_nowhere() -> None:
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": "understudy-keys"}}]
    assert not any(kind == "Secret" for kind, _ in OBJECTS)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Service", ("spec", "selector")),
        ("PodDisruptionBudget", ("spec", "selector", "matchLabels")),
    ],
)
def test_what_selects_pods_selects_these(kind: str, path: tuple[str, ...]) -> None:
    selector = OBJECTS[kind, "understudy"]
    for key in path:
        selector = selector[key]
    assert selector == DEPLOYMENT["selector"]["matchLabels"]
    assert selector.items() <= DEPLOYMENT["template"]["metadata"]["labels"].items()


def test_the_service_leads_to_the_port_that_is_served() -> None:
    (port,) = OBJECTS["Service", "understudy"]["spec"]["ports"]
    assert port["targetPort"] == CONTAINER["ports"][0]["name"]


def test_the_state_is_where_the_redis_of_the_manifests_is() -> None:
    service = OBJECTS["Service", "understudy-redis"]
    (port,) = service["spec"]["ports"]
    assert options("kubernetes")["state"] == f"redis://{service['metadata']['name']}:{port['port']}/0"


def test_a_disruption_or_a_new_version_leaves_enough_pods() -> None:
    budget = OBJECTS["PodDisruptionBudget", "understudy"]["spec"]["maxUnavailable"]
    scaler = OBJECTS["HorizontalPodAutoscaler", "understudy"]["spec"]
    assert budget < min(DEPLOYMENT["replicas"], scaler["minReplicas"])
    assert DEPLOYMENT["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert scaler["scaleTargetRef"]["name"] == "understudy"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_takes_them() -> None:
    told = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True, check=True
    )
    built = list(yaml.safe_load_all(told.stdout))
    names = {(one["kind"], one["metadata"]["name"]) for one in built}
    assert names == OBJECTS.keys() - {("Kustomization", "")}


# systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit_file = tmp_path / UNIT.name
    command = Path(sys.executable).with_name("understudy")
    unit_file.write_text(UNIT.read_text().replace("/opt/understudy/bin/understudy", str(command)))
    told = subprocess.run(
        ["systemd-analyze", "verify", str(unit_file)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_unit_reloads_by_the_signal_that_the_gateway_heeds() -> None:
    assert unit()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit()["Type"] == ["exec"]


def test_the_unit_may_use_the_sockets_that_workers_need() -> None:
    families = unit()["RestrictAddressFamilies"][0].split()
    assert families == ["AF_INET", "AF_INET6", "AF_UNIX"]
    assert unit()["PrivateTmp"] == ["yes"], "where they meet"


def test_what_a_comment_tells_to_type_is_what_there_is() -> None:
    """Commands in the heads of files: the paths in them are there."""
    for path in (CONTAINERFILE, DEPLOY / "kubernetes" / "kustomization.yaml"):
        for found in re.findall(r"deploy/[\w/.]*\w", path.read_text()):
            assert (ROOT / found).exists(), found
