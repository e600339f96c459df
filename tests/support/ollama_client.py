"""Ollama's client, replayed: its requests as in its source (facts/oci.md B4; server/upload.go)."""

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
            statuses = list(pool.map(lambda number: self.put(*places[number], number), numbers))
        for number in places:
            told = [status for asked, status in zip(numbers, statuses) if asked == number]
            # One that comes again while it is still coming takes the place of the other.
            assert 201 in told and set(told) <= ({201, 409} if len(told) > 1 else {201}), (number, told)
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
