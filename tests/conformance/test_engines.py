"""Docker Model Runner's engine management and the server's own paths: every endpoint, by the table."""

import http.client
import json
import re

import pytest

import berthlab
from table import Row, check, like

JSON, TEXT, SSE = "application/json", "text/plain", "text/event-stream"


def sentence(words):
    return re.compile(r"\A[^\n]*" + re.escape(words) + r"[^\n]*\n\Z")


def ask(model, **more):
    return {"model": model, "messages": [{"role": "user", "content": "a secret-prompt"}], "max_tokens": 1, **more}


ENGINES = [
    Row("each backend has a line that begins with its state", "GET", "/engines/status", 200, JSON,
        {"llama.cpp": re.compile("^Running: llama.cpp .")}),
    Row("what is loaded, as a list", "GET", "/engines/ps", 200, JSON, lambda body: isinstance(json.loads(body), list)),
    Row("disk usage, in bytes", "GET", "/engines/df", 200, JSON,
        {"models_disk_usage": lambda size: size > 400_000, "default_backend_disk_usage": int}),
    Row("unload says how many", "POST", "/engines/unload", 200, JSON, {"unloaded_runners": 0}, send={"models": ["{own}"]},
        given="own_model"),
    Row("unload: no JSON", "POST", "/engines/unload", 400, TEXT, sentence("body"), send="{"),
    Row("unload: wrong types", "POST", "/engines/unload", 400, TEXT, sentence("models"), send={"models": 7}),
    *[Row("configure", "POST", path, 202, None, send={"model": "{own}", "context-size": 512}, given="own_model")
      for path in ("/engines/_configure", "/engines/llama.cpp/_configure")],
    Row("configure: flags are typed", "POST", "/engines/_configure", 202, None,
        send={"model": "{own}", "runtime-flags": ["--threads", "1", "--batch-size=32"], "keep_alive": "1m",
              "llamacpp": {"reasoning-budget": 0}}, given="own_model"),
    Row("configure: an unknown flag is named", "POST", "/engines/_configure", 400, TEXT, sentence("--log-file"),
        send={"model": "ai/tiny:1", "runtime-flags": ["--log-file", "x"]}),
    Row("configure: a flag out of bounds is named", "POST", "/engines/_configure", 400, TEXT, sentence("--threads"),
        send={"model": "ai/tiny:1", "runtime-flags": ["--threads", "-7"]}),
    Row("configure: raw flags are read by the same table", "POST", "/engines/_configure", 400, TEXT, sentence("--model"),
        send={"model": "ai/tiny:1", "raw-runtime-flags": "--model /etc/passwd"}),
    Row("configure: an unknown mode", "POST", "/engines/_configure", 400, TEXT, sentence("mode"),
        send={"model": "ai/tiny:1", "mode": "guessing"}),
    Row("configure: no model", "POST", "/engines/_configure", 400, TEXT, sentence("model"), send={}),
    Row("configure: an unknown backend", "POST", "/engines/nope/_configure", 404, TEXT, sentence("there is no backend"),
        send={"model": "ai/tiny:1"}),
    Row("configurations of what has none", "GET", "/engines/_configure?model={own}", 200, JSON,
        lambda body: json.loads(body) == [], given="own_model"),
    Row("install: an unknown backend", "POST", "/engines/install-backend", 404, TEXT, sentence("nope"),
        send={"backend": "nope"}),
    Row("install: one that Berth has not yet", "POST", "/engines/install-backend", 404, TEXT, sentence("vllm"),
        send={"backend": "vllm"}),
    Row("uninstall: an unknown backend", "POST", "/engines/uninstall-backend", 404, TEXT, sentence("nope"),
        send={"backend": "nope"}),
    Row("prompts are not recorded unless asked for", "GET", "/engines/requests", 404, TEXT,
        sentence("--record-requests")),
]

SERVER = [
    Row("the root says what programs look for", "GET", "/", 200, TEXT, re.compile("^Docker Model Runner is running\n")),
    Row("version", "GET", "/version", 200, JSON, {"version": re.compile(r"^\d+\.\d+"), "product": "berth"},
        answers={"Server": re.compile("^berth/")}),
    Row("health", "GET", "/health", 200, JSON, {"status": "ok"}),
    Row("the log, as text", "GET", "/logs", 200, TEXT, ...),
    Row("… without the engines'", "GET", "/logs?no-engines=true", 200, TEXT, ...),
    Row("metrics in Prometheus' format", "GET", "/metrics", 200, "text/plain; version=0.0.4",
        re.compile("^# TYPE berth_requests", re.M)),
    Row("an unknown path", "GET", "/nowhere", 404, TEXT, sentence("not found")),
    Row("a method that a path has not", "PUT", "/models", 405, TEXT, ..., answers={"Allow": re.compile("GET")}),
]

# Deliberately unlike Docker Model Runner, which checks Origin only: facts/security.md B.9.
GUARD = [
    Row("Host: a stranger's name ends DNS rebinding", "GET", "/models", 403, TEXT, sentence("evil.example"),
        headers={"Host": "evil.example"}),
    Row("Host: localhost", "GET", "/models", 200, JSON, ..., headers={"Host": "localhost:{port}"}),
    Row("Host: any of 127.0.0.0/8", "GET", "/models", 200, JSON, ..., headers={"Host": "127.9.9.9"}),
    Row("Host: [::1]", "GET", "/models", 200, JSON, ..., headers={"Host": "[::1]:{port}"}),
    Row("Origin: a stranger's page", "GET", "/models", 403, TEXT, ..., headers={"Origin": "https://evil.example"}),
    Row("Origin: null", "GET", "/models", 403, TEXT, ..., headers={"Origin": "null"}),
    Row("Origin: this machine, any port; Docker refuses it", "GET", "/models", 200, JSON, ...,
        headers={"Origin": "http://localhost:3000"},
        answers={"Access-Control-Allow-Origin": "http://localhost:3000", "Vary": re.compile("Origin")}),
    Row("a preflight from this machine", "OPTIONS", "/v1/chat/completions", 204, None,
        headers={"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"},
        answers={"Access-Control-Allow-Methods": re.compile("POST")}),
    Row("Sec-Fetch-Site: cross-site", "GET", "/models", 403, TEXT, ..., headers={"Sec-Fetch-Site": "cross-site"}),
    Row("Sec-Fetch-Site: none, a typed address", "GET", "/models", 200, JSON, ..., headers={"Sec-Fetch-Site": "none"}),
    *[Row("Content-Type: what a form may send", "POST", "/models/create", 415, TEXT, ..., send="{}",
          headers={"Content-Type": type})
      for type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")],
    Row("Content-Type: none, as stock clients do", "POST", "/models/create", 400, TEXT, sentence('"from"'), send="{}"),
    Row("a DELETE of a stranger's page", "DELETE", "/models/purge", 403, TEXT, ...,
        headers={"Origin": "https://evil.example"}),
]


@pytest.mark.parametrize("row", ENGINES + SERVER + GUARD, ids=str)
def test_table(row, world):
    check(row, world, world.daemon)


def test_ps_names_what_runs_and_unload_ends_it(world):
    world.daemon.json("POST", "/v1/chat/completions", ask("ai/tiny:1"))
    like([{"backend_name": "llama.cpp", "model_name": re.compile("tiny"), "mode": str, "last_used": str,
           "in_use": bool, "loading": bool, "keep_alive": ...}], world.daemon.json("GET", "/engines/ps"))
    assert world.daemon.json("POST", "/engines/unload", {"all": True})["unloaded_runners"] >= 1
    assert world.daemon.json("GET", "/engines/ps") == []


def test_configurations_are_listed_with_capital_keys(world):
    world.own_model()
    own = world.words["own"]
    body = {"model": own, "context-size": 512, "runtime-flags": ["--threads", "1"]}
    assert world.daemon.request("POST", "/engines/_configure", body)[0] == 202
    listed = world.daemon.json("GET", f"/engines/_configure?model={own}")
    like([{"Backend": "llama.cpp", "Model": re.compile("own-"), "ModelID": world.words["own_id"], "Mode": "completion",
           "Config": {"context-size": 512, "runtime-flags": ["--threads", "1"].__eq__}}], listed)


def test_a_busy_model_is_not_configured_and_not_unloaded(world):
    connection = http.client.HTTPConnection("127.0.0.1", world.daemon.port, timeout=60)
    connection.request("POST", "/v1/chat/completions",
                       json.dumps(ask("ai/tiny:1", stream=True, ignore_eos=True) | {"max_tokens": 100000}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.read(10)
    assert world.daemon.request("POST", "/engines/_configure", {"model": "ai/tiny:1", "context-size": 512})[0] == 409
    assert world.daemon.json("POST", "/engines/unload", {"models": ["ai/tiny:1"]}) == {"unloaded_runners": 0}
    answer.close()
    connection.close()
    berthlab.until(lambda: not any(m["in_use"] for m in world.daemon.json("GET", "/engines/ps")), "the answer to end")


def test_requests_are_recorded_when_asked_for(folder, world):
    user = berthlab.Berth(folder / "u", engine=berthlab.PARTS / "engine")
    user.run("package", "--gguf", world.file, "ai/tiny:1")
    daemon = berthlab.Daemon(user, "--record-requests")
    try:
        daemon.json("POST", "/v1/chat/completions", ask("ai/tiny:1"), {"X-Request-Origin": "conformance"})
        like([{"count": 1, "model": re.compile("tiny"), "config": ...,
               "records": [{"id": str, "model": re.compile("tiny"), "method": "POST", "url": re.compile("chat/completions"),
                            "request": re.compile("secret-prompt"), "response": re.compile("choices"), "error": ...,
                            "timestamp": ..., "status_code": 200, "user_agent": str, "origin": ...}]}],
             daemon.json("GET", "/engines/requests?model=ai/tiny:1"))
        assert daemon.json("GET", "/engines/requests?model=ai/none") == []
        _follow(daemon)
    finally:
        daemon.close()


def _follow(daemon):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("GET", "/engines/requests?include_existing=true", headers={"Accept": SSE})
    answer = connection.getresponse()
    assert answer.getheader("Content-Type").startswith(SSE)
    seen = b""
    while b"existing_request" not in seen:
        piece = answer.read1(4096)
        assert piece, seen
        seen += piece
    assert b"event: connected" in seen
    answer.close()
    connection.close()


def test_no_prompt_is_in_the_logs_or_on_disk(world):
    world.daemon.json("POST", "/v1/chat/completions", ask("ai/tiny:1"))
    assert b"secret-prompt" not in world.daemon.request("GET", "/logs")[2]
    for path in world.berth.home.rglob("*"):
        if path.is_file() and "blobs" not in path.parts:
            assert b"secret-prompt" not in path.read_bytes(), path
