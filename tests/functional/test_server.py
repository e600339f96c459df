"""The server's life as its user sees it: start, status, restart, compose, logs, stop, names that go while they run."""

import json
import re
import signal
import time

import pytest

import berthlab

ENGINE = berthlab.PARTS / "engine"


@pytest.fixture
def user(folder):
    return berthlab.Berth(folder / "u", engine=ENGINE)


@pytest.fixture
def background(user):
    """start-runner is called by the test; whatever it left is stopped."""
    yield user
    user.run("stop-runner")


@pytest.fixture
def daemon(user):
    running = berthlab.Daemon(user)
    yield running
    running.close()


@pytest.fixture
def tiny_model(user, tiny):
    user.run("package", "--gguf", tiny, "ai/tiny:1")
    return "ai/tiny:1"


def tcp_of(text):
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    assert found, text
    return found.group(0)


def test_every_address_is_told_and_compose_finds_tcp(background, tiny):
    berth = background
    started = berth.run("start-runner", "--listen", "127.0.0.1:0").stdout
    url = tcp_of(started)
    assert ".sock and http" in started
    assert url in berth.run("status").stdout
    status = berth.json("status", "--json")
    assert len(status["endpoints"]) == 2 and url in status["endpoints"]
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    lines = [json.loads(line) for line in berth.run("compose", "up", "--model", "ai/tiny:1").stdout.splitlines()]
    assert {"type": "setenv", "message": f"URL={url}/engines/v1/"} in lines
    assert "Server:" in berth.run("version").stdout


def test_restart_keeps_the_flags(background):
    berth = background
    port = tcp_of(berth.run("start-runner", "--listen", "127.0.0.1:0", "--record-requests").stdout).rsplit(":", 1)[1]
    # A port that was free a moment ago, given as a number: the restarted server must take this one.
    berth.run("stop-runner")
    berth.run("start-runner", "--port", port, "--record-requests")
    again = berth.run("restart-runner", "--log-level", "info").stdout
    assert f":{port} " in again, again
    assert berth.json("requests") == []
    berth.run("restart-runner", "--record-requests=false")
    refused = berth.run("requests", ok=False)
    assert refused.returncode == 3 and "not recorded" in refused.stderr


def test_version_says_nothing_of_a_server_that_is_not_there(user):
    assert "Server" not in user.run("version").stdout
    asked = user.run("version", "--server")
    assert "(not reachable)" in asked.stdout and "berth serve" in asked.stderr


def test_logs_without_the_engines(user, tiny_model, daemon):
    daemon.json("POST", "/v1/chat/completions", {"model": tiny_model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
    everything = user.run("logs").stdout.splitlines()
    engines = [line for line in everything if line.startswith("[tiny:1]")]
    server = user.run("logs", "--no-engines").stdout.splitlines()
    assert engines, everything
    assert any("listening on" in line for line in server), server
    assert all(line.startswith("[berth] ") for line in server), server


def test_streams_that_follow_end_with_the_server(user):
    daemon = berthlab.Daemon(user, "--record-requests")
    following = [user.start("logs", "-f"), user.start("requests", "-f")]
    assert "listening on" in following[0].stdout.readline()
    assert "connected" in following[1].stdout.readline()
    begin = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.wait(20)
    took = time.monotonic() - begin
    for stream in following:
        stream.communicate(timeout=20)
        assert stream.returncode == 0
    daemon.close()
    assert took < 5, f"it waited {took:.1f} s for streams that never end (the drain is 10 s)"


def test_a_running_model_goes_by_a_name_that_it_still_has(user, tiny_model, daemon):
    user.run("tag", tiny_model, "ai/other:1")
    daemon.json("POST", "/v1/chat/completions", {"model": tiny_model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
    assert [one["model_name"] for one in user.json("ps", "--json")] == ["tiny:1"]
    user.run("rm", tiny_model)
    assert [one["model_name"] for one in user.json("ps", "--json")] == ["other:1"]
    # Who still knows it by the removed name may stop it by that.
    assert user.run("unload", "tiny:1").stdout.strip() == "Unloaded 1 model(s)."
    assert user.json("ps", "--json") == []
