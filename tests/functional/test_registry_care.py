"""Quotas, retention, webhooks and verification of `berth registry serve`."""

import http.client
import http.server
import json
import os
import queue
import threading

import pytest

import berthlab

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Endpoint:
    """A web server that takes events, or refuses as long as `status` says so."""

    def __init__(self):
        self.status = 204
        self.got = queue.Queue()
        self.refused = threading.Semaphore(0)
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = endpoint.status
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                if status < 300:
                    endpoint.got.put((dict(self.headers), body))
                else:
                    endpoint.refused.release()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.got.get(timeout=30)[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    one = Endpoint()
    yield one
    one.close()


@pytest.fixture
def registry(tmp_path):
    """Started by the test with its own config.toml; goes on in the same folder when it is started again."""
    started = []

    def start(config):
        home = tmp_path / "r" / "home"
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.toml").write_text(config)
        one = berthlab.OwnRegistry(tmp_path / "r")
        started.append(one)
        return one

    yield start
    for one in started:
        one.close()


def push(registry, repository, tag, *contents, subject=None):
    layers = [{"mediaType": "text/plain", "digest": registry.push_blob(repository, data), "size": len(data)} for data in contents]
    config = registry.push_blob(repository, b"{}")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2}, "layers": layers}
    if subject:
        manifest["subject"] = subject
    body = json.dumps(manifest).encode()
    status, headers, answer = registry.request("PUT", f"/v2/{repository}/manifests/{tag or berthlab.sha256(body)}", body, {"Content-Type": MANIFEST})
    assert status == 201, answer
    return {"mediaType": MANIFEST, "digest": headers["docker-content-digest"], "size": len(body)}


def error_of(body):
    return json.loads(body)["errors"][0]


def test_a_repository_does_not_grow_beyond_its_quota(registry, berth, tmp_path):
    one = registry('[registry_server]\nquotas = ["team/** 3MB"]\n')
    push(one, "team/a", "v1", os.urandom(2_000_000))
    digest = berthlab.sha256(b"x" * 1_500_000)
    status, _, body = one.request("POST", f"/v2/team/b/blobs/uploads/?digest={digest}", b"x" * 1_500_000)
    assert status == 403 and error_of(body)["code"] == "DENIED"
    assert "the quota of team/** is 3.00 MB, and 2.00 MB are held" in error_of(body)["message"]
    assert one.request("HEAD", f"/v2/team/b/blobs/{digest}")[0] == 404
    push(one, "other/b", "v1", b"x" * 1_500_000)
    # What is there can be mounted only where it fits.
    assert one.request("POST", f"/v2/team/c/blobs/uploads/?mount={digest}&from=other/b")[0] == 403
    # Our own client says what the registry said.
    model = f"{one.host}/team/d:v1"
    berth.run("package", "--gguf", berthlab.weights(tmp_path / "w.gguf", 2 << 20), model)
    refused = berth.run("push", model, ok=False)
    assert refused.returncode != 0 and "the quota of team/** is 3.00 MB" in refused.stderr


def test_an_upload_that_cannot_fit_is_refused_before_it_is_read(registry):
    one = registry('[registry_server]\nquotas = ["each ** 1MB"]\n')
    status, headers, _ = one.request("POST", "/v2/team/a/blobs/uploads/")
    assert status == 202
    # Only the head is sent: the answer does not wait for a body.
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    connection.putrequest("PATCH", headers["location"])
    connection.putheader("Content-Length", "5000000")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 403 and "the quota of each of ** is 1.00 MB" in error_of(answer.read())["message"]
    connection.close()
    # Without a length it is read as far as there is room.
    chunks = (b"x" * 100_000 for _ in range(30))
    status, _, body = one.request("PATCH", headers["location"], chunks)
    assert status == 403 and "the quota of each of ** is 1.00 MB" in error_of(body)["message"]


def test_retention_takes_old_tags_and_their_signatures(registry, berth):
    one = registry('[registry_server]\ncollect_grace = "0s"\nretention = ["ci/** tags=pr-* keep=1"]\n')
    subject = push(one, "ci/x", "pr-1", b"one")
    signature = push(one, "ci/x", None, b"signature", subject=subject)
    push(one, "ci/x", "pr-2", b"two")
    push(one, "ci/x", "main", b"three")
    host = ("--registry", one.host)
    would = berth.json("registry", "prune", "--dry-run", "--json", *host)
    assert {(entry["tag"], entry["digest"]) for entry in would} == {
        ("pr-1", subject["digest"]), ("", subject["digest"]), ("", signature["digest"])}
    assert one.request("HEAD", "/v2/ci/x/manifests/pr-1")[0] == 200
    assert "pr-1" in berth.run("registry", "prune", *host).stdout
    assert one.request("HEAD", "/v2/ci/x/manifests/pr-1")[0] == 404
    assert one.request("HEAD", f"/v2/ci/x/manifests/{signature['digest']}")[0] == 404
    assert json.loads(one.request("GET", "/v2/ci/x/tags/list")[2])["tags"] == ["main", "pr-2"]

    def freed():
        berth.run("registry", "gc", *host)
        return one.request("HEAD", f"/v2/ci/x/blobs/{berthlab.sha256(b'one')}")[0] == 404

    berthlab.until(freed, "the blob to be freed")
    assert "\"nonsense\" is wrong" in berth.run("registry", "prune", "--rule", "nonsense", *host, ok=False).stderr


def test_an_event_names_the_client_before_the_proxy(registry, endpoint):
    one = registry('[registry_server]\nbehind_proxy = ["127.0.0.0/8"]\n'
                   f'[registry_server.webhook.ci]\nurl = "{endpoint.url}"\n')
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                           "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": berthlab.sha256(b"{}"), "size": 2}}).encode()
    for number, (forwarded, address) in enumerate((("203.0.113.66, 192.0.2.7", "192.0.2.7"), ("\"><script>, 127.0.0.9", "127.0.0.9"))):
        headers = {"X-Forwarded-For": forwarded, "X-Forwarded-User": "alice", "Content-Type": MANIFEST}
        assert one.request("PUT", f"/v2/a/manifests/{number}", manifest, headers)[0] == 201
        told = endpoint.next()["data"]
        assert told["request"]["address"] == address and told["actor"] == "alice", told


def test_a_webhook_is_told_what_happens_in_order(registry, endpoint):
    one = registry(f'[registry_server.webhook.ci]\nurl = "{endpoint.url}"\nevents = ["push", "move", "delete", "pull"]\n'
                   'repositories = ["team/**"]\nsecret = "hush"\n')
    first = push(one, "team/a", "v1", b"one")
    push(one, "other", "v1", b"one")
    second = push(one, "team/a", "v1", b"two")
    one.request("GET", "/v2/team/a/manifests/v1")
    one.request("DELETE", "/v2/team/a/manifests/v1")
    events = [endpoint.next() for _ in range(5)]
    assert [event["type"].removeprefix("berth.registry.") for event in events] == [
        "manifest.pushed", "manifest.pushed", "tag.moved", "manifest.pulled", "tag.deleted"]
    assert all(event["specversion"] == "1.0" and event["source"] == f"http://127.0.0.1:{one.port}" for event in events)
    assert events[2]["data"]["previousDigest"] == first["digest"] and events[2]["data"]["digest"] == second["digest"]
    assert events[3]["data"]["request"]["method"] == "GET"
    assert len({event["id"] for event in events}) == 5


def test_events_outlive_a_kill_and_an_endpoint_that_is_away(registry, endpoint, berth):
    config = f'[registry_server.webhook.ci]\nurl = "{endpoint.url}"\nformat = "distribution"\nattempts = 2\n'
    endpoint.status = 503
    one = registry(config)
    push(one, "team/a", "v1", b"one")
    assert endpoint.refused.acquire(timeout=30)
    one.kill()
    one = registry(config)
    assert endpoint.refused.acquire(timeout=30)

    def events():
        return berth.json("registry", "events", "--json", "--registry", one.host)

    dead = berthlab.until(lambda: events()["dead_letters"], "a dead letter")
    assert (dead[0]["endpoint"], dead[0]["event"], dead[0]["repository"], dead[0]["tag"], dead[0]["attempts"]) == ("ci", "push", "team/a", "v1", 2)
    assert "503" in dead[0]["fault"]
    endpoint.status = 200
    assert "1 events" in berth.run("registry", "events", "--retry", "ci", "--registry", one.host).stdout
    [told] = endpoint.next()["events"]
    assert (told["action"], told["target"]["repository"], told["target"]["tag"]) == ("push", "team/a", "v1")
    assert told["target"]["url"].endswith(f"/v2/team/a/manifests/{told['target']['digest']}")
    berthlab.until(lambda: events()["endpoints"] == [{"endpoint": "ci", "waiting": 0, "dead": 0}], "an empty queue")


def damage(registry, digest):
    """Another byte at the same size, as a disk does it."""
    path = registry.root / "blobs" / digest.replace(":", "/")
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_what_is_damaged_is_found_and_brought_back_by_a_push(registry, berth):
    one = registry("")
    host = ("--registry", one.host)
    weights = os.urandom(5_000_000)
    push(one, "team/a", "v1", weights)
    push(one, "team/b", "v1", weights)
    digest = berthlab.sha256(weights)
    assert "nothing is damaged" in berth.run("registry", "verify", *host).stdout
    damaged = damage(one, digest)
    done = berth.run("registry", "verify", "team/b", *host, ok=False)
    assert done.returncode == 6 and digest in done.stdout and "team/a:v1, team/b:v1" in done.stdout
    for method in ("HEAD", "GET"):
        assert one.request(method, f"/v2/team/a/blobs/{digest}")[0] == 404
    assert (one.root / "damaged" / digest.replace(":", "-")).read_bytes() == damaged
    missing = berth.run("registry", "verify", "--json", *host, ok=False)
    assert missing.returncode == 6 and json.loads(missing.stdout)["damages"][0]["fault"] == "missing"
    metrics = one.request("GET", "/metrics")[2].decode()
    assert 'berth_registry_verified_blobs_total{result="damaged"} 1' in metrics
    one.push_blob("team/b", weights)
    assert one.request("GET", f"/v2/team/a/blobs/{digest}")[2] == weights
    assert berth.json("registry", "verify", "--json", *host)["damaged"] == 0
    assert berth.run("registry", "verify", "team/none", *host, ok=False).returncode == 3
    assert one.request("GET", "/v2/_berth/verify?pass=99")[0] == 404
    assert one.request("GET", "/v2/_berth/verify")[0] == 400
    assert one.request("POST", "/v2/_berth/verify?repository=UPPER")[0] == 400


def test_berth_brings_back_what_is_damaged_below_a_manifest_that_is_there(registry, berth, tmp_path):
    one = registry("")
    name = f"{one.host}/team/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), name)
    berth.run("push", name)
    weights = max(json.loads(one.request("GET", "/v2/team/tiny/manifests/1")[2])["layers"], key=lambda layer: layer["size"])
    damage(one, weights["digest"])
    assert berth.run("registry", "verify", "--registry", one.host, ok=False).returncode == 6
    berth.run("push", name)
    assert "nothing is damaged" in berth.run("registry", "verify", "--registry", one.host).stdout


def test_what_cannot_be_read_is_told_and_stays(tmp_path, berth):
    # The reads of a start are few; the blob alone takes 39.
    one = berthlab.OwnRegistry(tmp_path / "r", env={"BERTH_FAULT": "read:20:EIO"})
    try:
        digest = one.push_blob("team/a", b"x" * 5_000_000)
        done = berth.run("registry", "verify", "--json", "--registry", one.host, ok=False)
        assert done.returncode == 6
        [found] = json.loads(done.stdout)["damages"]
        assert (found["digest"], found["fault"]) == (digest, "unreadable")
        assert len(one.request("GET", f"/v2/team/a/blobs/{digest}")[2]) == 5_000_000
        assert not list((one.root / "damaged").iterdir())
        assert "nothing is damaged" in berth.run("registry", "verify", "--registry", one.host).stdout
    finally:
        one.close()


def test_a_regular_pass_comes_by_itself(registry):
    config = '[registry_server]\nverify_every = "30d"\n'
    one = registry(config)
    push(one, "team/a", "v1", b"one")
    position = one.root / "verified"
    berthlab.until(lambda: position.exists() and position.read_text().endswith(" end\n"), "the first pass")
    one.close()
    damage(one, berthlab.sha256(b"one"))
    position.write_text(f"1 sha256:{'0' * 64}\n")  # one that was interrupted
    one = registry(config)
    berthlab.until(lambda: one.request("HEAD", f"/v2/team/a/blobs/{berthlab.sha256(b'one')}")[0] == 404, "the damage to be found")


@pytest.mark.parametrize("line, words", [
    ('quotas = ["team/**"]', 'the quota "team/**" is not'),
    ('retention = ["team/** newest=3"]', 'there is no condition "newest=3"'),
    ('[registry_server.webhook.x]\nurl = "ftp://a"', "only http and https"),
    ('[registry_server.webhook.x]\nurl = "http://a"\nevents = ["boom"]', 'there is no event "boom"'),
])
def test_a_wrong_rule_keeps_the_registry_from_starting(tmp_path, berth, line, words):
    file = tmp_path / "config.toml"
    file.write_text("[registry_server]\n" + line + "\n")
    done = berth.run("--config", file, "registry", "serve", "--listen", "127.0.0.1:0", ok=False)
    assert done.returncode == 2 and words in done.stderr
