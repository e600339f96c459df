"""The stock `docker model` client against `berth serve`, unmodified, bare and as a plugin of docker's client."""

import os
import pathlib
import subprocess

import pytest

import berthlab

STOCK = pathlib.Path(os.environ.get("DOCKER_MODEL_STOCK", berthlab.ROOT.parent / "shared/tools/docker-model-stock"))
pytestmark = pytest.mark.skipif(not STOCK.exists(), reason="no stock client: set DOCKER_MODEL_STOCK")


@pytest.fixture
def user(folder):
    return berthlab.Berth(folder / "u", engine=berthlab.PARTS / "engine")


@pytest.fixture
def daemon(user):
    running = berthlab.Daemon(user, "--record-requests")
    yield running
    running.close()


@pytest.fixture(params=["bare", "plugin"])
def stock(request, user, daemon, folder):
    environment = {"MODEL_RUNNER_HOST": daemon.url, "HOME": str(user.home), "PATH": os.environ["PATH"],
                   "DOCKER_CONFIG": str(user.docker_config), "NO_COLOR": "1"}
    if request.param == "bare":
        program = [str(STOCK)]
    else:
        plugins = user.docker_config / "cli-plugins"
        plugins.mkdir()
        (plugins / "docker-model").symlink_to(STOCK)
        program = [berthlab.part("docker"), "model"]

    def call(*args, ok=True, input=""):
        done = subprocess.run([*program, *map(str, args)], env=environment, input=input, text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert not ok or done.returncode == 0, f"{args}: {done.stdout}"
        return done.stdout

    return call


def test_every_command(stock, user, daemon, registry, tiny, folder):
    assert "running" in stock("status")
    assert "Server" in stock("version")
    reference = f"{registry.host}/ai/tiny:1"
    stock("package", "--gguf", tiny, reference)
    assert "tiny" in stock("ls")
    assert reference in stock("inspect", reference)
    assert "llama" in stock("show", reference)
    assert "tagged successfully" in stock("tag", reference, "ai/tiny:2")
    assert "pushed successfully" in stock("push", reference)
    assert "Untagged" in stock("rm", reference)
    stock("rm", "ai/tiny:2")
    assert "pulled successfully" in stock("pull", reference)
    stock("run", reference, "hello")
    assert "tiny" in stock("ps")
    assert "Models" in stock("df")
    stock("configure", "--context-size", "1024", reference)
    assert "1024" in stock("configure", "show", reference)
    assert "hello" in stock("requests")
    stock("run", reference, "again")
    assert "Unloaded" in stock("unload", "--all")
    smaller = f"{registry.host}/ai/tiny:small"
    stock("package", "--from", reference, "--context-size", "256", smaller)
    assert "256" in stock("ls")
    stock("logs")
    stock("rm", "-f", reference, smaller)
    stock("purge", "-f")
    assert user.json("list", "--json") == []
