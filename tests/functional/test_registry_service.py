"""`berth registry serve` as a service among others: what probes hear, whose address it believes, what it says when it is kept waiting."""

import hashlib
import http.client
import json
import signal
import sqlite3
import time

import berthlab


def ask(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_balancer_hears_that_it_will_stop_before_it_does(start_registry):
    registry = start_registry(shutdown_delay="10m")
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


def test_who_reads_that_it_listens_can_stop_it(start_registry):
    for _ in range(20):
        registry = start_registry()
        registry.process.terminate()
        assert registry.process.wait(20) == 0


def test_after_the_delay_it_ends_by_itself(start_registry):
    registry = start_registry(shutdown_delay="300ms")
    began = time.monotonic()
    registry.process.send_signal(signal.SIGTERM)
    assert registry.process.wait(20) == 0 and time.monotonic() - began >= 0.3


def test_the_log_and_events_name_the_client_before_the_proxy(start_registry, tmp_path):
    for behind, address in (("127.0.0.0/8", "192.0.2.7"), ("192.0.2.0/24", None)):
        registry = start_registry("--behind-proxy", behind, access_log="true")
        headers = {"X-Forwarded-For": "203.0.113.66, 192.0.2.7", "X-Forwarded-User": "alice"}
        status, answer, _ = registry.request("GET", "/v2/", headers=headers)
        registry.close()  # the log is whole
        line = next(line for line in (registry.folder / "log").read_text().splitlines() if answer["x-request-id"] in line)
        assert status == (200 if address else 403) and line.split()[2] == (address or "127.0.0.1"), line
        assert "203.0.113.66" not in line


def test_a_catalogue_that_another_program_locks_is_busy_and_not_the_caller_s_fault(start_registry):
    registry = start_registry()
    held = registry.push_blob("a", b"here")
    other = sqlite3.connect(registry.root / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    digest = berthlab.sha256(b"new")
    status, headers, body = registry.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", b"new")
    assert status == 503 and int(headers["retry-after"]) > 0, body
    error = json.loads(body)["errors"][0]
    assert error["code"] == "UNAVAILABLE" and "locked" in error["message"] and str(registry.root) not in error["message"]
    assert registry.request("GET", f"/v2/a/blobs/{held}")[2] == b"here"
    other.execute("COMMIT")
    other.close()
    assert registry.push_blob("a", b"new") == digest


def test_a_folder_of_a_newer_berth_is_refused_by_what_chooses_it(start_registry, tmp_path, berth):
    registry = start_registry()
    registry.close()
    catalogue = sqlite3.connect(registry.root / "registry.db", isolation_level=None)
    catalogue.execute("PRAGMA user_version = 99")
    catalogue.close()
    done = berth.run("registry", "serve", "--listen", "127.0.0.1:0", "--root", registry.root, ok=False)
    assert done.returncode == 69 and "made by a newer Berth" in done.stderr and "--root" in done.stderr, done.stderr
    assert "BERTH_HOME" not in done.stderr
