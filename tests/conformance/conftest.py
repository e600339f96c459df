"""One world for the tables: a registry, a private one, a user with a model and the daemon that serves it.

Rows must not see each other: what a row changes has a name of its own (`own_model`).
"""

import itertools
import json
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import berthlab

ENGINE = berthlab.PARTS / "engine"


class World:
    """What the rows' {words} stand for, and the parts behind them."""

    def __init__(self, folder):
        self.folder = folder
        self.berth = berthlab.Berth(folder / "u", engine=ENGINE)
        self.registry = self._registry("r")
        self.private = self._registry("p", htpasswd=("alice", "s3cret-canary"))
        self.count = itertools.count(1000)
        self.file = berthlab.gguf(folder / "tiny.gguf")
        self.berth.run("package", "--gguf", self.file, "ai/tiny:1")
        self.berth.run("tag", "ai/tiny:1", "ai/tiny:latest")
        self.berth.run("tag", "ai/tiny:1", "registry.example/team/other:v1")
        self.berth.run("tag", "ai/tiny:1", f"{self.private.host}/ai/tiny:1")
        self.berth.run("tag", "ai/tiny:1", f"{self.registry.host}/ai/tiny:1")
        self.berth.run("push", f"{self.registry.host}/ai/tiny:1")
        self._push_what_is_no_model()
        self.daemon = berthlab.Daemon(self.berth)
        id = self.berth.json("inspect", "ai/tiny:1")["id"]
        self.words = {
            "id": id, "hex": id[7:], "short": id[7:19], "port": self.daemon.port,
            "registry": self.registry.host, "private": self.private.host,
        }

    def _registry(self, name, **kwargs):
        (self.folder / name).mkdir()
        return berthlab.Registry(self.folder / name, **kwargs)

    def _push_what_is_no_model(self):
        (self.folder / "hello.txt").write_text("hello\n")
        subprocess.run([berthlab.part("oras"), "push", "--plain-http", f"{self.registry.host}/ai/text:1", "hello.txt"],
                       check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def fill(self, text):
        for word, value in self.words.items():
            text = text.replace("{" + word + "}", str(value))
        return text

    def own_model(self):
        """A model that nobody else's row knows; its name and id are the words {own} and {own_id}."""
        seed = next(self.count)
        file = berthlab.gguf(self.folder / f"{seed}.gguf", seed=seed, embedding=16, layers=1)
        self.words["own"] = f"ai/own-{seed}:1"
        self.berth.run("package", "--gguf", file, self.words["own"])
        self.words["own_id"] = self.berth.json("inspect", self.words["own"])["id"]

    def _configured(self, mode, pooling):
        """The model names no pooling of its own, as one that is made for embeddings does."""
        self.own_model()
        body = {"model": self.words["own"], "mode": mode, "runtime-flags": ["--pooling", pooling]}
        status, _, answer = self.daemon.request("POST", "/engines/_configure", body)
        assert status == 202, answer

    def own_model_for_embeddings(self):
        self._configured("embedding", "mean")

    def own_model_for_ranking(self):
        self._configured("reranking", "rank")

    def own_model_only_in_the_registry(self):
        self.own_model()
        here, there = self.words["own"], f"{self.registry.host}/{self.words['own']}"
        self.berth.run("tag", here, there)
        self.berth.run("push", there)
        self.berth.run("rm", here, there)

    def tar_of_own_model(self):
        self.own_model()
        tar = self.folder / "own.tar"
        self.berth.run("export", self.words["own"], "-o", tar)
        self.berth.run("rm", self.words["own"])
        self.words["tar"] = tar

    def own_model_with_two_tags(self):
        self.own_model()
        self.words["second"] = self.words["own"].replace("own-", "second-")
        self.berth.run("tag", self.words["own"], self.words["second"])

    def close(self):
        below = berthlab.children_of(self.daemon.process.pid)
        self.daemon.close()
        self.registry.close()
        self.private.close()
        berthlab.until(lambda: not [p for p in below if pathlib.Path(f"/proc/{p}").exists()], "the engines to end")


@pytest.fixture(scope="session")
def world():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-"))
    made = World(folder)
    yield made
    made.close()
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
    shutil.rmtree(folder)


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="berth-"))
    yield path
    subprocess.run(["chmod", "-R", "u+w", str(path)], check=False)
    shutil.rmtree(path)
