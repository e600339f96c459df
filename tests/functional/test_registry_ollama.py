"""Ollama's client against `berth registry serve`: its requests as in its source (facts/oci.md B4; server/upload.go), replayed:
its pull of a model that was pushed as docker.ai and as ModelPack, and its push in pieces."""

import base64
import concurrent.futures
import hashlib
import json
import pathlib
import re
import secrets
import struct
import subprocess
import time
import urllib.parse

import pytest

import berthlab

AGENT = {"User-Agent": "ollama/0.33.0 (amd64 linux) Go/go1.24"}
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
PART = 100_000  # of a blob; Ollama's are 100 MB


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Ollama:
    """Its pull: manifest, then each layer by HEAD, a GET that only looks where the parts are, and parts without credentials."""

    def __init__(self, registry, key=None):
        self.registry = registry
        self.key = key
        self.token = None

    def ask(self, method, path, headers=None, body=None, again=True):
        headers = {**AGENT, **(headers or {})}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        status, answer, said = self.registry.request(method, path, body, headers=headers)
        if status == 401 and self.key and again:
            self.token = self.log_in(answer["www-authenticate"])
            return self.ask(method, path, headers, body, again=False)
        return status, answer, said

    def log_in(self, challenge):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge.removeprefix("Bearer ")))
        realm = urllib.parse.urlsplit(fields["realm"])
        assert realm.netloc == self.registry.host
        query = urllib.parse.urlencode(sorted([
            ("service", fields["service"]), ("scope", fields["scope"]), ("ts", str(int(time.time()))),
            ("nonce", base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="))]))
        url = f"{fields['realm']}?{query}"
        nothing = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
        status, _, body = self.registry.request(
            "GET", f"{realm.path}?{query}", headers={**AGENT, "Authorization": self.key.sign(f"GET,{url},{nothing}".encode())})
        assert status == 200, body
        return json.loads(body)["token"]

    def pull(self, name, tag):
        status, headers, body = self.ask("GET", f"/v2/{name}/manifests/{tag}", {"Accept": SCHEMA2})
        assert status == 200, body
        assert headers["content-type"] == SCHEMA2 and headers["docker-content-digest"] == sha256(body)
        manifest = json.loads(body)
        return manifest, {layer["mediaType"]: self.blob(name, layer) for layer in [*manifest["layers"], manifest["config"]]}

    def blob(self, name, layer):
        path = f"/v2/{name}/blobs/{layer['digest']}"
        status, headers, _ = self.ask("HEAD", path)
        assert (status, headers["content-length"]) == (200, str(layer["size"]))
        status, headers, _ = self.ask("GET", path)
        assert status == 200
        place = urllib.parse.urljoin(f"http://{self.registry.host}{path}", headers["location"])
        assert urllib.parse.urlsplit(place).netloc == self.registry.host
        data = b""
        while len(data) < layer["size"]:
            end = min(len(data) + PART, layer["size"]) - 1
            status, _, part = self.registry.request(
                "GET", place.removeprefix(f"http://{self.registry.host}"), headers={"Range": f"bytes={len(data)}-{end}"})
            assert status == 206, (status, part[:200])
            data += part
        assert sha256(data) == layer["digest"]
        return data


class Push(Ollama):
    """Its push of a blob: a HEAD, a POST, for each part a PATCH that is answered with a place for it and a PUT there without
    credentials, beside each other, and a PUT that ends it. It takes Locations for absolute addresses."""

    def path_of(self, address):
        url = urllib.parse.urlsplit(address)
        assert url.scheme == "http" and url.hostname == "127.0.0.1", address
        return f"{url.path}?{url.query}" if url.query else url.path

    def begin(self, name, data):
        assert self.ask("HEAD", f"/v2/{name}/blobs/{sha256(data)}")[0] == 404
        status, headers, _ = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202
        self.next = self.path_of(headers["location"])
        self.sums = {}

    def place_of(self, data, number):
        part = data[number * PART:(number + 1) * PART]
        begin = number * PART
        status, headers, body = self.ask("PATCH", self.next, {
            "Content-Type": "application/octet-stream", "X-Redirect-Uploads": "1",
            "Content-Range": f"{begin}-{begin + len(part) - 1}"}, part)
        assert status == 307, (status, body)
        self.next = self.path_of(headers["docker-upload-location"])
        return self.path_of(headers["location"]), part

    def put(self, place, part, number):
        status, _, body = self.registry.request("PUT", place, part, headers={**AGENT, "Content-Type": "application/octet-stream"})
        if status < 400:
            self.sums[number] = hashlib.md5(part).digest()
        return status

    def end(self, data):
        sums = b"".join(self.sums.get(number, bytes(16)) for number in range(parts_of(data)))
        query = urllib.parse.urlencode({"digest": sha256(data), "etag": f"{hashlib.md5(sums).hexdigest()}-{parts_of(data)}"})
        return self.ask("PUT", f"{self.next}{'&' if '?' in self.next else '?'}{query}")[0]

    def push_blob(self, name, data, order=None):
        self.begin(name, data)
        places = {number: self.place_of(data, number) for number in range(parts_of(data))}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            numbers = order or list(places)
            assert set(pool.map(lambda number: self.put(*places[number], number), numbers)) == {201}
        assert self.end(data) == 201

    def push(self, name, tag, layers):
        for data in layers.values():
            self.push_blob(name, data, order=list(reversed(range(parts_of(data)))))
        described = [{"mediaType": type, "digest": sha256(data), "size": len(data), "from": "base"} for type, data in layers.items()]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": SCHEMA2, "config": described[0], "layers": described[1:]}).encode()
        status, headers, body = self.ask("PUT", f"/v2/{name}/manifests/{tag}", {"Content-Type": SCHEMA2}, manifest)
        assert status == 201 and headers["docker-content-digest"] == sha256(manifest), body
        return manifest


def parts_of(data):
    return -(-len(data) // PART)


class Key:
    """An Ed25519 key as Ollama keeps it in ~/.ollama."""

    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.file], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.file, "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        wire = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-ed25519", der[-32:]))
        self.public = base64.b64encode(wire).decode()

    def sign(self, data):
        message = self.file.with_suffix(".message")
        message.write_bytes(data)
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", self.file, "-rawin", "-in", message],
                                   check=True, stdout=subprocess.PIPE).stdout
        return f"{self.public}:{base64.b64encode(signature).decode()}"


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
