"""The registry against the must-have list of facts/security.md B.9: every route of its table times every attack.

The routes are read from the table in src/registryd/registry.cc, so a new one is attacked as well, or the suite says that it
does not know how.
"""

import os
import pathlib
import re
import socket
import subprocess
import tempfile

import pytest

import berthlab

DIGEST = "sha256:" + "0" * 64
PLACES = {
    "kBase": "/v2/", "kCatalog": "/v2/_catalog", "kDiscover": "/v2/_oci/ext/discover", "kTags": "/v2/a/b/tags/list",
    "kManifest": "/v2/a/b/manifests/v1", "kBlob": f"/v2/a/b/blobs/{DIGEST}", "kUploads": "/v2/a/b/blobs/uploads/",
    "kUpload": "/v2/a/b/blobs/uploads/x", "kReferrers": f"/v2/a/b/referrers/{DIGEST}", "kSearch": "/v2/_berth/search",
    "kModels": "/v2/_berth/models/a/b", "kTagStates": "/v2/_berth/tags/a/b", "kHistory": "/v2/_berth/history/a/b",
    "kUsage": "/v2/_berth/usage", "kRepositoryUsage": "/v2/_berth/usage/a/b", "kCollect": "/v2/_berth/collect",
    "kPrune": "/v2/_berth/prune", "kEvents": "/v2/_berth/events", "kRevive": "/v2/_berth/revive", "kVerify": "/v2/_berth/verify",
}
ROWS = re.findall(r'\{Resource::(\w+), "(\w+)", "\w+", Need::(\w+), \w+\}',
                  (berthlab.ROOT / "src/registryd/registry.cc").read_text())
ROUTES = [pytest.param(method, PLACES[resource], need, id=f"{method} {resource}") for resource, method, need in ROWS]
every_route = pytest.mark.parametrize("method, path, need", ROUTES)
every_named_route = pytest.mark.parametrize("method, path, need", [route for route in ROUTES if "/a/b" in route.values[1]])


@pytest.fixture(scope="module")
def open_one():
    with tempfile.TemporaryDirectory() as folder:
        registry = berthlab.OwnRegistry(pathlib.Path(folder) / "r")
        yield registry
        registry.close()


@pytest.fixture(scope="module")
def guarded():
    with tempfile.TemporaryDirectory() as folder:
        registry = berthlab.OwnRegistry(pathlib.Path(folder) / "r", htpasswd=[("alice", "s3cret-canary"), ("mallory", "m-canary")],
                                        env={"BERTH_REGISTRY_SERVER_RULES": "alice * **; mallory pull other"})
        yield registry
        registry.close()


@pytest.fixture(scope="module")
def limited():
    with tempfile.TemporaryDirectory() as folder:
        registry = berthlab.OwnRegistry(pathlib.Path(folder) / "r", env={"BERTH_REGISTRY_SERVER_REQUESTS_PER_CLIENT": "1"})
        yield registry
        registry.close()


@pytest.fixture(scope="module")
def tokens():
    """A registry whose users are tokens, and a token of each scope."""
    with tempfile.TemporaryDirectory() as folder:
        registry = berthlab.OwnRegistry(pathlib.Path(folder) / "r", env={"BERTH_REGISTRY_SERVER_TOKENS": "true"})
        secrets = {}
        for scope in ("read", "inference", "manage"):
            made = subprocess.run([berthlab.BERTH, "token", "create", "--name", scope, "--scope", scope], check=True, text=True,
                                  stdout=subprocess.PIPE, env={**os.environ, "BERTH_HOME": str(registry.folder / "home")})
            secrets[scope] = re.search(r"berth_[0-9a-f]{64}", made.stdout).group(0)
        yield registry, secrets
        registry.close()


def raw(registry, text):
    """The status of an answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=20) as connection:
        connection.sendall(text.encode())
        answer = b""
        while b"\r\n" not in answer:
            piece = connection.recv(4096)
            if not piece:
                break
            answer += piece
    return int(answer.split()[1]) if answer else None


def test_the_table_was_read():
    assert len(ROWS) >= 22 and {resource for resource, _, _ in ROWS} == set(PLACES)


@every_route
def test_a_foreign_host_is_refused(open_one, method, path, need):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::ffff:8.8.8.8]"):
        assert open_one.request(method, path, headers={"Host": host})[0] == 403, host


@every_route
def test_hosts_that_disagree_are_refused(open_one, method, path, need):
    host = open_one.host
    for head in (f"{method} {path} HTTP/1.1\r\n", f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n",
                 f"{method} http://evil.example{path} HTTP/1.1\r\nHost: {host}\r\n"):
        assert raw(open_one, head + "Connection: close\r\n\r\n") == 400, head
    forwarded = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"
    assert raw(open_one, forwarded) in (400, 403)


@every_route
def test_pages_of_strangers_are_refused(open_one, method, path, need):
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "file://"},
                    {"Origin": "chrome-extension://x"}, {"Sec-Fetch-Site": "cross-site"}):
        status, answer, _ = open_one.request(method, path, headers=headers)
        assert status == 403, headers
        assert "access-control-allow-origin" not in answer


@every_route
def test_heads_are_bounded(open_one, method, path, need):
    head = f"{method} {path} HTTP/1.1\r\nHost: {open_one.host}\r\nX: {'x' * 40_000}\r\n\r\n"
    assert raw(open_one, head) == 431
    smuggled = f"{method} {path} HTTP/1.1\r\nHost: {open_one.host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(open_one, smuggled) == 400


@every_route
def test_nobody_gets_in_without_credentials(guarded, method, path, need):
    status, headers, body = guarded.request(method, path)
    if need == "kFiltered":
        assert status == 200 and b"a/b" not in body
        return
    assert status == 401 and headers["www-authenticate"].startswith("Bearer "), (status, body)
    for wrong in (("alice", "wrong"), ("nobody", "s3cret-canary")):
        assert guarded.request(method, path, user=wrong)[0] == 401
    assert guarded.request(method, path, headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})[0] == 401


@every_route
def test_a_user_without_rights_is_refused(guarded, method, path, need):
    status, _, body = guarded.request(method, path, user=("mallory", "m-canary"))
    assert status == (200 if need in ("kKnown", "kFiltered", "kListing") else 403), (status, body)
    assert b"a/b" not in body or status == 403


@every_route
def test_a_client_that_asks_too_often_is_told_to_wait(limited, method, path, need):
    for _ in range(60):  # a burst of ten, then one a second
        status, headers, body = limited.request(method, path)
        if status == 429:
            break
    assert status == 429 and int(headers["retry-after"]) >= 1
    assert method == "HEAD" or b"TOOMANYREQUESTS" in body
    assert limited.request("GET", "/healthz")[0] == 200


@every_route
def test_a_token_opens_what_its_scope_says(tokens, method, path, need):
    registry, secrets = tokens
    for user in (None, ("read", secrets["manage"]), ("read", "berth_" + "0" * 64)):
        if user or need != "kFiltered":
            assert registry.request(method, path, user=user)[0] == 401, user
    assert registry.request(method, path, user=("inference", secrets["inference"]))[0] == 403
    reading = need in ("kKnown", "kFiltered", "kListing", "kPull")
    assert (registry.request(method, path, user=("read", secrets["read"]))[0] == 403) is not reading
    owning = need == "kOwner"
    assert (registry.request(method, path, headers={"Authorization": f"Bearer {secrets['manage']}"})[0] == 403) is owning


@pytest.mark.parametrize("name", ["../../etc", "a/../../b", "a%2f..%2f..%2fetc", "a\\b", "a%00b", "UPPER", "a//b/../c", "-a", "a" * 300])
@every_named_route
def test_names_are_judged_before_paths_are_made(open_one, method, path, need, name):
    request = f"{method} {path.replace('/a/b', '/' + name)} HTTP/1.1\r\nHost: {open_one.host}\r\nConnection: close\r\n\r\n"
    assert raw(open_one, request) in (400, 404, 405)


def test_nothing_secret_was_logged(guarded):
    assert "canary" not in (guarded.folder / "log").read_text()
