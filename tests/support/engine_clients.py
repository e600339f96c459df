"""The requests of container engines, as their sources send them: headers, order, tokens, and what they demand of the answers."""

import base64
import hashlib
import http.client
import json
import re
import urllib.parse

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
OCTETS = "application/octet-stream"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Answer:
    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def json(self):
        return json.loads(self.body)


class Engine:
    """One client with its own connections. `access`: None, "basic" or "token" with `user`."""

    agent = ""
    headers = []
    client_id = ""

    def __init__(self, port, repository, actions, access=None, user=None, ns=None):
        self.port, self.repository, self.access, self.user, self.ns = port, repository, access, user, ns
        self.scopes = [f"repository:{repository}:{actions}"]
        self.authorization = None
        if access == "basic":
            self.authorization = self.basic()

    def basic(self):
        return "Basic " + base64.b64encode(":".join(self.user).encode()).decode()

    def send(self, method, path, headers=(), body=None, authorization=None):
        """`body`: bytes with their length, or an iterable that is chunked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("User-Agent", self.agent)
        for name, value in (*self.headers, *headers):
            connection.putheader(name, value)
        if not any(name == "Accept-Encoding" for name, _ in headers):
            connection.putheader("Accept-Encoding", "gzip")  # Go's client, of itself
        if authorization or self.authorization:
            connection.putheader("Authorization", authorization or self.authorization)
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        answer = Answer(response, response.read())
        connection.close()
        return answer

    def challenge(self, answer):
        found = answer.headers["www-authenticate"]
        assert found.startswith("Bearer "), found
        return dict(re.findall(r'(\w+)="([^"]*)"', found))

    def ask(self, method, path, headers=(), body=None, expect=(200,)):
        """With the token of before; a 401 fetches one and asks again, as all of them do."""
        answer = self.send(method, self.address(path), headers, body)
        if answer.status == 401 and self.access == "token":
            self.authorization = "Bearer " + self.token(self.challenge(answer))
            answer = self.send(method, self.address(path), headers, body)
        assert answer.status in expect, (type(self).__name__, method, path, answer.status, answer.body[:300])
        return answer

    def address(self, path):
        return path

    def v2(self, rest):
        return f"/v2/{self.repository}/{rest}"

    def path_of(self, url):
        """Of a Location, which may be whole or begin with the path."""
        parts = urllib.parse.urlsplit(url)
        assert not parts.netloc or parts.port == self.port
        return parts.path + ("?" + parts.query if parts.query else "")

    @staticmethod
    def with_query(path, **values):
        return path + ("&" if "?" in path else "?") + urllib.parse.urlencode(values)


class Docker(Engine):
    """moby: daemon/internal/distribution/{push,pull}_v2.go over distribution's client: repository.go, blob_writer.go,
    transport/http_reader.go, auth/session.go."""

    agent = "docker/28.0.4 go/go1.23.7 git-commit/6430e49 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/28.0.4 \\(linux\\))"
    client_id = "docker"
    accept = [("Accept", type) for type in (LIST, INDEX, MANIFEST, SCHEMA2)]

    def token(self, challenge):
        query = [("service", challenge["service"]), *(("scope", scope) for scope in self.scopes), ("account", self.user[0])]
        answer = self.send("GET", self.path_of(challenge["realm"]) + "?" + urllib.parse.urlencode(query), authorization=self.basic())
        assert answer.status == 200, answer.body
        value = answer.json()
        return value.get("access_token") or value["token"]

    def ping(self):
        answer = self.send("GET", "/v2/", authorization=None)
        assert answer.status in (200, 401)
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        if answer.status == 401 and self.access == "token":
            self.authorization = "Bearer " + self.token(self.challenge(answer))

    def pull(self, reference):
        """The digests of config and layers, checked; one layer breaks off and is gone on with."""
        self.ping()
        head = self.ask("HEAD", self.v2(f"manifests/{reference}"), self.accept)
        assert head.headers["content-type"] in (SCHEMA2, LIST, MANIFEST, INDEX) and int(head.headers["content-length"]) > 0
        digest = head.headers["docker-content-digest"]
        manifest = self.manifest(digest)
        if manifest.get("manifests"):
            manifest = self.manifest(manifest["manifests"][0]["digest"])
        config = self.ask("GET", self.v2(f"blobs/{manifest['config']['digest']}"))
        assert digest_of(config.body) == manifest["config"]["digest"]
        return digest, [self.layer(layer) for layer in manifest["layers"]]

    def manifest(self, digest):
        answer = self.ask("GET", self.v2(f"manifests/{digest}"), self.accept)
        assert digest_of(answer.body) == digest and answer.headers["content-type"] == answer.json()["mediaType"]
        return answer.json()

    def layer(self, layer):
        plain = [("Accept-Encoding", "zstd, gzip, deflate")]
        path = self.v2(f"blobs/{layer['digest']}")
        whole = self.ask("GET", path, plain)
        assert "content-encoding" not in whole.headers and int(whole.headers["content-length"]) == layer["size"]
        at = layer["size"] // 3
        rest = self.ask("GET", path, [*plain, ("Range", f"bytes={at}-")], expect=(206,))
        found = re.match(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)$", rest.headers["content-range"])
        begin, end, size = map(int, found.groups())
        assert begin == at and end + 1 == size == layer["size"]
        assert digest_of(whole.body[:at] + rest.body) == layer["digest"]
        return whole.body

    def push_layer(self, data, mount_from=None):
        digest = digest_of(data)
        if self.ask("HEAD", self.v2(f"blobs/{digest}"), expect=(200, 404)).status == 200:
            return "exists"
        place = self.v2("blobs/uploads/")
        if mount_from:
            place += "?" + urllib.parse.urlencode({"from": mount_from, "mount": digest})
            self.scopes.append(f"repository:{mount_from}:pull")
            if self.access == "token":  # another scope is another token
                self.authorization = None
        begun = self.ask("POST", place, expect=(201, 202))
        if begun.status == 201:
            self.stat(data)
            return "mounted"
        assert begun.headers["docker-upload-uuid"]
        location = self.path_of(begun.headers["location"])
        half = len(data) // 2
        sent = self.ask("PATCH", location, [("Content-Type", OCTETS)], iter([data[:half], data[half:]]), (202,))
        begin, end = map(int, sent.headers["range"].split("-"))
        assert begin == 0 and end == len(data) - 1 and sent.headers["docker-upload-uuid"]
        self.ask("PUT", self.with_query(self.path_of(sent.headers["location"]), digest=digest), expect=(201,))
        self.stat(data)
        return "pushed"

    def stat(self, data):
        head = self.ask("HEAD", self.v2(f"blobs/{digest_of(data)}"))
        assert int(head.headers["content-length"]) == len(data) and head.headers["content-type"]

    def put_manifest(self, reference, data):
        answer = self.ask("PUT", self.v2(f"manifests/{reference}"), [("Content-Type", json.loads(data)["mediaType"])], data, (201,))
        assert answer.headers["docker-content-digest"] == digest_of(data)

    def push(self, reference, image, mount_from=None):
        self.ping()
        done = [self.push_layer(layer, mount_from) for layer in image.layers]
        self.push_layer(image.config)
        self.put_manifest(reference, image.manifest)
        return done


class Containerd(Engine):
    """containerd: core/remotes/docker/{resolver,fetcher,pusher,referrers,authorizer}.go and auth/fetch.go. Also what
    Kubernetes' image volumes and `docker buildx imagetools` ask."""

    agent = "containerd/2.2.1"
    coded = ("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")
    posts = True

    def address(self, path):
        return self.with_query(path, ns=self.ns) if self.ns else path

    def token(self, challenge):
        """By a form, and by GET when that is not taken."""
        assert challenge["scope"] in " ".join(self.scopes) or "push" in challenge["scope"], challenge
        realm, scopes = self.path_of(challenge["realm"]), sorted({*self.scopes, *challenge["scope"].split()})
        form = urllib.parse.urlencode({"scope": " ".join(scopes), "service": challenge["service"], "client_id": "containerd-client",
                                       "grant_type": "password", "username": self.user[0], "password": self.user[1]})
        answer = self.send("POST", realm, [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")], form.encode())
        if answer.status in (400, 401, 404, 405):
            query = urllib.parse.urlencode([("service", challenge["service"]), *(("scope", scope) for scope in scopes)])
            answer = self.send("GET", realm + "?" + query, authorization=self.basic())
            assert answer.status == 200, answer.body
            return answer.json().get("access_token") or answer.json()["token"]
        assert answer.status == 200, answer.body
        return answer.json()["access_token"]

    def pull(self, reference):
        accept = ("Accept", ", ".join((SCHEMA2, LIST, MANIFEST, INDEX, "*/*")))
        head = self.ask("HEAD", self.v2(f"manifests/{reference}"), [accept])
        digest = head.headers["docker-content-digest"]
        manifest = self.manifest(digest, head.headers["content-type"])
        if manifest.get("manifests"):
            manifest = self.manifest(manifest["manifests"][0]["digest"], manifest["manifests"][0]["mediaType"])
        return digest, [self.blob(layer) for layer in (manifest["config"], *manifest["layers"])][1:]

    def manifest(self, digest, type):
        answer = self.ask("GET", self.v2(f"manifests/{digest}"), [("Accept", f"{type}, */*"), self.coded])
        assert digest_of(answer.body) == digest and "content-encoding" not in answer.headers
        return answer.json()

    def blob(self, layer):
        path, headers = self.v2(f"blobs/{layer['digest']}"), [("Accept", f"{layer['mediaType']}, */*"), self.coded]
        # Several connections ask for everything from a place on, the first from the beginning; a seeker reads on like that.
        whole = self.ask("GET", path, [*headers, ("Range", "bytes=0-")], expect=(206,))
        assert whole.headers["content-range"] == f"bytes 0-{layer['size'] - 1}/{layer['size']}"
        at = layer["size"] // 2
        rest = self.ask("GET", path, [*headers, ("Range", f"bytes={at}-")], expect=(206,))
        assert rest.headers["content-range"].startswith(f"bytes {at}-")
        assert digest_of(whole.body[:at] + rest.body) == layer["digest"]
        return whole.body

    def push_blob(self, data, type, mount_from=None):
        digest = digest_of(data)
        if self.ask("HEAD", self.v2(f"blobs/{digest}"), [("Accept", f"{type}, */*")], expect=(200, 404)).status == 200:
            return "exists"
        begun = None
        if mount_from:
            self.scopes.append(f"repository:{mount_from}:pull")
            path = self.with_query(self.v2("blobs/uploads/"), mount=digest) + "&from=" + mount_from
            if self.access == "token":
                self.authorization = None
            begun = self.ask("POST", path, expect=(201, 202, 401))
            if begun.status == 201:
                return "mounted"
        if begun is None or begun.status == 401:
            begun = self.ask("POST", self.v2("blobs/uploads/"), expect=(202,))
        location = self.with_query(self.path_of(begun.headers["location"]), digest=digest)
        done = self.ask("PUT", location, [("Content-Type", OCTETS)], data, (201,))
        assert done.headers.get("docker-content-digest", digest) == digest
        return "pushed"

    def push_manifest(self, reference, data):
        """HEAD first; by tag or digest."""
        type = json.loads(data)["mediaType"]
        head = self.ask("HEAD", self.v2(f"manifests/{reference}"), [("Accept", f"{type}, */*")], expect=(200, 404))
        if head.status == 200 and head.headers["docker-content-digest"] == digest_of(data):
            return "exists"
        answer = self.ask("PUT", self.v2(f"manifests/{reference}"), [("Content-Type", type)], data, (201,))
        assert answer.headers["docker-content-digest"] == digest_of(data)
        return "pushed"

    def push(self, reference, image, mount_from=None):
        done = [self.push_blob(layer, image.layer_type, mount_from) for layer in image.layers]
        self.push_blob(image.config, image.config_type)
        self.push_manifest(reference, image.manifest)
        return done

    def referrers(self, digest, type=None):
        path = self.v2(f"referrers/{digest}")
        answer = self.ask("GET", self.with_query(path, artifactType=type) if type else path, [("Accept", f"{INDEX}, */*"), self.coded])
        assert answer.json()["mediaType"] == INDEX and len(answer.body) <= 4 << 20
        return answer.json()["manifests"]


class Containers(Engine):
    """podman, CRI-O, skopeo, buildah: containers/image docker/{docker_client,docker_image_src,docker_image_dest}.go."""

    agent = "containers/5.36.2 (github.com/containers/image)"
    headers = [("Docker-Distribution-API-Version", "registry/2.0")]
    accept = [("Accept", type) for type in (
        MANIFEST, SCHEMA2, "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.docker.distribution.manifest.v1+json",
        LIST, INDEX)]

    def token(self, challenge):
        query = [("account", self.user[0]), ("service", challenge["service"]), *(("scope", scope) for scope in self.scopes)]
        answer = self.send("GET", self.path_of(challenge["realm"]) + "?" + urllib.parse.urlencode(query), authorization=self.basic())
        assert answer.status == 200, answer.body
        value = answer.json()
        assert value.get("expires_in", 60) >= 60
        return value.get("token") or value["access_token"]

    def ping(self):
        answer = self.send("GET", "/v2/")
        assert answer.status in (200, 401)
        if answer.status == 401 and self.access == "token":
            self.authorization = "Bearer " + self.token(self.challenge(answer))

    def pull(self, reference):
        self.ping()
        answer = self.ask("GET", self.v2(f"manifests/{reference}"), self.accept)
        digest = digest_of(answer.body)
        manifest = answer.json()
        if manifest.get("manifests"):
            manifest = self.ask("GET", self.v2(f"manifests/{manifest['manifests'][0]['digest']}"), self.accept).json()
        # Signatures beside the image; an absent one has to say so.
        absent = self.ask("GET", self.v2(f"manifests/{digest.replace(':', '-')}.sig"), self.accept, expect=(404,))
        assert absent.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
        return digest, [self.blob(layer) for layer in (manifest["config"], *manifest["layers"])][1:]

    def blob(self, layer):
        path = self.v2(f"blobs/{layer['digest']}")
        whole = self.ask("GET", path)
        assert int(whole.headers["content-length"]) == layer["size"] and digest_of(whole.body) == layer["digest"]
        # Of zstd:chunked layers it asks for several ranges at once, and takes the whole as well.
        some = self.ask("GET", path, [("Range", "bytes=0-9,20-29")], expect=(200, 206))
        assert some.status == 200 and some.body == whole.body or "multipart/byteranges" in some.headers["content-type"]
        return whole.body

    def push_blob(self, data, mount_from=None):
        digest = digest_of(data)
        if self.ask("HEAD", self.v2(f"blobs/{digest}"), expect=(200, 404)).status == 200:
            return "exists"
        if mount_from:
            self.scopes.append(f"repository:{mount_from}:pull")
            if self.access == "token":
                self.authorization = None
            place = self.v2("blobs/uploads/") + "?" + urllib.parse.urlencode({"from": mount_from, "mount": digest})
            begun = self.ask("POST", place, expect=(201, 202))
            if begun.status == 201:
                return "mounted"
            self.ask("DELETE", self.path_of(begun.headers["location"]), expect=(204,))
        begun = self.ask("POST", self.v2("blobs/uploads/"), expect=(202,))
        sent = self.ask("PATCH", self.path_of(begun.headers["location"]), [("Content-Type", OCTETS)], data, (202,))
        location = self.with_query(self.path_of(sent.headers["location"]), digest=digest)
        self.ask("PUT", location, [("Content-Type", OCTETS)], expect=(201,))
        return "pushed"

    def push(self, reference, image, mount_from=None):
        self.ping()
        done = [self.push_blob(layer, mount_from) for layer in image.layers]
        self.push_blob(image.config)
        self.ask("PUT", self.v2(f"manifests/{reference}"), [("Content-Type", json.loads(image.manifest)["mediaType"])], image.manifest, (201,))
        return done


class Image:
    """Config, two layers and their manifest, in Docker's types or OCI's."""

    def __init__(self, seed, type=SCHEMA2):
        docker = type == SCHEMA2
        self.layers = [hashlib.shake_128(f"{seed} {number}".encode()).digest(size) for number, size in enumerate((200_000, 3_000))]
        self.layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else "application/vnd.oci.image.layer.v1.tar+gzip"
        self.config_type = "application/vnd.docker.container.image.v1+json" if docker else "application/vnd.oci.image.config.v1+json"
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "seed": seed,
                                  "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in self.layers]}}).encode()
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": type, "config": self.describe(self.config, self.config_type),
                                    "layers": [self.describe(layer, self.layer_type) for layer in self.layers]}).encode()

    @staticmethod
    def describe(data, type):
        return {"mediaType": type, "size": len(data), "digest": digest_of(data)}

    @staticmethod
    def list_of(*images, type=LIST):
        return json.dumps({"schemaVersion": 2, "mediaType": type, "manifests": [
            {**Image.describe(image.manifest, json.loads(image.manifest)["mediaType"]), "platform": {"architecture": "amd64", "os": "linux"}}
            for image in images]}).encode()
