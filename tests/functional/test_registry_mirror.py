"""A registry that mirrors others: one transfer for many clients, bytes while it fills, tags that move, upstream gone or lying."""

import base64
import concurrent.futures
import hashlib
import http.client
import http.server
import json
import os
import re
import subprocess
import threading
import time

import pytest

import berthlab

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEBIBYTE = 1 << 20


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run(*args, **kwargs):
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, (args, done.stdout)
    return done.stdout


class Front(http.server.ThreadingHTTPServer):
    """Passes requests on to a registry, counts them, and can stand still, lie or be down."""

    daemon_threads = True

    def __init__(self, port):
        self.to = port
        self.requests = []  # (method, path, Range)
        self.sent = 0  # bytes of blobs
        self.gate = None  # blobs stop at this offset until `opened`
        self.opened = threading.Event()
        self.lie = False
        self.cut_every = None  # a connection breaks after so many bytes of a blob
        self.status = None
        self.down = False
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a mirror that is killed

    @property
    def host(self):
        return f"localhost:{self.server_address[1]}"

    def count(self, method, part):
        return sum(1 for m, path, _ in self.requests if m == method and part in path)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            front = self.server
            front.requests.append((self.command, self.path, self.headers.get("Range")))
            if front.down:
                self.close_connection = True
                return
            if front.status:
                self.send_response(front.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = http.client.HTTPConnection("127.0.0.1", front.to, timeout=30)
            connection.request(self.command, self.path, headers={k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")})
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            at = int((answer.getheader("Content-Range") or "bytes 0-").split()[1].split("-")[0])
            blob = "/blobs/" in self.path
            began = None
            while data := answer.read(65536):
                if blob and front.gate is not None and at >= front.gate:
                    front.opened.wait(60)
                if blob and front.lie:
                    data = bytes(len(data))
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True
                    return
                at += len(data)
                began = at if began is None else began
                if blob and front.cut_every and at - began > front.cut_every:
                    self.close_connection = True
                    return
                front.sent += len(data) if blob else 0

        do_HEAD = do_GET


def push(registry, repository, tag, *layers, **more):
    """A small artifact of these layers."""
    def descriptor(data):
        registry.push_blob(repository, data)
        return {"mediaType": "application/octet-stream", "digest": sha256(data), "size": len(data)}

    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/test", "config": descriptor(b"{}"),
                           "layers": [descriptor(layer) for layer in layers], **more}).encode()
    status, _, body = registry.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
    assert status == 201, body
    return sha256(manifest), len(manifest)


class Pair:
    """A registry, a front that it is reached by, and a mirror of it."""

    def __init__(self, folder, *args, check="0s", entry="up=", **kwargs):
        self.folder = folder
        self.upstream = berthlab.OwnRegistry(folder / "upstream")
        self.front = Front(self.upstream.port)
        self.args, self.check, self.entry, self.kwargs = args, check, entry, kwargs
        self.mirror = None
        self.start()

    def start(self):
        env = {"BERTH_REGISTRY_SERVER_MIRROR_CHECK": self.check, "BERTH_LOG_LEVEL": "info", "DOCKER_CONFIG": str(self.folder / "none")}
        self.mirror = berthlab.OwnRegistry(self.folder / "mirror", "--mirror", self.entry + self.front.host, *self.args, env=env, **self.kwargs)

    def get(self, path, **kwargs):
        return self.mirror.request("GET", path, **kwargs)

    def close(self):
        self.front.opened.set()
        self.mirror.close()
        self.front.shutdown()
        self.front.server_close()
        self.upstream.close()

    def metrics(self):
        return self.get("/metrics")[2].decode()


@pytest.fixture
def pair(folder):
    made = Pair(folder)
    yield made
    made.close()


def test_many_cold_clients_make_one_transfer(pair, folder, berth, other):
    model = berthlab.gguf(folder / "tiny.gguf", embedding=128, layers=4)
    berth.run("package", "--gguf", model, f"{pair.upstream.host}/ai/tiny:1")
    berth.run("push", f"{pair.upstream.host}/ai/tiny:1")
    manifest = json.loads(pair.upstream.request("GET", "/v2/ai/tiny/manifests/1")[2])
    blobs = {blob["digest"]: blob["size"] for blob in [manifest["config"], *manifest["layers"]]}
    name = f"{pair.mirror.host}/up/ai/tiny:1"
    third = berthlab.Berth(folder / "third")
    work = [
        lambda: other.run("pull", name),
        lambda: third.run("pull", name),
        lambda: run(berthlab.part("oras"), "copy", "--from-plain-http", "--to-oci-layout", name, f"{folder}/oras:1"),
        lambda: run(berthlab.part("skopeo"), "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{folder}/skopeo"),
        lambda: run(berthlab.part("crane"), "pull", "--insecure", "--format", "oci", name, f"{folder}/crane"),
    ] + [lambda digest=digest: run("curl", "-sf", "-o", os.devnull, f"http://{pair.mirror.host}/v2/up/ai/tiny/blobs/{digest}")
         for digest in list(blobs) * 2]
    with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()
    assert pair.front.sent == sum(blobs.values())
    for digest in blobs:
        assert pair.front.count("GET", digest) == 1
    assert pair.front.count("GET", "/manifests/") == 1
    other.run("fsck", "--read-data")
    assert f'berth_registry_mirror_bytes_total{{upstream="{pair.front.host}"}} {sum(blobs.values())}' in pair.metrics()
    # It is here now.
    before = len(pair.front.requests)
    assert sha256(pair.get(f"/v2/up/ai/tiny/blobs/{next(iter(blobs))}")[2]) == next(iter(blobs))
    assert len(pair.front.requests) == before


def test_what_is_damaged_here_is_fetched_again(pair, berth):
    data = os.urandom(200_000)
    push(pair.upstream, "ai/x", "1", data)
    path = f"/v2/up/ai/x/blobs/{sha256(data)}"
    assert pair.get("/v2/up/ai/x/manifests/1")[0] == 200 and pair.get(path)[2] == data
    here = pair.mirror.root / "blobs" / sha256(data).replace(":", "/")
    here.chmod(0o644)
    here.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = berth.run("registry", "verify", "--registry", pair.mirror.host, ok=False)
    assert done.returncode == 6 and "up/ai/x:1" in done.stdout
    assert pair.get(path)[2] == data
    assert pair.front.count("GET", sha256(data)) == 2
    assert "nothing is damaged" in berth.run("registry", "verify", "--registry", pair.mirror.host).stdout


def test_bytes_are_served_while_it_fills(pair):
    data = os.urandom(40 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.gate = 2 * MEBIBYTE
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Length") == str(len(data))
    assert answer.read(MEBIBYTE) == data[:MEBIBYTE]
    # One that began later and leaves in the middle.
    early = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    early.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}", headers={"Range": "bytes=500000-"})
    assert early.getresponse().read(1000) == data[500000:501000]
    early.close()
    pair.front.opened.set()
    assert answer.read() == data[MEBIBYTE:]
    assert pair.front.sent < 2 * len(data)  # what is on its way when a run is cut is lost, and no more


def test_a_range_far_behind_does_not_wait_for_all_before_it(pair):
    data = os.urandom(48 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.gate = MEBIBYTE
    first = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    first.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    assert first.getresponse().read(1000) == data[:1000]
    pair.front.gate = None  # for requests that come now; the first stands still
    at = 33 * MEBIBYTE
    status, headers, body = pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}", headers={"Range": f"bytes={at}-{at + 999}"})
    assert (status, body) == (206, data[at:at + 1000]), headers
    pair.front.opened.set()
    assert pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}")[2] == data
    assert pair.front.sent < 2 * len(data)


def test_upstream_sends_wrong_bytes(pair):
    data = os.urandom(3 * MEBIBYTE)
    push(pair.upstream, "ai/x", "1", data)
    pair.front.lie = True
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/x/blobs/{sha256(data)}")
    answer = connection.getresponse()
    if answer.status == 200:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    else:
        assert answer.status == 502
    status, _, body = pair.get(f"/v2/up/ai/x/blobs/{sha256(data)}")
    assert status == 502 and pair.front.host in body.decode()
    assert not (pair.mirror.root / "blobs/sha256" / sha256(data)[7:]).exists()
    assert list((pair.mirror.root / "ingest").iterdir()) == []
    # The last part of it is not given away either.
    status, _, _ = pair.get(f"/v2/up/ai/x/blobs/{sha256(data)}", headers={"Range": f"bytes={len(data) - 10}-"})
    assert status == 502


def test_a_tag_that_moves(folder):
    pair = Pair(folder, check="1h")
    try:
        first, _ = push(pair.upstream, "ai/x", "latest", b"one")
        path = "/v2/up/ai/x/manifests/latest"
        assert pair.get(path)[1]["docker-content-digest"] == first
        second, _ = push(pair.upstream, "ai/x", "latest", b"two")
        asked = len(pair.front.requests)
        assert pair.get(path)[1]["docker-content-digest"] == first  # asked a moment ago
        assert len(pair.front.requests) == asked
    finally:
        pair.mirror.close()
    pair.check = "0s"
    pair.start()
    try:
        assert pair.get(path)[1]["docker-content-digest"] == second
        asked = pair.front.count("GET", "/manifests/")
        assert pair.get(path)[1]["docker-content-digest"] == second
        assert pair.front.count("GET", "/manifests/") == asked  # a HEAD is enough
        moves = json.loads(pair.get("/v2/_berth/history/up/ai/x")[2])
        assert json.dumps(moves).count(f"mirror:{pair.front.host}") == 2
        pair.upstream.request("DELETE", "/v2/ai/x/manifests/latest")
        assert pair.get(path)[0] == 404
        assert pair.get(f"/v2/up/ai/x/manifests/{second}")[0] == 200
    finally:
        pair.close()


def test_upstream_is_gone(pair, berth, other, folder):
    berth.run("package", "--gguf", berthlab.gguf(folder / "tiny.gguf"), f"{pair.upstream.host}/ai/tiny:1")
    berth.run("push", f"{pair.upstream.host}/ai/tiny:1")
    name = f"{pair.mirror.host}/up/ai/tiny:1"
    other.run("pull", name)
    other.run("rm", name)
    for status in (503, 429, 401):
        pair.front.status = status
        assert pair.get("/v2/up/ai/tiny/manifests/1")[0] == 200
        assert warning_of(pair.get("/v2/up/ai/tiny/manifests/1"), pair)
    pair.front.status = None
    pair.front.down = True
    pulled = other.run("pull", name)
    assert pulled.stderr.count(f"warns: {pair.front.host} cannot be asked since 20") == 1, pulled.stderr
    other.run("fsck", "--read-data")
    listed = pair.get("/v2/up/ai/tiny/tags/list")
    assert listed[0] == 200 and warning_of(listed, pair)
    _, headers, body = pair.get("/v2/up/ai/tiny/manifests/1")
    by_digest = pair.get(f"/v2/up/ai/tiny/manifests/{sha256(body)}")
    assert by_digest[0] == 200 and "warning" not in by_digest[1]  # that is never out of date
    status, _, body = pair.get("/v2/up/ai/other/manifests/1")
    assert status in (502, 504) and pair.front.host in json.loads(body)["errors"][0]["message"]
    assert pair.get(f"/v2/up/ai/tiny/blobs/{sha256(b'never')}")[0] in (502, 504)
    assert "berth_registry_mirror_stale_total" in pair.metrics()


def warning_of(answer, pair):
    """As the distribution specification has it: code 299, agent "-", one sentence."""
    form = rf'299 - "{re.escape(pair.front.host)} cannot be asked since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ: this may be out of date"'
    return re.fullmatch(form, answer[1].get("warning", ""))


def test_what_is_nowhere(pair):
    push(pair.upstream, "ai/x", "1", b"x")
    for path in ("/v2/up/ai/x/manifests/2", f"/v2/up/ai/x/manifests/{sha256(b'no')}", f"/v2/up/ai/x/blobs/{sha256(b'no')}",
                 "/v2/up/ai/nothing/manifests/1", "/v2/up/ai/nothing/tags/list"):
        assert pair.get(path)[0] == 404, path
        asked = len(pair.front.requests)
        assert pair.get(path)[0] == 404
        assert len(pair.front.requests) == asked, path  # remembered


def test_it_goes_on_after_a_kill(pair):
    data = os.urandom(32 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.gate = 24 * MEBIBYTE
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    assert connection.getresponse().read(17 * MEBIBYTE) == data[:17 * MEBIBYTE]
    pair.mirror.kill()
    pair.front.opened.set()
    before = pair.front.sent
    pair.front.sent = 0
    pair.start()
    assert pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}")[2] == data
    assert before >= 17 * MEBIBYTE
    assert pair.front.sent <= len(data) - 17 * MEBIBYTE


def test_what_a_killed_transfer_left_may_be_wrong(pair):
    data = os.urandom(32 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.gate = 24 * MEBIBYTE
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    assert connection.getresponse().read(17 * MEBIBYTE) == data[:17 * MEBIBYTE]
    pair.mirror.kill()
    [left] = (pair.mirror.root / "ingest").iterdir()
    with open(left / "data", "r+b") as file:
        file.write(b"wrong")
    pair.front.opened.set()
    pair.start()
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        connection.getresponse().read()
    assert pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}")[2] == data


def test_many_readers_of_a_blob_whose_connections_break(pair):
    data = os.urandom(64 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.cut_every = 9 * MEBIBYTE

    def read(number):
        begin = number * len(data) // 48
        status, _, body = pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}", headers={"Range": f"bytes={begin}-{begin + 999_999}"})
        return status == 206 and body == data[begin:begin + 1_000_000]

    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        assert all(pool.map(read, reversed(range(48))))
    assert pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}")[2] == data
    assert pair.front.sent < 2 * len(data)


def test_a_transfer_that_was_stopped_goes_on(pair):
    data = os.urandom(24 * MEBIBYTE)
    push(pair.upstream, "ai/big", "1", data)
    pair.front.gate = 18 * MEBIBYTE
    connection = http.client.HTTPConnection("127.0.0.1", pair.mirror.port, timeout=30)
    connection.request("GET", f"/v2/up/ai/big/blobs/{sha256(data)}")
    assert connection.getresponse().read(9 * MEBIBYTE) == data[:9 * MEBIBYTE]
    connection.close()
    pair.mirror.close()
    pair.front.opened.set()
    pair.front.sent = 0
    pair.start()
    assert pair.get(f"/v2/up/ai/big/blobs/{sha256(data)}")[2] == data
    assert pair.front.sent <= len(data) - 9 * MEBIBYTE


def test_nothing_is_pushed_into_a_mirror(pair):
    digest, _ = push(pair.upstream, "ai/x", "1", b"x")
    assert pair.get("/v2/up/ai/x/manifests/1")[0] == 200
    manifest = pair.get(f"/v2/up/ai/x/manifests/{digest}")[2]
    for method, path, body in (("POST", "/v2/up/ai/x/blobs/uploads/", b""), ("PUT", "/v2/up/ai/x/manifests/2", manifest),
                               ("POST", f"/v2/up/ai/x/blobs/uploads/?mount={sha256(b'x')}&from=ai/y", b""),
                               ("DELETE", f"/v2/up/ai/x/manifests/{digest}", None), ("DELETE", "/v2/up/ai/x/manifests/1", None),
                               ("DELETE", f"/v2/up/ai/x/blobs/{sha256(b'x')}", None)):
        status, headers, answer = pair.mirror.request(method, path, body, {"Content-Type": MANIFEST})
        assert status == 405 and "is a mirror of" in answer.decode(), (method, path, status, answer)
        assert headers["allow"] == "GET, HEAD"
    push(pair.mirror, "ai/own", "1", b"x")
    assert pair.get("/v2/ai/own/manifests/1")[0] == 200


def test_content_of_another_repository_is_not_shown(pair):
    push(pair.mirror, "secret/x", "1", b"for few")
    push(pair.upstream, "ai/x", "1", b"x")
    assert pair.get(f"/v2/up/ai/x/blobs/{sha256(b'for few')}")[0] == 404
    # Upstream has it as well: then it is not fetched again.
    push(pair.upstream, "ai/y", "1", b"for few")
    assert pair.get(f"/v2/up/ai/y/blobs/{sha256(b'for few')}")[2] == b"for few"
    assert pair.front.count("GET", sha256(b"for few")) == 0


def test_rules_are_for_the_name_here(folder):
    rules = '["alice pull up/ai/**", "bob pull team/**"]'
    pair = Pair(folder, htpasswd=[("alice", "a"), ("bob", "b")])
    pair.mirror.close()
    (folder / "config.toml").write_text(f"[registry_server]\nrules = {rules}\n")
    pair.args = ("--config", folder / "config.toml")
    pair.start()
    try:
        push(pair.upstream, "ai/x", "1", b"x")
        for path in ("/v2/up/ai/x/manifests/1", f"/v2/ai/x/manifests/1?ns={pair.front.host}"):
            assert pair.get(path, user=("alice", "a"))[0] == 200
            assert pair.get(path, user=("bob", "b"))[0] == 403
            assert pair.get(path)[0] == 401
        assert all("uthorization" not in str(request) for request in pair.front.requests)
    finally:
        pair.close()


def test_a_mirror_by_namespace(pair, folder):
    digest, _ = push(pair.upstream, "ai/x", "1", b"x")
    status, headers, _ = pair.get(f"/v2/ai/x/manifests/1?ns={pair.front.host}")
    assert (status, headers["docker-content-digest"], headers["oci-namespace"]) == (200, digest, pair.front.host)
    assert pair.get(f"/v2/ai/x/blobs/{sha256(b'x')}?ns={pair.front.host}")[2] == b"x"
    assert pair.get("/v2/ai/x/manifests/1?ns=quay.io")[0] == 404
    assert pair.get("/v2/ai/x/manifests/1")[0] == 404


def test_berth_pulls_by_its_mirror_setting(pair, folder, berth, other):
    host = pair.front.host
    berth.run("package", "--gguf", berthlab.gguf(folder / "tiny.gguf"), f"{pair.upstream.host}/ai/tiny:1")
    berth.run("push", f"{pair.upstream.host}/ai/tiny:1")
    config = folder / "client.toml"
    config.write_text(f'[registry.host."{host}"]\nmirrors = ["http://{pair.mirror.host}"]\n')
    other.run("--config", config, "pull", f"{host}/ai/tiny:1")
    other.run("fsck", "--read-data")
    manifest = json.loads(pair.upstream.request("GET", "/v2/ai/tiny/manifests/1")[2])
    assert pair.front.sent == sum(blob["size"] for blob in [manifest["config"], *manifest["layers"]])
    assert pair.get("/v2/up/ai/tiny/tags/list")[0] == 200


def test_names_that_are_not_here_are_the_fallbacks(folder):
    pair = Pair(folder)
    pair.mirror.close()
    pair.args = ("--mirror", "*=" + pair.front.host)
    pair.start()
    try:
        push(pair.upstream, "library/x", "1", b"x")
        digest, _ = push(pair.mirror, "team/own", "1", b"own")
        assert pair.get("/v2/library/x/manifests/1")[0] == 200
        assert pair.get(f"/v2/library/x/blobs/{sha256(b'x')}")[2] == b"x"
        assert pair.get("/v2/team/own/manifests/1")[1]["docker-content-digest"] == digest
        # Who pushes must not hear that it is here.
        assert pair.mirror.request("HEAD", f"/v2/library/x/blobs/{sha256(b'x')}")[0] == 404
    finally:
        pair.close()


def test_referrers_and_tags_come_through(pair, folder):
    oras = berthlab.part("oras")
    (folder / "a.txt").write_text("hello")
    (folder / "sbom.json").write_text("{}")
    run(oras, "push", "--plain-http", f"{pair.upstream.host}/o/a:1", "a.txt", cwd=folder)
    run(oras, "attach", "--plain-http", "--artifact-type", "application/sbom", f"{pair.upstream.host}/o/a:1", "sbom.json", cwd=folder)
    name = f"{pair.mirror.host}/up/o/a:1"
    assert "application/sbom" in run(oras, "discover", "--plain-http", name)
    assert run(oras, "repo", "tags", "--plain-http", f"{pair.mirror.host}/up/o/a").split() == ["1"]
    run(oras, "copy", "-r", "--from-plain-http", "--to-oci-layout", name, f"{folder}/layout:1")
    pair.front.status = 503
    time_before = time.monotonic()
    assert "application/sbom" in run(oras, "discover", "--plain-http", name)
    assert time.monotonic() - time_before < 60


def test_cosign_verifies_through_it(pair, folder):
    cosign = berthlab.part("cosign")
    env = {**os.environ, "COSIGN_PASSWORD": "", "DOCKER_CONFIG": str(folder / "none")}
    digest, _ = push(pair.upstream, "ai/signed", "1", b"x")
    run(cosign, "generate-key-pair", cwd=folder, env=env)
    sign = ["sign", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry=true", "-y"]
    run(cosign, *sign, f"{pair.upstream.host}/ai/signed@{digest}", cwd=folder, env=env)
    verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry=true"]
    run(cosign, *verify, f"{pair.mirror.host}/up/ai/signed:1", cwd=folder, env=env)


def test_docker_registry_as_upstream(folder, registry, other, berth):
    berth.run("package", "--gguf", berthlab.gguf(folder / "tiny.gguf"), f"localhost:{registry.port}/ai/tiny:1")
    berth.run("push", f"localhost:{registry.port}/ai/tiny:1")
    mirror = berthlab.OwnRegistry(folder / "mirror", "--mirror", f"up=localhost:{registry.port}")
    try:
        other.run("pull", f"{mirror.host}/up/ai/tiny:1")
        other.run("fsck", "--read-data")
    finally:
        mirror.close()


def test_upstream_wants_a_login_and_its_own_authority(folder, private_tls_registry, other, berth):
    upstream = f"localhost:{private_tls_registry.port}"
    ca = {"BERTH_REGISTRY_CA_FILE": str(private_tls_registry.ca)}
    berth.run("login", "-u", "alice", "--password-stdin", upstream, input="s3cret-canary", env=ca)
    berth.run("package", "--gguf", berthlab.gguf(folder / "tiny.gguf"), f"{upstream}/ai/tiny:1")
    berth.run("push", f"{upstream}/ai/tiny:1", env=ca)
    docker = folder / "docker"
    docker.mkdir()
    login = base64.b64encode(b"alice:s3cret-canary").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {upstream: {"auth": login}}}))
    for config, status in ((docker, 200), (folder / "none", 502)):
        mirror = berthlab.OwnRegistry(folder / f"mirror-{status}", "--mirror", f"up={upstream}", env={**ca, "DOCKER_CONFIG": str(config)})
        try:
            # The caller's credentials are no upstream's affair, nor a 401 of upstream's the caller's.
            answer = mirror.request("GET", "/v2/up/ai/tiny/manifests/1", headers={"Authorization": f"Basic {login}"} if status == 502 else None)
            assert answer[0] == status, answer
            if status == 200:
                other.run("pull", f"{mirror.host}/up/ai/tiny:1")
        finally:
            mirror.close()
    other.run("fsck", "--read-data")


def test_an_entry_that_is_none(folder):
    for entry in ("localhost:5000", "UP=docker.io", "a=b/c", "*=docker.io"):
        done = subprocess.run([berthlab.BERTH, "registry", "serve", "--root", str(folder / "r"), "--mirror", entry],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        assert done.returncode == 2 and "is no mirror" in done.stdout, done.stdout
