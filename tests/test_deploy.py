"""The files of docs/deploy: each is understood by its program, and each of its commands runs."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from catalog.schema.session import upgrade
from tests.fresh_catalog import fresh_catalog
from tests.postgres_server import start_server
from tests.programs import HANG_S, SETTINGS, ask, wait_until
from tests.test_readme import test_a_call_in_the_readme_is_accepted_by_its_command as accept

DEPLOY = Path(__file__).resolve().parent.parent / "docs" / "deploy"
UNITS = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = ("upgrade", "daemon", "serve")
HOME = "/srv/viewcast"
VIEWCAST = Path(sys.executable).with_name("viewcast")
QUIET = '[site]\nbase_url = "http://127.0.0.1:9"\n[nightly]\nretrain = "never"\n'


def test_there_are_units_to_check():
    assert {path.suffix for path in UNITS} == {".service", ".timer"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_has_nothing_to_say_against_a_unit(unit, tmp_path):
    for path in UNITS:  # a timer is checked together with its service
        text = path.read_text("utf-8").replace(f"{HOME}/.venv/bin/viewcast", str(VIEWCAST))
        (tmp_path / path.name).write_text(text.replace(HOME, str(tmp_path)), "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "viewcast" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_no_exit_code_is_final_to_a_unit(unit):
    text = unit.read_text("utf-8")
    assert "RestartPreventExitStatus" not in text
    assert ("Restart=on-failure" in text) == (unit.suffix == ".service")


@pytest.mark.parametrize("unit", [path for path in UNITS if path.suffix == ".service"])
def test_what_a_unit_starts_is_a_command(unit):
    [call] = re.findall(rf"^ExecStart={HOME}/.venv/bin/viewcast (.+)$", unit.read_text(), re.M)
    accept(call)


def test_the_line_of_the_crontab_does_a_night(tmp_path):
    [line] = [
        line for line in (DEPLOY / "crontab").read_text().splitlines() if not line.startswith("#")
    ]
    minute, hour, *days, command = line.split(maxsplit=5)
    assert (int(minute) < 60, int(hour) < 24, days) == (True, True, ["*", "*", "*"])
    with fresh_catalog(tmp_path / "data"):
        pass
    (tmp_path / SETTINGS).write_text(QUIET, "utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "viewcast").symlink_to(VIEWCAST)

    # As cron does: by sh, with next to nothing in the environment.
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace(HOME, str(tmp_path))],
        env=bare,
        cwd="/",
        check=False,
        timeout=HANG_S,
    )
    # Nothing was ever extracted here, so a part of the night fails.
    assert done.returncode == 4, (tmp_path / "nightly.log").read_text("utf-8")
    nights = ask(tmp_path / "data", "SELECT status FROM run WHERE kind = 'nightly'")
    assert nights == [("partial",)]


def test_the_compose_file_names_what_it_uses():
    assert set(SERVICES) == {"db", *OURS}
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        mounts = {mount.partition(":")[0] for mount in service.get("volumes", [])}
        assert mounts <= set(COMPOSE["volumes"])
    context = DEPLOY / SERVICES["daemon"]["build"]["context"]
    assert (context / SERVICES["daemon"]["build"]["dockerfile"]).is_file()
    assert (context / "pyproject.toml").is_file()
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", OURS)
def test_what_a_container_runs_is_a_command(name):
    accept(shlex.join(SERVICES[name]["command"]))


def test_the_image_has_the_program_as_its_entry():
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    [entry] = [line for line in lines if line.startswith("ENTRYPOINT")]
    assert entry.endswith('"viewcast"]')
    sources = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert sources == [["."]]


@pytest.mark.postgres
def test_each_command_of_the_compose_file_runs_against_a_server(tmp_path):
    (tmp_path / SETTINGS).write_text(QUIET, "utf-8")
    with start_server() as server:
        user = SERVICES["db"]["environment"]["POSTGRES_USER"]
        url = server.create(SERVICES["db"]["environment"]["POSTGRES_DB"])
        server.add_user(user)
        given = {**SERVICES["daemon"]["environment"], "PGPASSWORD": "any"}
        assert given["VIEWCAST_DB"] == f"postgresql://{user}@db/viewcast"
        given |= {"VIEWCAST_DB": url.replace("postgres@", f"{user}@"), "VIEWCAST_DATA": "data"}
        environment = {**os.environ, **given, "OMP_NUM_THREADS": "1"}

        def start(name: str, **changed: str) -> "subprocess.Popen[str]":
            words = [changed.get(word, word) for word in SERVICES[name]["command"]]
            with (tmp_path / f"{name}.txt").open("w") as said:
                return subprocess.Popen(
                    [VIEWCAST, *words],
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                )

        with start("upgrade") as program:
            assert program.wait(timeout=HANG_S) == 0
        upgrade(given["VIEWCAST_DB"])  # which was done, so nothing happens
        with start("daemon") as daemon:
            said = tmp_path / "daemon.txt"
            wait_until(lambda: "nightly is due next" in said.read_text("utf-8"), daemon)
            with start("serve", **{"8420": "0"}) as pages:
                address = pages.stdout.readline().strip().replace("0.0.0.0", "127.0.0.1")
                with httpx.Client(trust_env=False) as client:
                    health = client.get(f"{address}/health").json()
                check = SERVICES["serve"]["healthcheck"]["test"]
                port = address.rpartition(":")[2]
                probe = [sys.executable, *(word.replace("8420", port) for word in check[2:])]
                assert subprocess.run(probe, check=False).returncode == 0
                pages.terminate()
                assert pages.wait(timeout=HANG_S) == 0
            daemon.terminate()
            assert daemon.wait(timeout=HANG_S) == 0
    assert health["running"] is True
    assert {"nightly", "retrain"} <= set(health["jobs"])
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port)), 3)
