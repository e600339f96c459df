"""Tokens of `berth token` as users of `berth registry serve`."""

import os
import re
import subprocess
import time

import pytest

import berthlab


class Registry(berthlab.OwnRegistry):
    def __init__(self, folder, *args, **kwargs):
        super().__init__(folder, *args, env={"BERTH_REGISTRY_SERVER_TOKENS": "true"}, **kwargs)

    def token(self, *args):
        done = subprocess.run([berthlab.BERTH, "token", *args], check=True, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "BERTH_HOME": str(self.folder / "home")})
        return done.stdout

    def create(self, name, scope, *more):
        found = re.search(r"berth_[0-9a-f]{64}", self.token("create", "--name", name, "--scope", scope, *more))
        assert found
        return found.group(0)

    def pull(self, user):
        return self.request("GET", "/v2/team/tiny/tags/list", user=user)[0]


@pytest.fixture
def registry(tmp_path):
    started = Registry(tmp_path / "r")
    yield started
    started.close()


def test_berth_and_skopeo_log_in_with_a_token(registry, tmp_path):
    berth = berthlab.Berth(tmp_path / "u")
    name = f"{registry.host}/team/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), name)
    assert berth.run("push", name, ok=False).returncode == 4
    reads, manages = registry.create("reader", "read"), registry.create("ci", "manage")
    berth.run("login", registry.host, "-u", "reader", "--password-stdin", input=reads)
    refused = berth.run("push", name, ok=False)
    assert refused.returncode == 4 and "reader has no scope to push" in refused.stderr
    berth.run("login", registry.host, "-u", "ci", "--password-stdin", input=manages)
    berth.run("push", name)
    copy = [berthlab.part("skopeo"), "copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{name}",
            f"docker://{registry.host}/team/copy:1"]
    assert subprocess.run([*copy, "--src-creds", f"reader:{reads}", "--dest-creds", f"reader:{reads}"],
                          stderr=subprocess.PIPE).returncode != 0
    subprocess.run([*copy, "--src-creds", f"reader:{reads}", "--dest-creds", f"ci:{manages}"], check=True)
    status, _, body = registry.request("GET", "/v2/team/copy/tags/list", headers={"Authorization": f"Bearer {reads}"})
    assert status == 200 and b'"1"' in body
    assert "berth_" not in (registry.folder / "log").read_text()


def test_a_token_that_is_revoked_opens_nothing(registry):
    secret = registry.create("ci", "manage")
    user = ("ci", secret)
    registry.push_blob("team/tiny", b"x", user=user)
    assert registry.pull(user) in (200, 404)
    token_id = re.search(r"\b[0-9a-f]{12}\b", registry.token("ls")).group(0)
    registry.token("revoke", token_id)
    deadline = time.monotonic() + 10
    while registry.pull(user) != 401:  # the file is looked at once a second
        assert time.monotonic() < deadline
    assert registry.pull(("ci", "berth_" + "0" * 64)) == 401


def test_users_and_tokens_go_together(tmp_path):
    registry = Registry(tmp_path / "r", htpasswd=[("alice", "a-secret")])
    try:
        assert registry.pull(("alice", "a-secret")) == 404
        assert registry.pull(("alice", registry.create("alice", "read"))) == 404
        assert registry.pull(("bob", registry.create("bob", "admin"))) == 404
        assert registry.pull(("alice", registry.create("bob", "admin"))) == 401
        assert registry.pull(("ci", registry.create("ci", "inference"))) == 403
    finally:
        registry.close()


def test_beyond_this_machine_tokens_are_users(tmp_path):
    (tmp_path / "tls").mkdir()
    tls = berthlab.Tls(tmp_path / "tls")
    registry = Registry(tmp_path / "r", tls=tls, address="0.0.0.0")
    try:
        assert registry.pull(("ci", registry.create("ci", "read"))) == 404
        assert registry.request("GET", "/v2/")[0] == 401
    finally:
        registry.close()
