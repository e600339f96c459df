"""A registry's folder, requests to it, and which calls of the system each makes: for tests that let one of them fail."""

import collections
import hashlib
import json
import os
import shutil
import subprocess

import berthlab

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OPERATIONS = ("open", "write", "sync", "rename", "dbwrite")
# Nothing of its own accord, and everything may be collected.
QUIET = {"BERTH_REGISTRY_SERVER_COLLECT_EVERY": "0s", "BERTH_REGISTRY_SERVER_COLLECT_GRACE": "0s",
         "BERTH_REGISTRY_SERVER_CHECK_MODELS": "off"}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def random_bytes(seed, size):
    return hashlib.shake_128(seed.encode()).digest(size)


KEPT = random_bytes("kept", 70_000)
NEW = random_bytes("new", 300_000)
LOOSE = random_bytes("loose", 50_000)


def manifest(*blobs, **more):
    layers = [{"mediaType": "application/x", "digest": digest_of(data), "size": len(data)} for data in blobs]
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0], "layers": layers, **more}).encode()


MODEL = manifest(KEPT)
NEXT = manifest(KEPT, annotations={"n": "next"})


def start(folder, fault=None, *args, **env):
    return berthlab.OwnRegistry(folder, *args, env={**QUIET, **({"BERTH_FAULT": fault} if fault else {}), **env})


class World:
    """A folder with a tagged model, a blob that nobody needs, and two uploads: one empty, one that has all of NEW."""

    def __init__(self, folder):
        self.folder = folder
        registry = start(folder / "clean")
        registry.push_blob("t/kept", KEPT)
        status, _, body = registry.request("PUT", "/v2/t/kept/manifests/v1", MODEL, {"Content-Type": MANIFEST})
        assert status == 201, body
        self.empty = registry.request("POST", "/v2/t/new/blobs/uploads/")[1]["location"]
        self.full = registry.request("POST", "/v2/t/new/blobs/uploads/")[1]["location"]
        assert registry.request("PATCH", self.full, NEW)[0] == 202
        registry.push_blob("t/loose", LOOSE)
        registry.close()
        self.count = 0
        self.calls = {}  # of the start and of each request

    def copy(self):
        self.count += 1
        to = self.folder / f"c{self.count}"
        shutil.copytree(self.folder / "clean", to)
        return to

    def traced(self, request):
        """How often a start with this request makes each call; the death of the server adds none."""
        folder = self.copy()
        registry = start(folder, "trace")
        if request:
            status, _, body = request.ask(registry, self)
            assert status in request.well, (status, body)
        return end_of_trace(registry)

    def places(self, request):
        """(operation, which): every call that the request makes."""
        if None not in self.calls:
            self.calls[None] = self.traced(None)
        return places_between(self.calls[None], self.traced(request))


def end_of_trace(registry):
    """Ends a server that was started with the fault "trace"; the calls that it made."""
    registry.kill()
    lines = "".join(registry.lines) + (registry.folder / "log").read_text()
    shutil.rmtree(registry.folder)
    return collections.Counter(line.split()[1] for line in lines.splitlines() if line.startswith("fault "))


def places_between(before, all):
    return [(operation, turn) for operation in OPERATIONS for turn in range(before[operation] + 1, all[operation] + 1)]


class Request:
    def __init__(self, method, path, body=None, headers=None, well=(201,), holds=None, before=None):
        """`holds` once it was done; `before` as long as it was refused."""
        self.method, self.path, self.body, self.headers, self.well = method, path, body, headers or {}, well
        self.holds = holds or (lambda registry: None)
        self.before = before or (lambda registry: None)

    def ask(self, registry, world):
        path = self.path(world) if callable(self.path) else self.path
        return registry.request(self.method, path, self.body, self.headers)


def serves(path, data):
    """After it was done: exactly these bytes; data None: nothing."""

    def holds(registry):
        status, _, body = registry.request("GET", path)
        assert (status, body) == (200, data) if data is not None else status == 404, (path, status)

    return holds


def blob(repository, data):
    return f"/v2/{repository}/blobs/{digest_of(data)}"


def changes(path, before, after):
    return {"holds": serves(path, after), "before": serves(path, before)}


COMES = changes(blob("t/new", NEW), None, NEW)
REQUESTS = {
    "begin": Request("POST", "/v2/t/new/blobs/uploads/", well=(202,)),
    "post": Request("POST", f"/v2/t/new/blobs/uploads/?digest={digest_of(NEW)}", NEW, **COMES),
    "patch": Request("PATCH", lambda world: world.empty, NEW, {"Content-Range": f"0-{len(NEW) - 1}"}, (202,)),
    "put": Request("PUT", lambda world: f"{world.empty}?digest={digest_of(NEW)}", NEW, **COMES),
    "end": Request("PUT", lambda world: f"{world.full}?digest={digest_of(NEW)}", **COMES),
    "manifest": Request("PUT", "/v2/t/kept/manifests/v1", NEXT, {"Content-Type": MANIFEST}, **changes("/v2/t/kept/manifests/v1", MODEL, NEXT)),
    "mount": Request("POST", f"/v2/t/new/blobs/uploads/?mount={digest_of(KEPT)}&from=t/kept", **changes(blob("t/new", KEPT), None, KEPT)),
    "delete blob": Request("DELETE", blob("t/loose", LOOSE), well=(202,), **changes(blob("t/loose", LOOSE), LOOSE, None)),
    "delete tag": Request("DELETE", "/v2/t/kept/manifests/v1", well=(202,), **changes("/v2/t/kept/manifests/v1", MODEL, None)),
    "collect": Request("POST", "/v2/_berth/collect", well=(200,)),
}


def check_kept(registry):
    """What was acknowledged before any fault."""
    status, _, body = registry.request("GET", f"/v2/t/kept/manifests/{digest_of(MODEL)}")
    assert (status, body) == (200, MODEL)
    assert registry.request("GET", blob("t/kept", KEPT))[2] == KEPT


def check_nothing_half(registry):
    """Whatever can be read is whole, and what HEAD says is what GET gives."""
    for data in (KEPT, NEW, LOOSE):
        for repository in ("t/kept", "t/new", "t/loose"):
            head = registry.request("HEAD", blob(repository, data))[0]
            status, _, body = registry.request("GET", blob(repository, data))
            assert head == status and status in (200, 404), (head, status)
            assert status == 404 or body == data
    status, _, body = registry.request("GET", "/v2/t/kept/manifests/v1")
    assert status == 404 or body in (MODEL, NEXT)


def one_sentence(body, registry=None):
    """The body of a refusal: one error of the specification, in a sentence, that does not tell where the registry keeps its files."""
    errors = json.loads(body)["errors"]
    assert len(errors) == 1 and errors[0]["code"].isupper(), errors
    message = errors[0]["message"]
    assert 10 < len(message) < 300 and "\n" not in message, message
    assert registry is None or str(registry.folder) not in message, message
    return message


def fails_to_start(folder, **env):
    """The status and the one sentence of a server that refuses."""
    done = subprocess.run(
        [berthlab.BERTH, "registry", "serve", "--listen", "127.0.0.1:0", "--root", folder / "registry"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
        env={**os.environ, **QUIET, "BERTH_HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder), **env})
    said = [line for line in done.stderr.splitlines() if line.startswith("berth: ")]
    assert done.returncode != 0 and len(said) == 1, (done.returncode, done.stderr)
    return done.returncode, said[0]
