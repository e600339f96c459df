"""`berth registry serve` as a service among others: what probes hear, whose address it believes, what it says when it is kept waiting."""

import hashlib
import http.client
import json
import signal
import subprocess
import time

import pytest

import berthlab


@pytest.fixture
def start(tmp_path):
    started = []

    def make(*args, htpasswd=None, **settings):
        env = {f"BERTH_REGISTRY_SERVER_{name.upper()}": str(value) for name, value in settings.items()}
        started.append(berthlab.OwnRegistry(tmp_path / f"r{len(started)}", *args, htpasswd=htpasswd, env=env))
        return started[-1]

    yield make
    for registry in started:
        registry.close()


def ask(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_balancer_hears_that_it_will_stop_before_it_does(start):
    registry = start(shutdown_delay="10m")
    probe = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=30)
    assert ask(probe, "/readyz") == (200, b"ok\n")
    data = b"under way" * 1000
    place = registry.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    push = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=30)
    push.putrequest("PUT", f"{place}?digest=sha256:{hashlib.sha256(data).hexdigest()}")
    push.putheader("Content-Length", str(len(data)))
    push.endheaders(data[:5000])
    registry.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while ask(probe, "/readyz") != (503, b"draining\n"):  # the same connection, kept
        assert time.monotonic() < deadline
    assert ask(probe, "/healthz") == (200, b"ok\n")
    assert registry.request("GET", "/readyz")[0] == 503
    push.send(data[5000:])
    assert push.getresponse().status == 201
    registry.push_blob("a", b"who comes is still served")
    registry.process.send_signal(signal.SIGTERM)
    assert registry.process.wait(20) == 0


def test_after_the_delay_it_ends_by_itself(start):
    registry = start(shutdown_delay="300ms")
    began = time.monotonic()
    registry.process.send_signal(signal.SIGTERM)
    assert registry.process.wait(20) == 0 and time.monotonic() - began >= 0.3


def test_the_log_and_events_name_the_client_before_the_proxy(start, tmp_path):
    for behind, address in (("127.0.0.0/8", "192.0.2.7"), ("192.0.2.0/24", None)):
        registry = start("--behind-proxy", behind, access_log="true")
        headers = {"X-Forwarded-For": "203.0.113.66, 192.0.2.7", "X-Forwarded-User": "alice"}
        status, answer, _ = registry.request("GET", "/v2/", headers=headers)
        registry.close()  # the log is whole
        line = next(line for line in (registry.folder / "log").read_text().splitlines() if answer["x-request-id"] in line)
        assert status == (200 if address else 403) and line.split()[2] == (address or "127.0.0.1"), line
        assert "203.0.113.66" not in line
