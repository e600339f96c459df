"""`berth install-runner IMAGE`: a container image, in a real registry, becomes the engine that answers."""

import gzip
import hashlib
import http.client
import io
import json
import platform
import tarfile

import pytest

import berthlab

ENGINE = berthlab.PARTS / "engine"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Pusher:
    """The few requests of distribution-spec that put an image into a registry."""

    def __init__(self, registry, repository):
        self.registry, self.repository = registry, repository

    def _send(self, method, path, body, kind):
        connection = http.client.HTTPConnection("127.0.0.1", self.registry.port, timeout=120)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (201, 202), (method, path, answer.status)
            return answer.getheader("Location")
        finally:
            connection.close()

    def blob(self, data, kind):
        digest = berthlab.sha256(data)
        place = self._send("POST", f"/v2/{self.repository}/blobs/uploads/", b"", "application/octet-stream")
        place = place.split(f":{self.registry.port}", 1)[-1]
        self._send("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data, "application/octet-stream")
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def manifest(self, reference, document, kind):
        data = json.dumps(document).encode()
        self._send("PUT", f"/v2/{self.repository}/manifests/{reference}", data, kind)
        return {"mediaType": kind, "digest": berthlab.sha256(data), "size": len(data)}

    def image(self, tag, layers, entrypoint, architecture=ARCHITECTURE):
        config = {"architecture": architecture, "os": "linux", "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin"]},
                  "rootfs": {"type": "layers", "diff_ids": []}}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
                    "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")}
        return self.manifest(tag, document, MANIFEST)


def layer(fill, packed=True):
    """A tar as `fill` writes it, gzipped when `packed`; its media type beside it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        fill(tar)
    kind = "application/vnd.oci.image.layer.v1.tar"
    return (gzip.compress(data.getvalue(), 1), kind + "+gzip") if packed else (data.getvalue(), kind)


def text(tar, name, content, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def user(folder):
    return berthlab.Berth(folder / "u")


def engine_image(pusher, tag):
    """Three layers: the libraries, the programs with a file too many, and one that takes it away again."""
    def libraries(tar):
        tar.add(ENGINE / "usr/lib", "usr/lib")
        for name in ("lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        if (ENGINE / "usr/lib64").exists():
            tar.add(ENGINE / "usr/lib64", "usr/lib64")

    def programs(tar):
        tar.add(ENGINE / "usr/bin/llama-server", "usr/bin/llama-server")
        text(tar, "usr/bin/left-over", b"#!/bin/sh\n", 0o755)

    def less(tar):
        text(tar, "usr/bin/.wh.left-over", b"")
        text(tar, "etc/hostname", b"image\n")

    layers = [pusher.blob(*layer(libraries)), pusher.blob(*layer(programs)), pusher.blob(*layer(less, packed=False))]
    return pusher.image(tag, layers, ["/usr/bin/llama-server"])


def test_an_image_becomes_the_engine_that_answers(user, registry):
    pusher = Pusher(registry, "tools/engine")
    manifest = engine_image(pusher, f"1-{ARCHITECTURE}")
    other = pusher.image("1-other", [], ["/x"], "riscv64")
    entries = [{**other, "platform": {"os": "linux", "architecture": "riscv64"}},
               {**manifest, "platform": {"os": "linux", "architecture": ARCHITECTURE}}]
    index = pusher.manifest("1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    reference = f"localhost:{registry.port}/tools/engine:1"

    installed = user.run("install-runner", reference, timeout=300)
    assert "llama.cpp" in installed.stdout and index["digest"] in installed.stdout
    status = user.json("status", "--json") if user.run("status", "--json", ok=False).returncode == 0 else None
    text_status = user.run("status", ok=False).stdout
    assert f"{reference}@{index['digest']}" in text_status, (status, text_status)

    roots = list((user.home / "b").rglob("rootfs"))
    assert len(roots) == 1
    assert not (roots[0] / "usr/bin/left-over").exists() and (roots[0] / "etc/hostname").exists()
    assert not list((user.home / "b").rglob(".incoming-*"))

    user.run("package", "--gguf", berthlab.SMOLLM2, "ai/smollm2:q4")
    answer = user.run("run", "--temp", "0", "--max-tokens", "48", "--system", "You are a helpful assistant.", "ai/smollm2:q4",
                      "What is the capital of France?", timeout=300)
    assert "Paris" in answer.stdout

    # The same image again is there already; without the sandbox it is not run.
    before = (registry.folder / "log").read_text().count("GET /v2/tools/engine/blobs/")
    user.run("install-runner", reference)
    assert (registry.folder / "log").read_text().count("GET /v2/tools/engine/blobs/") == before
    bare = user.run("run", "--no-sandbox", "ai/smollm2:q4", "x", ok=False)
    assert bare.returncode == 69 and "container image" in bare.stderr
    user.run("uninstall-runner")
    assert not list((user.home / "b").rglob("rootfs"))


def test_what_is_no_engine_is_refused_and_the_old_one_stays(user, registry, tiny, folder):
    pusher = Pusher(registry, "tools/engine")
    engine_image(pusher, "good")
    host = f"localhost:{registry.port}"
    user.run("install-runner", f"{host}/tools/engine:good", timeout=300)

    def refused(tag, status, words):
        done = user.run("install-runner", f"{host}/tools/engine:{tag}", ok=False)
        assert done.returncode == status and words in done.stderr, (tag, done.returncode, done.stderr)

    def only(*items):
        def fill(tar):
            for name, content, mode in items:
                text(tar, name, content, mode)
        return [pusher.blob(*layer(fill))]

    pusher.image("empty", only(("etc/hostname", b"x", 0o644)), ["/bin/sh"])
    refused("empty", 69, "no llama-server")
    pusher.image("other", only(("app/llama-server", b"x", 0o755)), ["/app/llama-server"], "riscv64")
    refused("other", 69, "riscv64")
    pusher.image("broken", only(("app/llama-server", b"#!/no/such/shell\n", 0o755)), ["/app/llama-server"])
    refused("broken", 5, "does not run")
    pusher.image("climbing", only(("../../climbed", b"x", 0o644)), [])
    refused("climbing", 6, "unsafe name")
    user.run("package", "--gguf", tiny, f"{host}/tools/engine:model")
    user.run("push", f"{host}/tools/engine:model")
    refused("model", 69, "no container image")

    assert not list(folder.rglob("climbed"))
    assert not list((user.home / "b").rglob(".incoming-*"))
    assert f"{host}/tools/engine:good@" in user.run("status", ok=False).stdout
