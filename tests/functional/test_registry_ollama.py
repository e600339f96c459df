"""Ollama's client against `berth registry serve`: its requests as in its source (facts/oci.md B4; server/upload.go), replayed:
its pull of a model that was pushed as docker.ai and as ModelPack, and its push in pieces."""

import json
import secrets
import subprocess

import pytest

import berthlab
from ollama_client import AGENT, PART, SCHEMA2, Key, Ollama, Push, parts_of, sha256


@pytest.mark.parametrize("format", ["docker", "cncf"])
def test_a_model_is_pulled_as_ollama_reads_it(tmp_path, format):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        berth = berthlab.Berth(tmp_path / "u")
        weights = berthlab.gguf(tmp_path / "tiny.gguf")
        (tmp_path / "LICENSE").write_text("do as you like")
        name = f"{registry.host}/team/tiny:{format}"
        berth.run("package", "--gguf", weights, "--license", tmp_path / "LICENSE", "--format", format, name)
        berth.run("push", name)
        manifest, blobs = Ollama(registry).pull("team/tiny", format)
        assert manifest["mediaType"] == SCHEMA2 and manifest["schemaVersion"] == 2
        assert blobs["application/vnd.ollama.image.model"] == weights.read_bytes()
        assert blobs["application/vnd.ollama.image.license"] == b"do as you like"
        config = json.loads(blobs["application/vnd.docker.container.image.v1+json"])
        assert (config["model_format"], config["model_family"]) == ("gguf", "llama")
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
        # Everybody else gets what was pushed.
        status, headers, _ = registry.request("GET", f"/v2/team/tiny/manifests/{format}", headers={"Accept": SCHEMA2})
        assert status == 200 and headers["content-type"] != SCHEMA2
    finally:
        registry.close()


def test_what_ollama_cannot_run_is_said_to_be_none(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        (tmp_path / "a.txt").write_text("no model")
        subprocess.run([berthlab.part("oras"), "push", "--plain-http", f"{registry.host}/o/a:1", "a.txt"], check=True, cwd=tmp_path,
                       stdout=subprocess.DEVNULL)
        status, _, body = registry.request("GET", "/v2/o/a/manifests/1", headers=AGENT)
        assert status == 404 and b"one GGUF file" in body
    finally:
        registry.close()


def test_a_private_model_takes_a_key_that_is_known(tmp_path):
    (tmp_path / "r").mkdir()
    known, stranger = Key(tmp_path / "r"), None
    (tmp_path / "s").mkdir()
    stranger = Key(tmp_path / "s")
    keys = tmp_path / "keys"
    keys.write_text(f"# people\nalice ssh-ed25519 {known.public} alice@laptop\n")
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=[("alice", "s3cret-canary")],
                                    env={"BERTH_REGISTRY_SERVER_OLLAMA_KEYS": str(keys)})
    try:
        berth = berthlab.Berth(tmp_path / "u")
        berth.run("login", registry.host, "-u", "alice", "--password-stdin", input="s3cret-canary")
        name = f"{registry.host}/team/tiny:1"
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), name)
        berth.run("push", name)
        manifest, _ = Ollama(registry, known).pull("team/tiny", "1")
        blob = f"/v2/team/tiny/blobs/{manifest['layers'][0]['digest']}"
        # A stranger's key, a changed address and no address at all open nothing.
        client = Ollama(registry, stranger)
        assert client.ask("GET", "/v2/team/tiny/manifests/1")[0] == 401
        opened = Ollama(registry, known)
        place = opened.ask("GET", blob)[1]["location"]
        assert registry.request("GET", place)[0] == 200
        other = blob[:-1] + ("0" if blob[-1] != "0" else "1")
        for wrong in (blob, place[:-1] + ("0" if place[-1] != "0" else "1"), place.replace(blob, other),
                      place.replace("until=", "until=9")):
            assert registry.request("GET", wrong)[0] == 401, wrong
        assert registry.request("DELETE", place)[0] == 401
    finally:
        registry.close()


def layers_of(weights):
    return {"application/vnd.docker.container.image.v1+json": json.dumps({"model_format": "gguf", "model_family": "llama"}).encode(),
            "application/vnd.ollama.image.model": weights,
            "application/vnd.ollama.image.template": b"{{ .Prompt }}"}


def test_ollama_pushes_what_it_pulls_again(tmp_path):
    (tmp_path / "r").mkdir()
    key = Key(tmp_path / "r")
    (tmp_path / "keys").write_text(f"alice ssh-ed25519 {key.public}\n")
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=[("alice", "s3cret-canary")],
                                    env={"BERTH_REGISTRY_SERVER_OLLAMA_KEYS": str(tmp_path / "keys")})
    try:
        layers = layers_of(berthlab.gguf(tmp_path / "tiny.gguf").read_bytes() + secrets.token_bytes(1_050_000))
        manifest = Push(registry, key).push("alice/tiny", "1", layers)
        read, blobs = Ollama(registry, key).pull("alice/tiny", "1")
        assert blobs == layers and read == json.loads(manifest)
        # Byte for byte what was pushed, also for others; and its blobs are not pushed again.
        status, headers, body = registry.request("GET", "/v2/alice/tiny/manifests/1", user=("alice", "s3cret-canary"))
        assert (status, headers["content-type"], body) == (200, SCHEMA2, manifest)
        for data in layers.values():
            assert Push(registry, key).ask("HEAD", f"/v2/alice/tiny/blobs/{sha256(data)}")[0] == 200
        assert not list((registry.root / "ingest").iterdir())
    finally:
        registry.close()


def test_parts_that_are_repeated_missing_or_wrong(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        data = secrets.token_bytes(5 * PART + 77)
        client = Push(registry)
        client.push_blob("o/a", data, order=[3, 0, 3, 5, 1, 0, 4, 2])  # some come again, at once
        # Without the last, and without one in the middle.
        for missing in (5, 2):
            data = secrets.token_bytes(5 * PART + 77)
            client.begin("o/a", data)
            places = {number: client.place_of(data, number) for number in range(parts_of(data))}
            for number in range(parts_of(data)):
                assert number == missing or client.put(*places[number], number) == 201
            assert client.end(data) == 416
            assert client.put(*places[missing], missing) == 201
            assert client.end(data) == 201
            assert registry.request("GET", f"/v2/o/a/blobs/{sha256(data)}")[2] == data
        # A part that is not what it was: found out by the digest.
        data = secrets.token_bytes(2 * PART)
        client.begin("o/a", data)
        for number in range(2):
            place, part = client.place_of(data, number)
            assert client.put(place, part, number) == 201
        assert client.put(place, part[::-1], 1) == 201
        assert client.end(data) == 400
        assert registry.request("HEAD", f"/v2/o/a/blobs/{sha256(data)}")[0] == 404
        # Plain clients send in order, as ever.
        location = registry.request("POST", "/v2/o/a/blobs/uploads/")[1]["location"]
        assert registry.request("PATCH", location, b"abc", headers={"Content-Range": "5-7"})[0] == 416
    finally:
        registry.close()


def test_a_push_in_parts_survives_the_death_of_the_server(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    data = secrets.token_bytes(4 * PART + 77)
    client = Push(registry)
    client.begin("o/a", data)
    for number in (3, 0):
        assert client.put(*client.place_of(data, number), number) == 201
    registry.kill()
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        client.registry = registry
        assert client.end(data) == 416
        for number in (4, 2, 1):
            assert client.put(*client.place_of(data, number), number) == 201
        assert client.end(data) == 201
        assert registry.request("GET", f"/v2/o/a/blobs/{sha256(data)}")[2] == data
    finally:
        registry.close()


def test_its_other_way_asks_first_whether_the_blob_is_here(tmp_path):
    """x/transfer/upload.go, for models of many tensors: POST with the digest and no body, PATCHes in order, PUT."""
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        data = secrets.token_bytes(3 * PART)
        client = Push(registry)
        asking = f"/v2/o/a/blobs/uploads/?digest={sha256(data)}"
        two = {"X-Redirect-Uploads": "2", "X-Content-Length": str(len(data))}
        status, headers, _ = client.ask("POST", asking, two)
        assert status == 202
        location = client.path_of(headers["location"])
        for begin in range(0, len(data), PART):
            part = data[begin:begin + PART]
            status, headers, _ = client.ask("PATCH", location, {"Content-Range": f"{begin}-{begin + len(part) - 1}"}, part)
            assert status == 202
            location = client.path_of(headers["location"])
        assert client.ask("PUT", f"{location}?digest={sha256(data)}")[0] == 201
        assert client.ask("POST", asking, two)[0] == 201
    finally:
        registry.close()
