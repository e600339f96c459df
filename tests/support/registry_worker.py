"""One client of a registry that knows exactly what it pushed, for tests/long/registry_kill and registry_soak."""

import collections
import hashlib
import http.client
import json
import random
import traceback

MOST_MODELS = 10  # of one worker: all of them are read again after each kill
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
GONE = (http.client.HTTPException, OSError)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def content(seed, size):
    return random.Random(seed).randbytes(size)


class Worker:
    """One client. What it knows of its own repository is exact, since nobody else changes that."""

    def __init__(self, number, seed, care=False):
        """`care`: the registry has quotas and retention for this worker's other repositories."""
        self.repository = f"w{number}/models"
        self.care = care
        self.told = set()  # (repository, tag, digest) of each acknowledged push: somebody has to hear of it
        self.released = None  # (tag, bytes) of the last one that retention must not take
        self.choice = random.Random(seed)
        self.count = 0
        self.models = {}  # manifest digest -> its bytes and [(blob digest, seed, size)]
        self.tags = {}  # tag -> the digests that it may stand for; None: it may be absent
        self.unsure = {}  # manifests whose push or deletion was cut off
        self.upload = None  # (location, acknowledged, data)
        self.done = collections.Counter()

    # --- requests

    def connect(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None, headers=None, expect=(200,)):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status in expect, (method, path, answer.status, data[:300])
        return answer, data

    def blob_path(self, digest):
        return f"/v2/{self.repository}/blobs/{digest}"

    def push_whole(self, data):
        self.ask("POST", f"/v2/{self.repository}/blobs/uploads/?digest={digest_of(data)}", data, expect=(201,))

    def push_chunked(self, data):
        location = self.ask("POST", f"/v2/{self.repository}/blobs/uploads/", expect=(202,))[0].headers["Location"]
        self.upload = (location, 0, data)
        self.go_on(0)

    def go_on(self, at):
        location, _, data = self.upload
        while at < len(data):
            end = min(len(data), at + self.choice.randint(1, 400_000))
            self.ask("PATCH", location, data[at:end], {"Content-Range": f"{at}-{end - 1}"}, expect=(202,))
            at = end
            self.upload = (location, at, data)
        self.ask("PUT", f"{location}?digest={digest_of(data)}", expect=(201,))
        self.upload = None

    # --- what it does

    def push_model(self):
        blobs = []
        for _ in range(self.choice.randint(1, 3)):
            self.count += 1
            seed, size = f"{self.repository}/{self.count}", self.choice.choice([0, 10, 5_000, 300_000, 1_500_000])
            data = content(seed, size)
            (self.push_chunked if self.choice.random() < 0.4 and size else self.push_whole)(data)
            blobs.append((digest_of(data), seed, size))
        layers = [{"mediaType": "application/x", "digest": d, "size": n} for d, _, n in blobs]
        value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0], "layers": layers, "annotations": {"n": str(self.count)}}
        if self.models and self.choice.random() < 0.2:
            value["subject"] = {"mediaType": MANIFEST, "digest": self.choice.choice(list(self.models)), "size": 1}
        data = json.dumps(value).encode()
        tag = f"t{self.choice.randint(0, 5)}"
        digest = digest_of(data)
        self.unsure[digest] = (data, blobs)
        before = self.tags.get(tag, {None})
        self.tags[tag] = before | {digest}
        self.ask("PUT", f"/v2/{self.repository}/manifests/{tag}", data, {"Content-Type": MANIFEST}, expect=(201,))
        self.models[digest] = self.unsure.pop(digest)
        self.tags[tag] = {digest}
        self.told.add((self.repository, tag, digest))

    def release(self):
        """Into a repository where retention keeps the last three."""
        self.count += 1
        repository, data = f"{self.repository}-ci", content(f"release {self.repository} {self.count}", 3_000)
        self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest_of(data)}", data, expect=(201,))
        layer = {"mediaType": "application/x", "digest": digest_of(data), "size": len(data)}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": [layer]}).encode()
        tag = f"pr-{self.count}"
        self.ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST}, expect=(201,))
        self.released = (tag, manifest)
        self.told.add((repository, tag, digest_of(manifest)))

    def fill(self):
        """A repository that may hold two of these; the collector makes room again."""
        self.count += 1
        data = content(f"fill {self.repository} {self.count}", 40_000)
        path = f"/v2/{self.repository}-full/blobs/uploads/?digest={digest_of(data)}"
        self.done["refused by quota"] += self.ask("POST", path, data, expect=(201, 403))[0].status == 403

    def delete_model(self):
        if not self.models:
            return
        digest = self.choice.choice(list(self.models))
        self.unsure[digest] = self.models.pop(digest)
        named = [tag for tag, may in self.tags.items() if digest in may]
        for tag in named:
            self.tags[tag] = self.tags[tag] | {None}
        self.ask("DELETE", f"/v2/{self.repository}/manifests/{digest}", expect=(202,))
        self.unsure.pop(digest)
        for tag in named:
            self.tags[tag] = {None}

    def delete_tag(self):
        held = [tag for tag, may in self.tags.items() if may and None not in may]
        if not held:
            return
        tag = self.choice.choice(held)
        self.tags[tag] = self.tags[tag] | {None}
        self.ask("DELETE", f"/v2/{self.repository}/manifests/{tag}", expect=(202,))
        self.tags[tag] = {None}

    def loose_blob(self):
        """Nobody will name it: the collector's."""
        self.count += 1
        self.push_whole(content(f"loose {self.repository} {self.count}", 2_000))

    def mount(self):
        if not self.models:
            return
        _, blobs = self.models[self.choice.choice(list(self.models))]
        path = f"/v2/{self.repository}-mounted/blobs/uploads/?mount={blobs[0][0]}&from={self.repository}"
        self.ask("POST", path, expect=(201,))

    def read(self):
        if self.models:
            self.check_model(self.choice.choice(list(self.models)))

    def step(self):
        if len(self.models) >= MOST_MODELS:
            return self.delete_model()
        kinds = {self.push_model: 8, self.delete_model: 2, self.delete_tag: 1, self.loose_blob: 2, self.mount: 1, self.read: 3}
        if self.care:
            kinds |= {self.release: 3, self.fill: 1}
        kind = self.choice.choices(list(kinds), list(kinds.values()))[0]
        kind()
        self.done[kind.__name__] += 1

    # --- what has to hold

    def check_model(self, digest):
        bytes_, blobs = self.models[digest]
        assert self.ask("GET", f"/v2/{self.repository}/manifests/{digest}")[1] == bytes_
        for blob, seed, size in blobs:
            assert self.ask("GET", self.blob_path(blob))[1] == content(seed, size), blob

    def check(self):
        """After a restart: everything; what was unsure becomes what is found."""
        for digest in list(self.models):
            self.check_model(digest)
        for digest, model in list(self.unsure.items()):
            status = self.ask("HEAD", f"/v2/{self.repository}/manifests/{digest}", expect=(200, 404))[0].status
            if status == 200:
                self.models[digest] = model
                self.check_model(digest)
        self.unsure.clear()
        if self.released:
            tag, data = self.released
            assert self.ask("GET", f"/v2/{self.repository}-ci/manifests/{tag}")[1] == data
        for tag, may in self.tags.items():
            answer = self.ask("HEAD", f"/v2/{self.repository}/manifests/{tag}", expect=(200, 404))[0]
            found = answer.headers["Docker-Content-Digest"] if answer.status == 200 else None
            assert found in may, (tag, found, may)
            assert found is None or found in self.models, (tag, found)
            self.tags[tag] = {found}
        if self.upload:
            location, acknowledged, data = self.upload
            answer = self.ask("GET", location, expect=(204, 404))[0]
            if answer.status == 404:
                # The PUT was cut off: it is a blob, or had its name and not yet its row. That is the one place where an
                # upload has to begin anew.
                assert acknowledged == len(data), acknowledged
                found = self.ask("GET", self.blob_path(digest_of(data)), expect=(200, 404))
                assert found[0].status == 404 or found[1] == data
                self.done["anew" if found[0].status == 404 else "was whole"] += 1
            else:
                last = int(answer.headers["Range"].split("-")[1])
                held = 0 if last == 0 else last + 1
                assert held >= acknowledged, (held, acknowledged)
                self.go_on(held)
                self.done["resumed"] += 1
            self.upload = None

    def work(self, port, faults, stop):
        try:
            self.connect(port)
            while not stop.is_set():
                self.step()
        except GONE:
            pass  # the server died
        except Exception:
            faults.append(f"{self.repository}: {traceback.format_exc()}")
        finally:
            self.connection.close()
