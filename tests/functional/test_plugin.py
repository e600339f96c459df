"""Berth as the docker CLI plugin, with Debian's docker client and no docker daemon."""

import os
import subprocess

import pytest

import berthlab


@pytest.fixture
def docker(folder):
    user = berthlab.Berth(folder / "u", engine=berthlab.PARTS / "engine")
    user.run("plugin", "install")

    def call(*args, ok=True):
        done = subprocess.run([berthlab.part("docker"), "model", *map(str, args)], env=user.env, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert not ok or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done

    call.user = user
    return call


def test_docker_model_does_the_main_job(docker, registry):
    reference = f"{registry.host}/ai/smollm2:q4"
    docker("package", "--gguf", berthlab.SMOLLM2, reference)
    docker("push", reference)
    docker("rm", reference)
    docker("pull", reference)
    docker("tag", reference, "ai/smollm2:mine")
    assert "smollm2:mine" in docker("ls").stdout
    assert "Paris" in docker("run", "--temp", "0", "--max-tokens", "48", "--system", "You are a helpful assistant.", "ai/smollm2:mine", "What is the capital of France?").stdout


def test_its_metadata(docker):
    plugin = docker.user.docker_config / "cli-plugins/docker-model"
    assert plugin.is_symlink()
    metadata = subprocess.run([plugin, "docker-cli-plugin-metadata"], env=docker.user.env, check=True, stdout=subprocess.PIPE).stdout
    assert b'"SchemaVersion"' in metadata and b'"0.1.0"' in metadata
    assert "pull" in docker("--help").stdout


def test_errors_keep_their_status(docker):
    assert docker("inspect", "ai/none", ok=False).returncode == 3
    assert docker("pul", "x", ok=False).returncode == 2
