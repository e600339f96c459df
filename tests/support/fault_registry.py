"""A registry that speaks the distribution protocol and misbehaves on request; counts every byte that moves.

    with FaultRegistry(folder) as registry:           # or .close()
        registry.add_blob("ai/x", data)               # held without a push
        registry.fault("cut", "GET", "/blobs/", after=1000, times=2)
        ... berth pull f"{registry.host}/ai/x" ...
        assert registry.sent < 1.05 * len(data)

It listens on ports that the kernel chose, one thread a connection, blobs and uploads are files below `folder`.
`registry.host` is its "127.0.0.1:port", `registry.storage_host` a second origin in the same process (object storage, for redirects).

How it behaves all the time (keyword arguments of the constructor, and attributes that may be changed while it runs):

  ranges="ok"            "ignore": Range is answered with 200 and the whole blob
  redirect=False         blob GETs are redirected to the storage origin with a URL that is good for `url_uses` requests (default 1000)
  auth=None              "basic" or "bearer": alice / CANARY-password; tokens CANARY-token-N, each good for `token_uses` requests
  upload_status="right"  the status of an upload is what came, also of a PATCH or PUT that was cut; "lost": the status of an upload that
                         was cut is 404 and the upload is gone (as docker-registry 2.8 does); "patch": a cut PATCH is kept, a cut PUT lost
  patch="ok"             "refuse": PATCH is 405; "ecr": 201, and what comes after the first is dropped; "small": 416 to a Content-Range
                         of more than 4 MiB (GHCR)
  max_put, max_patch     bodies above it: 413, without being read
  rate=None              bytes a second for each connection, both directions
  total_rate=None        bytes a second for all connections together
  min_chunk=None         OCI-Chunk-Min-Length

Single faults: fault(kind, method, path, times=1, skip=0, **options) is met by the requests of that method whose path contains `path`
(after the first `skip` of them) and whose body has at least `at_least` bytes, `times` times; the first that fits is used. Kinds:

  status   code=503, headers={}, body=b""     this answer instead (the body of the request is read first unless early=True)
  cut      after=N, how="reset"|"close"       the connection ends when N bytes of the body have moved (either direction)
  stall    after=N                            nothing moves after N bytes; ends when the client leaves
  crawl    after=N, rate=1000                 so slow after N bytes
  lie      headers={...}                      these header fields in place of the true ones (Content-Range, Docker-Content-Digest)
  short    bytes=N                            a 206 of at most N bytes, truthfully labelled
  range416                                    416 though the range is inside
  shift    bytes=N                            a 206 that begins N bytes later than asked, truthfully labelled
  flip     at=N                               one bit of the body is wrong
  no_length                                   no Content-Length; the end of the connection ends the body
  http10                                      the answer is HTTP/1.0, without a length
  gone                                        the connection is closed instead of answered (a kept-alive one that the server gave up)
  hang_up                                     answers, then closes without having said so
  gzip                                        Content-Encoding: gzip of the true bytes, whatever was asked for
  bomb     bytes=N                            Content-Encoding: gzip that unpacks to N zeros
  expired                                     the redirect's URL is not good any more
  redirect to=URL                             302 to there
  lose_upload                                 the upload of this request is forgotten: 404
  late_401                                    an upload's body is taken, and then a login wanted (with auth="bearer")
  ack                                         a closing PUT is acknowledged and nothing is stored
  endless  bytes=N                            more body than announced (chunked), at most N bytes
  headers_flood bytes=N                       an answer whose header is so long

What it saw: `sent` and `received` are bytes of blob bodies that went out and came in (all that was read, kept or not), `requests` a list of
Seen(method, path, query, headers, origin, sent, received), `leaks()` the requests at the storage origin that carried an Authorization,
`uploads` the sessions that are open, `blobs(repository)`, `peak` the most blob transfers at once.
"""

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import json
import pathlib
import re
import select
import socket
import struct
import threading
import time
import urllib.parse
import uuid
import zlib

PIECE = 128 * 1024
USER, PASSWORD = "alice", "CANARY-password"


@dataclasses.dataclass
class Seen:
    method: str
    path: str
    query: dict
    headers: dict
    origin: str
    sent: int = 0
    received: int = 0
    status: int = 0


@dataclasses.dataclass
class Fault:
    kind: str
    method: str
    path: str
    times: int = 1
    skip: int = 0
    at_least: int = 0
    options: dict = dataclasses.field(default_factory=dict)
    met: int = 0

    def __getattr__(self, name):
        try:
            return self.__dict__["options"][name]
        except KeyError:
            raise AttributeError(name) from None

    def get(self, name, otherwise=None):
        return self.options.get(name, otherwise)


class Ended(Exception):
    """The connection is over: the client left, or a fault ended it."""


class Pace:
    """At most `rate` bytes a second."""

    def __init__(self, rate):
        self.rate, self.due, self.lock = rate, time.monotonic(), threading.Lock()

    def wait(self, count):
        with self.lock:
            now = time.monotonic()
            self.due = max(self.due, now - 0.05) + count / self.rate
            wait = self.due - now
        if wait > 0:
            select.select([], [], [], wait)


class FaultRegistry:
    def __init__(self, folder, *, ranges="ok", redirect=False, auth=None, upload_status="right", patch="ok", max_put=None,
                 max_patch=None, rate=None, total_rate=None, min_chunk=None, url_uses=1000, token_uses=1_000_000, host="127.0.0.1"):
        self.folder = pathlib.Path(folder)
        (self.folder / "blobs").mkdir(parents=True, exist_ok=True)
        (self.folder / "uploads").mkdir(exist_ok=True)
        self.ranges, self.redirect, self.auth = ranges, redirect, auth
        self.upload_status, self.patch, self.max_put, self.max_patch = upload_status, patch, max_put, max_patch
        self.rate, self.min_chunk, self.url_uses, self.token_uses = rate, min_chunk, url_uses, token_uses
        self.total = Pace(total_rate) if total_rate else None
        self.lock = threading.RLock()
        self.faults, self.requests, self.uploads, self.tokens, self.urls = [], [], {}, {}, {}
        self.repositories, self.manifests, self.tags = {}, {}, {}
        self.sent = self.received = self.moving = self.peak = self.tokens_given = 0
        self.failures = []
        self.ending = False
        self.listeners, self.threads, self.connections = [], [], set()
        self.host = self._listen(host, "registry")
        self.storage_host = self._listen(host, "storage")

    # --- life ---

    def _listen(self, host, origin):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind((host, 0))
        listener.listen(64)
        self.listeners.append(listener)
        thread = threading.Thread(target=self._accept, args=(listener, origin), daemon=True)
        thread.start()
        self.threads.append(thread)
        port = listener.getsockname()[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _accept(self, listener, origin):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.ending:
                    connection.close()
                    return
                self.connections.add(connection)
            threading.Thread(target=Connection(self, connection, origin).serve, daemon=True).start()

    def close(self):
        with self.lock:
            self.ending = True
            connections = list(self.connections)
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        assert not self.failures, self.failures

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what tests say and ask ---

    def fault(self, kind, method="GET", path="", times=1, skip=0, at_least=0, **options):
        made = Fault(kind, method, path, times, skip, at_least, options)
        with self.lock:
            self.faults.append(made)
        return made

    def add_blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / digest[7:]).write_bytes(data)
        self.repositories.setdefault(repository, set()).add(digest)
        return digest

    def blobs(self, repository):
        return set(self.repositories.get(repository, ()))

    def manifest(self, repository, reference):
        digest = self.tags.get((repository, reference), reference)
        return self.manifests[(repository, digest)][1]

    def forget(self):
        """The counters begin again; what is held stays."""
        with self.lock:
            self.requests.clear()
            self.sent = self.received = self.peak = 0

    def seen(self, method, part=""):
        with self.lock:
            return [r for r in self.requests if r.method == method and part in r.path]

    def leaks(self):
        with self.lock:
            return [r for r in self.requests if r.origin == "storage" and ("authorization" in r.headers or "CANARY" in str(r))]

    def revoke_tokens(self):
        with self.lock:
            self.tokens.clear()

    def take_fault(self, method, path, length):
        with self.lock:
            for fault in self.faults:
                if fault.times <= 0 or fault.method != method or fault.path not in path or length < fault.at_least:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                fault.met += 1
                return fault
        return None


class Connection:
    """One connection of a client, in its own thread."""

    def __init__(self, registry, connection, origin):
        self.r, self.socket, self.origin = registry, connection, origin
        self.buffer = b""
        self.pace = Pace(registry.rate) if registry.rate else None
        self.crawl = None

    def serve(self):
        try:
            while self.exchange():
                pass
        except (Ended, OSError):
            pass
        except Exception as failure:  # a bug of this file must not look like a fault that was asked for
            self.r.failures.append(repr(failure))
        finally:
            with self.r.lock:
                self.r.connections.discard(self.socket)
            self.socket.close()

    # --- bytes ---

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            more = self.socket.recv(64 * 1024)
            if not more:
                raise Ended
            self.buffer += more
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        return method, target, headers

    def recv(self, most):
        if self.buffer:
            piece, self.buffer = self.buffer[:most], self.buffer[most:]
            return piece
        piece = self.socket.recv(most)
        if not piece:
            raise Ended
        return piece

    def slow(self, count):
        for pace in (self.pace, self.r.total, self.crawl):
            if pace:
                pace.wait(count)

    def body_pieces(self):
        """The request's body, piece by piece; faults that count bytes are met in here."""
        fault = self.fault if self.fault and self.fault.kind in ("cut", "stall", "crawl") else None
        moved = 0
        for piece in self.raw_pieces():
            keep = piece
            if fault and moved + len(piece) >= fault.get("after", 0):
                keep = piece[: fault.get("after", 0) - moved] if fault.kind != "crawl" else piece
            moved += len(piece)
            self.seen.received += len(keep)
            with self.r.lock:
                self.r.received += len(keep)
            if keep:
                yield keep
            self.slow(len(piece))
            if fault and moved >= fault.get("after", 0):
                self.meet(fault)

    def raw_pieces(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                while b"\r\n" not in self.buffer:
                    self.buffer += self.recv_more()
                size, self.buffer = self.buffer.split(b"\r\n", 1)
                left = int(size.split(b";")[0], 16)
                if left == 0:
                    while b"\r\n" not in self.buffer:
                        self.buffer += self.recv_more()
                    self.buffer = self.buffer.split(b"\r\n", 1)[1]
                    return
                while left:
                    piece = self.recv(min(left, PIECE))
                    left -= len(piece)
                    yield piece
                while len(self.buffer) < 2:
                    self.buffer += self.recv_more()
                self.buffer = self.buffer[2:]
        left = int(self.headers.get("content-length", 0))
        while left:
            piece = self.recv(min(left, PIECE))
            left -= len(piece)
            yield piece

    def recv_more(self):
        piece = self.socket.recv(64 * 1024)
        if not piece:
            raise Ended
        return piece

    def meet(self, fault):
        if fault.kind == "crawl":
            self.crawl = self.crawl or Pace(fault.get("rate", 1000))
        elif fault.kind == "stall":
            self.await_leaving()
        elif fault.kind == "cut":
            self.end(fault.get("how", "reset"))

    def await_leaving(self):
        while True:
            select.select([self.socket], [], [])
            try:
                if not self.socket.recv(1, socket.MSG_PEEK):
                    raise Ended
            except OSError:
                raise Ended from None
            # Bytes wait to be read and must not be: the client notices nothing but silence.
            poll = select.poll()
            poll.register(self.socket, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
            poll.poll()
            raise Ended

    def end(self, how):
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended

    def drop_body(self):
        for _ in self.body_pieces():
            pass

    def answer(self, status, headers=None, body=b"", version="HTTP/1.1"):
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        if self.fault and self.fault.kind == "lie":
            fields.update(self.fault.get("headers", {}))
        self.send_head(status, fields, version)
        if body and self.seen.method != "HEAD":
            self.socket.sendall(body)

    def send_head(self, status, fields, version="HTTP/1.1"):
        self.seen.status = status
        text = f"{version} {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None)
        self.socket.sendall((text + "\r\n").encode("latin-1"))

    def problem(self, status, code, headers=None):
        body = json.dumps({"errors": [{"code": code, "message": "as the fault registry was told"}]}).encode()
        self.answer(status, {"Content-Type": "application/json", **(headers or {})}, body)

    # --- one exchange ---

    def exchange(self):
        method, target, self.headers = self.read_head()
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.seen = Seen(method, url.path, query, self.headers, self.origin)
        with self.r.lock:
            self.r.requests.append(self.seen)
        self.fault = self.r.take_fault(method, url.path, int(self.headers.get("content-length", 0)))
        kind = self.fault.kind if self.fault else None
        self.crawl = None
        if kind == "gone":
            raise Ended
        if kind in ("stall", "cut") and self.fault.get("after") is None:
            self.meet(self.fault)
        if kind == "status":
            if not self.fault.get("early"):
                self.drop_body()
            self.answer(self.fault.get("code", 503), self.fault.get("headers"), self.fault.get("body", b""))
        elif kind == "redirect":
            self.drop_body()
            self.answer(302, {"Location": self.fault.to})
        elif kind == "headers_flood":
            self.drop_body()
            self.answer(200, {f"X-Flood-{i}": "x" * 1000 for i in range(self.fault.bytes // 1000)})
        elif self.origin == "storage":
            self.storage(url.path, query)
        elif url.path == "/token":
            self.token(query)
        elif self.allowed(url.path):
            self.route(method, url.path, query)
        if kind == "hang_up" or self.headers.get("connection", "").lower() == "close":
            raise Ended
        return True

    def basic(self):
        return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def allowed(self, path):
        if not self.r.auth:
            return True
        sent = self.headers.get("authorization", "")
        if self.r.auth == "basic" and sent == self.basic():
            return True
        if self.r.auth == "bearer":
            with self.r.lock:
                if self.r.tokens.get(sent, 0) > 0:
                    self.r.tokens[sent] -= 1
                    return True
        self.refuse_body(401, "UNAUTHORIZED", self.challenge())
        return False

    def challenge(self):
        realm = f'Bearer realm="http://{self.r.host}/token",service="fault"'
        return {"WWW-Authenticate": 'Basic realm="fault"' if self.r.auth == "basic" else realm}

    def token(self, query):
        if self.headers.get("authorization") != self.basic():
            return self.problem(401, "UNAUTHORIZED")
        with self.r.lock:
            self.r.tokens_given += 1
            token = f"CANARY-token-{self.r.tokens_given}"
            self.r.tokens["Bearer " + token] = self.r.token_uses
        self.answer(200, {"Content-Type": "application/json"}, json.dumps({"token": token, "expires_in": 300}).encode())

    def storage(self, path, query):
        key = query.get("signature", "")
        with self.r.lock:
            digest, left = self.r.urls.get(key, (None, 0))
            if digest:
                self.r.urls[key] = (digest, left - 1)
        if not digest or left <= 0 or (self.fault and self.fault.kind == "expired"):
            return self.answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        self.send_blob(digest)

    def route(self, method, path, query):
        if path == "/v2/":
            return self.answer(200, {"Content-Type": "application/json"}, b"{}")
        found = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests|tags|referrers)/([^/]*)", path)
        if not found:
            self.drop_body()
            return self.problem(404, "NAME_UNKNOWN")
        name, what, rest = found.groups()
        if what == "blobs/uploads":
            return self.upload(method, name, rest, query)
        if what == "blobs":
            return self.blob(name, rest)
        if what == "manifests":
            return self.manifest(method, name, rest)
        if what == "referrers":
            return self.answer(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"},
                               b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}')
        tags = sorted(tag for repository, tag in self.r.tags if repository == name)
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps({"name": name, "tags": tags}).encode())

    # --- reading ---

    def blob(self, name, digest):
        if digest not in self.r.repositories.get(name, ()):
            return self.problem(404, "BLOB_UNKNOWN")
        if self.seen.method == "GET" and self.r.redirect:
            key = uuid.uuid4().hex
            expired = self.fault is not None and self.fault.kind == "expired"
            with self.r.lock:
                self.r.urls[key] = (digest, 0 if expired else self.r.url_uses)
            return self.answer(307, {"Location": f"http://{self.r.storage_host}/data/{digest[7:]}?signature={key}"})
        self.send_blob(digest)

    def wanted_range(self, size):
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if not found or self.r.ranges == "ignore":
            return None
        first = int(found.group(1))
        last = min(int(found.group(2) or size - 1), size - 1)
        return first, last

    def send_blob(self, digest):
        path = self.r.folder / "blobs" / digest[7:]
        size = path.stat().st_size
        kind = self.fault.kind if self.fault else None
        fields = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
        wanted = self.wanted_range(size)
        if wanted and (kind == "range416" or wanted[0] >= size):
            return self.answer(416, {"Content-Range": f"bytes */{size}"})
        if kind in ("gzip", "bomb"):
            return self.send_packed(path, fields)
        status, first, last = (206, *wanted) if wanted else (200, 0, size - 1)
        if kind == "shift" and wanted:
            first = min(first + self.fault.bytes, last)
        if kind == "short" and wanted:
            last = min(last, first + self.fault.bytes - 1)
        length = last - first + 1
        fields["Content-Length"] = str(length)
        if status == 206:
            fields["Content-Range"] = f"bytes {first}-{last}/{size}"
        if kind == "lie":
            fields.update(self.fault.get("headers", {}))
        ends_by_close = kind in ("no_length", "http10")
        if ends_by_close:
            del fields["Content-Length"]
            fields["Connection"] = "close"
        if kind == "endless":
            del fields["Content-Length"]
            fields["Transfer-Encoding"] = "chunked"
        self.send_head(status, fields, "HTTP/1.0" if kind == "http10" else "HTTP/1.1")
        if self.seen.method == "HEAD":
            return
        with self.r.lock:
            self.r.moving += 1
            self.r.peak = max(self.r.peak, self.r.moving)
        try:
            if kind == "endless":
                self.send_endless(path)
            self.send_file(path, first, length)
        finally:
            with self.r.lock:
                self.r.moving -= 1
        if ends_by_close:
            raise Ended

    def send_file(self, path, first, length):
        fault = self.fault if self.fault and self.fault.kind in ("cut", "stall", "crawl") else None
        limit = fault.get("after", 0) if fault else None
        moved = 0
        piece_size = min(PIECE, max(1000, (self.r.rate or PIECE * 20) // 20))
        with open(path, "rb") as file:
            file.seek(first)
            while moved < length:
                if fault and moved >= limit:
                    self.meet(fault)
                    limit = length + 1
                    if self.crawl:
                        piece_size = max(1, min(piece_size, self.crawl.rate // 4))
                most = min(piece_size, length - moved)
                if fault and moved < limit:
                    most = min(most, limit - moved)
                piece = file.read(most)
                if self.fault and self.fault.kind == "flip" and first + moved <= self.fault.at < first + moved + len(piece):
                    at = self.fault.at - first - moved
                    piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
                self.socket.sendall(piece)
                moved += len(piece)
                self.count_sent(len(piece))
                self.slow(len(piece))

    def count_sent(self, count):
        self.seen.sent += count
        with self.r.lock:
            self.r.sent += count

    def send_packed(self, path, fields):
        if self.fault.kind == "gzip":
            packed = gzip.compress(path.read_bytes(), 1)
        else:
            maker = zlib.compressobj(9, zlib.DEFLATED, 31)
            zeros, left, parts = bytes(1 << 20), self.fault.bytes, []
            while left > 0:
                parts.append(maker.compress(zeros[: min(left, len(zeros))]))
                left -= len(zeros)
            packed = b"".join(parts) + maker.flush()
        fields.update({"Content-Encoding": "gzip", "Content-Length": str(len(packed))})
        self.send_head(200, fields)
        self.count_sent(len(packed))
        self.socket.sendall(packed)

    def send_endless(self, path):
        sent = 0
        piece = path.read_bytes()[:PIECE] or b"x"
        while sent < self.fault.bytes:
            self.socket.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            sent += len(piece)
            self.count_sent(len(piece))
        raise Ended

    def manifest(self, method, name, reference):
        if method == "PUT":
            return self.put_manifest(name, reference)
        digest = self.r.tags.get((name, reference), reference)
        held = self.r.manifests.get((name, digest))
        if not held:
            return self.problem(404, "MANIFEST_UNKNOWN")
        self.answer(200, {"Content-Type": held[0], "Docker-Content-Digest": digest}, held[1])

    # --- writing ---

    def put_manifest(self, name, reference):
        body = b"".join(self.raw_pieces())
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if self.fault and self.fault.kind == "ack":
            return self.answer(201, {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"})
        document = json.loads(body)
        children = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
        missing = [c["digest"] for c in children if c["digest"] not in self.r.repositories.get(name, ())]
        missing += [c["digest"] for c in document.get("manifests", []) if (name, c["digest"]) not in self.r.manifests]
        if missing:
            return self.problem(400, "MANIFEST_BLOB_UNKNOWN")
        self.r.manifests[(name, digest)] = (self.headers.get("content-type", ""), body)
        if not reference.startswith("sha256:"):
            self.r.tags[(name, reference)] = digest
        self.answer(201, {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"})

    def upload(self, method, name, upload_id, query):
        if method == "POST":
            return self.open_upload(name, query)
        session = self.r.uploads.get(upload_id)
        if self.fault and self.fault.kind == "lose_upload":
            self.r.uploads.pop(upload_id, None)
            session = None
        if not session:
            self.refuse_body(404, "BLOB_UPLOAD_UNKNOWN")
            return None
        with session["lock"]:  # the status of an upload is asked while the request that was cut may still be read
            if method == "GET":
                if session["cut"]:
                    self.r.uploads.pop(upload_id, None)
                    return self.problem(404, "BLOB_UPLOAD_INVALID")
                return self.progress(204, name, upload_id, session)
            if method == "PATCH":
                return self.patch(name, upload_id, session)
            if method == "PUT":
                return self.close_upload(name, upload_id, session, query)
        if method == "DELETE":
            self.r.uploads.pop(upload_id, None)
            return self.answer(204)
        return self.problem(405, "UNSUPPORTED")

    def refuse_body(self, status, code, headers=None):
        """An answer that does not wait for a large body; the connection cannot be used again then."""
        if int(self.headers.get("content-length", 0)) <= (1 << 20) and "transfer-encoding" not in self.headers:
            self.drop_body()
            return self.problem(status, code, headers)
        self.problem(status, code, {"Connection": "close", **(headers or {})})
        # What the client still sends is read for a moment, else the reset would overtake the answer.
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.settimeout(2)
        with contextlib.suppress(OSError):
            while self.socket.recv(PIECE):
                pass
        raise Ended

    def open_upload(self, name, query):
        self.drop_body()
        mount, source = query.get("mount"), query.get("from")
        if mount and source and mount in self.r.repositories.get(source, ()):
            self.r.repositories.setdefault(name, set()).add(mount)
            return self.answer(201, {"Location": f"/v2/{name}/blobs/{mount}", "Docker-Content-Digest": mount})
        upload_id = uuid.uuid4().hex
        path = self.r.folder / "uploads" / upload_id
        path.touch()
        session = {"path": path, "cut": False, "patches": 0, "lock": threading.Lock()}
        self.r.uploads[upload_id] = session
        return self.progress(202, name, upload_id, session)

    def progress(self, status, name, upload_id, session):
        held = session["path"].stat().st_size
        fields = {"Location": f"/v2/{name}/blobs/uploads/{upload_id}?state={held}", "Range": f"0-{max(held - 1, 0)}"}
        if self.r.min_chunk:
            fields["OCI-Chunk-Min-Length"] = str(self.r.min_chunk)
        self.answer(status, fields)

    def take(self, session, keep=True):
        """The body into the upload. When the connection ends meanwhile, what came stays or the upload is spoilt."""
        whole = False
        try:
            with open(session["path"], "ab", buffering=0) as file:
                for piece in self.body_pieces():
                    if keep:
                        file.write(piece)
            whole = True
        finally:
            kept = self.r.upload_status == "right" or (self.r.upload_status == "patch" and self.seen.method == "PATCH")
            if not whole and not kept:
                session["cut"] = True

    def patch(self, name, upload_id, session):
        held = session["path"].stat().st_size
        length = int(self.headers.get("content-length", 0))
        given = self.headers.get("content-range")
        session["patches"] += 1
        if self.r.patch == "refuse":
            return self.refuse_body(405, "UNSUPPORTED")
        if self.r.max_patch is not None and length > self.r.max_patch:
            return self.refuse_body(413, "SIZE_INVALID")
        if self.r.patch == "small" and given and length > 4 << 20:
            return self.refuse_body(416, "RANGE_INVALID")
        if given and not given.startswith(f"{held}-"):
            return self.refuse_body(416, "RANGE_INVALID")
        self.take(session, keep=self.r.patch != "ecr" or session["patches"] == 1)
        return self.progress(201 if self.r.patch == "ecr" else 202, name, upload_id, session)

    def close_upload(self, name, upload_id, session, query):
        length = int(self.headers.get("content-length", 0))
        if self.r.max_put is not None and length > self.r.max_put:
            return self.refuse_body(413, "SIZE_INVALID")
        self.take(session)
        if self.fault and self.fault.kind == "late_401":
            self.r.revoke_tokens()
            return self.problem(401, "UNAUTHORIZED", self.challenge())
        self.r.uploads.pop(upload_id, None)
        with open(session["path"], "rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if digest != query.get("digest"):
            session["path"].unlink()
            return self.problem(400, "DIGEST_INVALID")
        if self.fault and self.fault.kind == "ack":
            session["path"].unlink()
        else:
            session["path"].rename(self.r.folder / "blobs" / digest[7:])
            self.r.repositories.setdefault(name, set()).add(digest)
        self.answer(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})
