"""Ollama's client against `berth registry serve`: its requests as in its source (facts/oci.md B4), replayed, for a model that
was pushed as docker.ai and as ModelPack."""

import base64
import hashlib
import json
import pathlib
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

    def ask(self, method, path, headers=None):
        headers = {**AGENT, **(headers or {})}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        status, answer, body = self.registry.request(method, path, headers=headers)
        if status == 401 and self.key and not self.token:
            self.token = self.log_in(answer["www-authenticate"])
            return self.ask(method, path, headers)
        return status, answer, body

    def log_in(self, challenge):
        fields = dict(part.split("=", 1) for part in challenge.removeprefix("Bearer ").replace('"', "").split(","))
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
