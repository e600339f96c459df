"""What one client may take of `berth registry serve`, and that clients wait when they are told to."""

import hashlib
import socket
import subprocess
import time

import berthlab


def drain(registry, path="/v2/", **kwargs):
    """Asks until it is refused."""
    for count in range(2000):
        status, headers, body = registry.request("GET", path, **kwargs)
        if status == 429:
            assert headers["retry-after"] == "1" and b"TOOMANYREQUESTS" in body
            return count
        assert status == 200
    raise AssertionError("it was never refused")


def test_a_client_over_its_rate_is_told_to_wait_and_its_health_is_not(start_registry):
    registry = start_registry(requests_per_client=2)
    assert drain(registry) >= 20
    for path in ("/healthz", "/readyz", "/metrics"):
        for _ in range(30):
            assert registry.request("GET", path)[0] == 200
    assert registry.request("GET", "/")[0] == 429  # the page as well


def test_berth_skopeo_and_oras_wait_when_they_are_told_to(start_registry, tmp_path):
    registry = start_registry(requests_per_client=3)
    berth = berthlab.Berth(tmp_path / "u")
    name = f"{registry.host}/team/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), name)
    drain(registry)
    berth.run("push", name)
    drain(registry)
    skopeo = [berthlab.part("skopeo"), "copy", "--dest-tls-verify=false", "--src-tls-verify=false",
              f"docker://{name}", f"docker://{registry.host}/team/copy:1"]
    subprocess.run(skopeo, check=True, timeout=100)
    drain(registry)
    subprocess.run([berthlab.part("oras"), "cp", "--from-plain-http", "--to-plain-http", name, f"{registry.host}/team/copy:2"],
                   check=True, timeout=100)
    for tag in (1, 2):
        assert wait_until_served(registry, f"/v2/team/copy/manifests/{tag}")[0] == 200


def wait_until_served(registry, path):
    deadline = time.monotonic() + 20
    while True:
        answer = registry.request("GET", path, headers={"Accept": "*/*"})
        if answer[0] != 429 or time.monotonic() > deadline:
            return answer


def test_a_user_counts_by_name_behind_the_same_proxy(start_registry):
    registry = start_registry("--behind-proxy", "127.0.0.0/8", requests_per_client=2)
    first = {"X-Forwarded-For": "203.0.113.9, 192.0.2.1"}
    drain(registry, headers=first)
    assert registry.request("GET", "/v2/", headers={"X-Forwarded-For": "192.0.2.2"})[0] == 200
    assert registry.request("GET", "/v2/", headers={**first, "X-Forwarded-User": "alice"})[0] == 200
    # What the caller wrote itself before its proxy's word changes nothing.
    assert registry.request("GET", "/v2/", headers={"X-Forwarded-For": "198.51.100.1, 192.0.2.1"})[0] == 429


def test_one_address_does_not_take_all_connections(start_registry):
    registry = start_registry(connections=40, connections_per_client=5)
    held = [socket.create_connection(("127.0.0.1", registry.port), timeout=20) for _ in range(5)]
    for connection in held:  # in use, so that they are counted
        connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {registry.host}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    status, headers, body = registry.request("GET", "/v2/")
    assert status == 429 and headers["retry-after"] == "1" and b"TOOMANYREQUESTS" in body
    assert registry.request("GET", "/healthz")[0] == 200
    held.pop().close()
    deadline = time.monotonic() + 20
    while registry.request("GET", "/v2/")[0] != 200:
        assert time.monotonic() < deadline
    # Idle ones beyond those few that are told so are closed at once and take no place.
    crowd = [socket.create_connection(("127.0.0.1", registry.port), timeout=20) for _ in range(100)]
    for connection in crowd[50:]:
        assert connection.recv(1) == b""
    for connection in (*held, *crowd):
        connection.close()


def test_uploads_in_progress_are_bounded_and_what_began_goes_on(start_registry):
    registry = start_registry(uploads_per_client=3, htpasswd=[("alice", "a-secret"), ("bob", "b-secret")])
    alice, bob = ("alice", "a-secret"), ("bob", "b-secret")
    begun = [registry.request("POST", "/v2/a/b/blobs/uploads/", user=alice) for _ in range(3)]
    assert [status for status, _, _ in begun] == [202] * 3
    status, headers, body = registry.request("POST", "/v2/a/b/blobs/uploads/", user=alice)
    assert status == 429 and int(headers["retry-after"]) > 0 and b"TOOMANYREQUESTS" in body
    assert registry.request("POST", "/v2/a/b/blobs/uploads/", user=bob)[0] == 202
    digest = "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert registry.request("PUT", f"{begun[0][1]['location']}?digest={digest}", b"hello", user=alice)[0] == 201
    assert registry.request("POST", "/v2/a/b/blobs/uploads/", user=alice)[0] == 202


def test_beside_the_api_one_address_does_not_take_all_connections_either(berth):
    daemon = berthlab.Daemon(berth, "--registry", env={"BERTH_SERVER_CONNECTIONS": "40", "BERTH_REGISTRY_SERVER_CONNECTIONS_PER_CLIENT": "5"})
    try:
        held = [socket.create_connection(("127.0.0.1", daemon.port), timeout=20) for _ in range(5)]
        for connection in held:
            connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        status, headers, body = daemon.request("GET", "/v2/")
        assert status == 429 and headers["retry-after"] == "1" and b"TOOMANYREQUESTS" in body
        assert daemon.request("GET", "/models")[0] == 429
        assert berth.run("status").returncode == 0  # the socket is not counted
        held.pop().close()
        deadline = time.monotonic() + 20
        while daemon.request("GET", "/models")[0] != 200:
            assert time.monotonic() < deadline
        for connection in held:
            connection.close()
    finally:
        daemon.close()
