"""`berth run` and `berth serve` with a real llama.cpp engine in its sandbox."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import berthlab

ENGINE = berthlab.PARTS / "engine"
# Without a system prompt this model, greedy, answers in French about the Marseillaise, in the bare engine as well.
SYSTEM = "You are a helpful assistant."


@pytest.fixture
def user(folder):
    return berthlab.Berth(folder / "u", engine=ENGINE)


@pytest.fixture
def daemon(user):
    running = berthlab.Daemon(user)
    yield running
    below = berthlab.children_of(running.process.pid)
    running.close()
    berthlab.until(lambda: not [p for p in below if os.path.exists(f"/proc/{p}")], "the daemon's children to end")


@pytest.fixture
def smollm2(user):
    assert berthlab.SMOLLM2.exists(), "run tools/parts model"
    user.run("package", "--gguf", berthlab.SMOLLM2, "ai/smollm2:q4")
    return "ai/smollm2:q4"


@pytest.fixture
def tiny_model(user, tiny):
    user.run("package", "--gguf", tiny, "ai/tiny:1")
    return "ai/tiny:1"


def ask(model, text="x", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def test_a_real_model_knows_the_capital_of_france(user, smollm2):
    answer = user.run("run", "--temp", "0", "--max-tokens", "48", "--system", SYSTEM, smollm2, "What is the capital of France?")
    assert "Paris" in answer.stdout
    assert user.run("ps", "--json").stdout.strip() == "[]"


def test_run_takes_the_prompt_from_a_pipe_and_tells_times(user, smollm2):
    answer = user.run("run", "--verbose", "--temp", "0", "--max-tokens", "8", smollm2, input="Say hello.\n")
    assert answer.stdout.strip()
    assert "tokens/s" in answer.stderr
    assert "CPU" in answer.stderr


def test_json_schema_shapes_the_answer(user, smollm2, folder):
    schema = folder / "schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}},
                                  "required": ["city"], "additionalProperties": False}))
    answer = user.run("run", "--temp", "0", "--max-tokens", "60", "--json-schema", schema, smollm2, "The capital of France?")
    assert set(json.loads(answer.stdout)) == {"city"}


def test_the_sandbox_shows_the_engine_nothing_but_the_model(user, tiny_model, daemon):
    daemon.json("POST", "/engines/v1/chat/completions", ask(tiny_model, max_tokens=1))
    engines = [p for p in berthlab.children_of(daemon.process.pid)
               if b"llama-server" in open(f"/proc/{p}/cmdline", "rb").read().split(b"\0")[0]]
    assert engines
    pid = engines[0]
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    status = open(f"/proc/{pid}/status").read()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    environment = open(f"/proc/{pid}/environ", "rb").read()
    assert b"BERTH" not in environment and str(user.home).encode() not in environment
    mounts = open(f"/proc/{pid}/mountinfo").read()
    assert " / /root " not in mounts
    model_mounts = [line for line in mounts.splitlines() if " /models" in line]
    assert model_mounts and all(" ro," in line or " ro " in line for line in model_mounts)


def test_chat_completion_stream_and_models(user, tiny_model, daemon):
    answer = daemon.json("POST", "/engines/v1/chat/completions", ask(tiny_model, max_tokens=4))
    assert answer["object"] == "chat.completion" and answer["model"] == tiny_model
    status, headers, body = daemon.request("POST", "/v1/chat/completions", ask(tiny_model, max_tokens=4, stream=True))
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert body.strip().endswith(b"data: [DONE]")
    models = daemon.json("GET", "/engines/v1/models")
    assert models["object"] == "list" and [m["id"] for m in models["data"]] == ["docker.io/ai/tiny:1"]
    running = daemon.json("GET", "/engines/ps")
    assert running[0]["backend_name"] == "llama.cpp"


def test_a_missing_model_is_an_openai_error(daemon):
    error = daemon.json("POST", "/engines/v1/chat/completions", ask("ai/none"), status=404)
    assert "berth pull ai/none" in error["error"]["message"]


def test_a_stream_that_the_client_leaves_stops_generating(user, tiny_model, daemon):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(ask(tiny_model, stream=True, ignore_eos=True, max_tokens=100000)),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.read(10)
    answer.close()
    connection.close()
    berthlab.until(lambda: not daemon.json("GET", "/engines/ps")[0]["in_use"], "the request to end")
    busy = lambda: [s for s in _metrics(daemon).splitlines() if s.startswith("llamacpp:requests_processing")]
    berthlab.until(lambda: all(line.rstrip().endswith(" 0") for line in busy()), "the engine to be idle")


def _metrics(daemon):
    return daemon.request("GET", "/metrics")[2].decode()


def test_500_pairs_of_a_stream_and_a_plain_answer(user, tiny_model, daemon):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    for number in range(500):
        for stream in (True, False):
            connection.request("POST", "/v1/chat/completions", json.dumps(ask(tiny_model, max_tokens=2, stream=stream)),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200 and body, (number, stream, answer.status, body)
    connection.close()


def test_an_engine_killed_in_the_middle_is_reported_and_comes_back(user, tiny_model, daemon):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(ask(tiny_model, stream=True, ignore_eos=True, max_tokens=100000)),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.read(10)
    for pid in berthlab.children_of(daemon.process.pid):
        # A helper of the sandbox may be gone by now.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"llama-server" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")[0]:
                os.kill(pid, signal.SIGKILL)
    rest = answer.read()
    assert b'"error"' in rest, rest[-500:]
    connection.close()

    def again():
        status, _, _ = daemon.request("POST", "/v1/chat/completions", ask(tiny_model, max_tokens=1))
        return status == 200

    berthlab.until(again, "the engine to come back", 60)


def test_single_flight(user, tiny_model, daemon):
    results = []

    def one():
        results.append(daemon.request("POST", "/v1/chat/completions", ask(tiny_model, max_tokens=1))[0])

    threads = [threading.Thread(target=one) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert results == [200] * 8
    assert len(daemon.json("GET", "/engines/ps")) == 1


def test_configure_is_kept_over_a_restart(user, tiny_model):
    first = berthlab.Daemon(user)
    body = {"model": tiny_model, "context-size": 512, "runtime-flags": ["--threads", "1"]}
    assert first.request("POST", "/engines/_configure", body)[0] == 202
    bad = first.request("POST", "/engines/_configure", {"model": tiny_model, "runtime-flags": ["--log-file", "/tmp/x"]})
    assert bad[0] == 400 and b"--log-file" in bad[2]
    first.close()
    second = berthlab.Daemon(user)
    try:
        kept = second.json("GET", "/engines/_configure?model=ai/tiny:1")
        assert kept[0]["Config"]["context-size"] == 512
    finally:
        second.close()


def test_a_draft_model_drafts(user, smollm2, daemon):
    """SmolLM2 is its own draft: what it drafts is what it would have said."""
    absent = user.run("configure", "--speculative-draft-model", "ai/absent:1", smollm2, ok=False)
    assert absent.returncode == 3 and "draft model ai/absent:1" in absent.stderr
    lonely = user.run("configure", "--speculative-num-tokens", "4", smollm2, ok=False)
    assert lonely.returncode == 2 and "--speculative-draft-model" in lonely.stderr

    body = ask(smollm2, "Count from 1 to 10.", max_tokens=10)
    plain = daemon.json("POST", "/v1/chat/completions", body)
    user.run("configure", "--speculative-draft-model", smollm2, "--speculative-num-tokens", "6",
             "--speculative-min-acceptance-rate", "0.4", smollm2, "--", "--threads", "1", "--spec-draft-threads", "1")
    drafted = daemon.json("POST", "/v1/chat/completions", body)
    assert drafted["timings"]["draft_n_accepted"] > 0
    assert drafted["choices"][0]["message"] == plain["choices"][0]["message"]
    command = "\0".join(open(f"/proc/{p}/cmdline").read() for p in berthlab.children_of(daemon.process.pid))
    assert f"--model-draft\0/models/draft/{berthlab.SMOLLM2.name}" in command
    assert "--spec-draft-n-max\x006" in command and "--spec-draft-p-min\x000.4" in command
    shown = user.json("configure", "show", smollm2)
    assert shown[0]["Config"]["speculative"] == {"draft_model": smollm2, "num_tokens": 6, "min_acceptance_rate": 0.4}


def test_a_running_model_is_not_removed(user, tiny_model, daemon):
    daemon.json("POST", "/v1/chat/completions", ask(tiny_model, max_tokens=1))
    refused = user.run("rm", tiny_model, ok=False)
    assert refused.returncode == 7 and "running" in refused.stderr
    assert user.run("unload", tiny_model).stdout.strip() == "Unloaded 1 model(s)."
    user.run("rm", tiny_model)


def test_a_model_that_cannot_fit_is_refused_with_numbers(folder, tiny):
    user = berthlab.Berth(folder / "small", engine=ENGINE)
    user.run("package", "--gguf", tiny, "ai/tiny:1")
    daemon = berthlab.Daemon(user, env={"BERTH_ENGINE_MEMORY": "1MB"})
    try:
        status, _, body = daemon.request("POST", "/v1/chat/completions", ask("ai/tiny:1", max_tokens=1))
        assert status == 507, body
        assert b"MB" in body
    finally:
        daemon.close()


def test_browsers_of_strangers_are_turned_away(daemon):
    assert daemon.request("GET", "/models", headers={"Host": "evil.example"})[0] == 403
    assert daemon.request("GET", "/models", headers={"Origin": "https://evil.example"})[0] == 403
    assert daemon.request("GET", "/models", headers={"Origin": "http://localhost:3000"})[0] == 200
    assert daemon.request("POST", "/models/create", '{"from":"x"}', {"Content-Type": "text/plain"})[0] == 415


def test_beyond_loopback_needs_more(user):
    refused = user.run("serve", "--listen", "0.0.0.0:0", ok=False, timeout=20)
    assert refused.returncode == 2
    assert "TLS" in refused.stderr and "--insecure" in refused.stderr


def test_tokens(user, tiny_model):
    token = user.run("token", "create", "--name", "ci").stdout.strip().splitlines()[-1].split()[-1]
    daemon = berthlab.Daemon(user, "--require-token")
    try:
        assert daemon.request("GET", "/models")[0] == 401
        assert daemon.request("GET", "/models", headers={"Authorization": f"Bearer {token}"})[0] == 200
        assert daemon.request("GET", "/models", headers={"Authorization": f"Bearer {token}x"})[0] == 401
    finally:
        daemon.close()


def test_a_token_limits_its_holder_on_loopback_too(user, tiny_model, daemon):
    made = user.run("token", "create", "--name", "reader", "--scope", "read").stdout.split()
    token = next(word for word in made if word.startswith("berth_"))
    reader = {"Authorization": f"Bearer {token}"}
    assert daemon.request("GET", "/models", headers=reader)[0] == 200
    assert daemon.request("DELETE", f"/models/{tiny_model}", headers=reader)[0] == 403
    assert daemon.request("GET", "/models", headers={"Authorization": "Bearer sk-dummy"})[0] == 200


def test_one_request_may_use_the_whole_context(user, smollm2):
    answer = user.run("run", "--verbose", "--ctx", "1024", "--max-tokens", "4", smollm2, "word " * 600)
    assert int(re.search(r"prompt tokens: +(\d+)", answer.stderr).group(1)) > 600
