"""The files of deploy/: no container engine is needed, so what they promise is read from them."""

import configparser
import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from tests.deploy import dockerfile

from qzoom.cli import build_parser
from qzoom.cli.serve import KEY_VARIABLE
from qzoom.serve.limits import Limits
from qzoom.serve.server import LAST_WORDS_S

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted((DEPLOY / "docker").iterdir())
STOP_S = Limits().grace_s + LAST_WORDS_S


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def instructions(request):
    return dockerfile.read(request.param)


@pytest.fixture
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "qzoom"
    ]


@pytest.fixture
def unit():
    # Keys may come again, as in systemd.
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "qzoom.service", encoding="utf-8")
    return parser


def test_there_is_a_file_for_each_kind():
    assert [path.name for path in DOCKERFILES] == ["Dockerfile.cpu", "Dockerfile.cuda"]


def test_the_last_stage_is_built_of_another_and_runs_as_nobody(instructions):
    last = instructions[-1].stage
    assert last >= 1
    assert dockerfile.values(instructions, "USER", last)[-1] == "10001"
    after = instructions[[i.name for i in instructions].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & {i.name for i in after}


def test_images_are_of_a_stated_version_of_the_tested_python(instructions):
    for image in dockerfile.values(instructions, "FROM"):
        assert re.match(r"python:3\.11-[a-z-]+( AS build)?$", image)


def test_everything_is_installed_by_the_tested_script(instructions):
    installs = [run for run in dockerfile.values(instructions, "RUN") if "install.sh" in run]
    assert installs == [
        "python -m venv /opt/qzoom && ./scripts/install.sh /opt/qzoom/bin/python serve"
    ]
    assert not any("pip install" in run for run in dockerfile.values(instructions, "RUN"))
    assert "-c constraints.txt" in (ROOT / "scripts" / "install.sh").read_text(encoding="utf-8")
    assert "./scripts/install.sh" in (ROOT / "scripts" / "bootstrap.sh").read_text(encoding="utf-8")


def test_what_is_copied_exists_and_reaches_the_builder(instructions):
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    let_in = [line[1:] for line in lines if line.startswith("!")]
    copied = []
    for value in dockerfile.values(instructions, "COPY"):
        if not value.startswith("--from="):
            copied += value.split()[:-1]
    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / source).exists() for source in copied)


def test_what_the_package_is_built_of_is_copied(instructions):
    copied = " ".join(dockerfile.values(instructions, "COPY", 0)).split()
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"} <= set(copied)


def test_it_is_started_as_the_command_line_takes_it(instructions):
    (entry,) = dockerfile.values(instructions, "ENTRYPOINT")
    command = json.loads(entry)
    args = build_parser().parse_args(command[1:])
    assert (command[0], args.verb, args.host, args.port) == ("qzoom", "serve", "0.0.0.0", 8000)
    assert args.model is None
    assert dockerfile.values(instructions, "EXPOSE") == ["8000"]


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_check_asks_for_health(instructions, status):
    (check,) = dockerfile.values(instructions, "HEALTHCHECK")
    program, flag, code = json.loads(check.partition("CMD ")[2])
    assert (program, flag) == ("python", "-c")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert "8000" in code
        with pytest.raises(SystemExit) as ended:
            exec(code.replace("8000", str(server.server_port)), {"exit": _exit})
    assert asked == ["/health"]
    assert bool(ended.value.code) == (status != 200)


def _exit(code):
    raise SystemExit(code)


def test_the_root_may_be_read_only(instructions):
    last = instructions[-1].stage
    settings = " ".join(dockerfile.values(instructions, "ENV", last)).split()
    assert {"HF_HOME=/cache", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"} <= set(settings)
    assert dockerfile.values(instructions, "VOLUME") == ["/cache"]


@pytest.mark.parametrize("path", [*DOCKERFILES, DEPLOY / "compose.yaml", DEPLOY / "qzoom.service"])
def test_no_file_holds_a_key(path):
    text = path.read_text(encoding="utf-8")
    for value in re.findall(rf"{KEY_VARIABLE}\s*[=:]\s*(\S+)", text):
        assert value.startswith(("$", "${", "...", "$(")), value
    assert not re.search(r"(?i)(token|secret|password)\s*[=:]", text)


def test_torchvision_is_never_installed():
    files = [*DOCKERFILES, ROOT / "scripts" / "install.sh", ROOT / "constraints.txt"]
    assert not any("torchvision" in path.read_text(encoding="utf-8") for path in files)


def test_compose_runs_it_with_no_more_than_it_needs(compose):
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert compose["security_opt"] == ["no-new-privileges:true"]
    assert compose["tmpfs"] == ["/tmp"]
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    assert "privileged" not in compose
    assert compose["mem_limit"]


def test_compose_needs_a_key_and_names_files_that_exist(compose):
    assert compose["environment"][KEY_VARIABLE].startswith(f"${{{KEY_VARIABLE}:?")
    context = (DEPLOY / compose["build"]["context"]).resolve()
    assert context == ROOT
    assert context / compose["build"]["dockerfile"] in DOCKERFILES


def test_both_wait_for_the_grace_before_they_kill(compose, unit):
    assert int(compose["stop_grace_period"].removesuffix("s")) > STOP_S
    assert int(unit["Service"]["TimeoutStopSec"]) > STOP_S


def test_the_service_is_shut_in(unit):
    service = unit["Service"]
    expected = {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces": "yes",
        "SystemCallFilter": "@system-service",
        "SystemCallArchitectures": "native",
    }
    assert {name: service.get(name) for name in expected} == expected
    assert service["MemoryMax"]
    assert service["EnvironmentFile"] == "/etc/qzoom/environment"


def test_the_service_starts_what_the_command_line_takes(unit):
    program, *arguments = unit["Service"]["ExecStart"].split()
    args = build_parser().parse_args(arguments)
    assert (program, args.verb, args.host) == ("/opt/qzoom/bin/qzoom", "serve", "127.0.0.1")
    assert "HF_HOME=/var/cache/qzoom" in unit["Service"]["Environment"].split()
    assert unit["Service"]["CacheDirectory"] == "qzoom"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path):
    text = (DEPLOY / "qzoom.service").read_text(encoding="utf-8")
    # The program itself is not installed where the tests run.
    there = tmp_path / "qzoom.service"
    there.write_text(text.replace("/opt/qzoom/bin/qzoom", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint")
@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_wrong(path):
    done = subprocess.run(["hadolint", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
