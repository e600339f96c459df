import pathlib
import shutil
import subprocess
import tempfile

import pytest

import berthlab


@pytest.fixture
def folder():
    # Short on purpose: a unix socket's path may have 107 bytes.
    path = pathlib.Path(tempfile.mkdtemp(prefix="berth-"))
    yield path
    subprocess.run(["chmod", "-R", "u+w", str(path)], check=False)
    shutil.rmtree(path)


@pytest.fixture
def berth(folder):
    return berthlab.Berth(folder / "u")


@pytest.fixture
def other(folder):
    """A second user on the same machine."""
    return berthlab.Berth(folder / "o")


@pytest.fixture
def registry(folder):
    (folder / "r").mkdir()
    running = berthlab.Registry(folder / "r")
    yield running
    running.close()


@pytest.fixture
def own_registry(folder):
    """Berth's own."""
    running = berthlab.OwnRegistry(folder / "own")
    yield running
    running.close()


@pytest.fixture
def start_registry(tmp_path):
    """Starts registries of its own, with settings of `[registry_server]`."""
    started = []

    def make(*args, htpasswd=None, **settings):
        env = {f"BERTH_REGISTRY_SERVER_{name.upper()}": str(value) for name, value in settings.items()}
        started.append(berthlab.OwnRegistry(tmp_path / f"r{len(started)}", *args, htpasswd=htpasswd, env=env))
        return started[-1]

    yield make
    for registry in started:
        registry.close()


@pytest.fixture
def private_registry(folder):
    (folder / "p").mkdir()
    running = berthlab.Registry(folder / "p", htpasswd=("alice", "s3cret-canary"))
    yield running
    running.close()


@pytest.fixture
def tls_registry(folder):
    (folder / "t").mkdir()
    running = berthlab.Registry(folder / "t", tls=berthlab.Tls(folder / "t"))
    yield running
    running.close()


@pytest.fixture
def private_tls_registry(folder):
    (folder / "s").mkdir()
    running = berthlab.Registry(folder / "s", htpasswd=("alice", "s3cret-canary"), tls=berthlab.Tls(folder / "s"))
    yield running
    running.close()


@pytest.fixture
def tiny(folder):
    return berthlab.gguf(folder / "tiny.gguf")
