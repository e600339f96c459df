"""The laboratory of the black-box tests: the binary with its own home, and real peers on loopback.

Everything that is started is stopped by its own id; ports are taken by the programs themselves (port 0) or asked of the
kernel; nothing waits by sleeping: a wait reads the line or answers the question it waits for.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ROOT / ".parts"
BERTH = pathlib.Path(os.environ.get("BERTH", ROOT / "build/release/berth"))
SMOLLM2 = PARTS / "models/smollm2-135m-instruct-q4_1.gguf"


def part(name):
    """A peer program from .parts/bin; the tests need it, so its absence is an error and not a skip."""
    path = PARTS / "bin" / name
    assert path.exists(), f"{path} is missing: run tools/parts all"
    return str(path)


class Berth:
    """One user's Berth: a home of its own, no configuration or credentials of the machine."""

    def __init__(self, folder, engine=None):
        self.home = pathlib.Path(folder)
        self.docker_config = self.home / "docker"
        self.docker_config.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "BERTH_HOME": str(self.home / "b"),
            "DOCKER_CONFIG": str(self.docker_config),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        (self.home / "run").mkdir(mode=0o700, exist_ok=True)
        if engine:
            self.env["LLAMA_SERVER_PATH"] = str(engine)
        self.program = str(BERTH)

    def run(self, *args, ok=True, input=None, env=None, timeout=120, text=True, cwd=None, program=None):
        done = subprocess.run(
            [program or self.program, *map(str, args)],
            input=input if input is not None else ("" if text else b""),
            env={**self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=text,
            timeout=timeout,
            cwd=cwd,
        )
        if ok:
            assert done.returncode == 0, f"berth {' '.join(map(str, args))} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args, **kwargs):
        return json.loads(self.run(*args, **kwargs).stdout)

    def start(self, *args, env=None, **kwargs):
        return subprocess.Popen(
            [self.program, *map(str, args)],
            env={**self.env, **(env or {})},
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **kwargs,
        )

    @property
    def store(self):
        found = sorted((self.home / "b").rglob("oci-layout"))
        assert len(found) == 1, found
        return found[0].parent

    def blobs(self):
        return {p.name: p for p in (self.store / "blobs").glob("*/*")}


def stop(process, timeout=20):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


class Registry:
    """Debian's docker-registry on a port of its own choice."""

    def __init__(self, folder, htpasswd=None, tls=None):
        self.folder = pathlib.Path(folder)
        self.user, self.password = htpasswd or (None, None)
        self.ca = tls.ca if tls else None
        config = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
        }
        if htpasswd:
            line = subprocess.run(
                [part("htpasswd"), "-nbB", *htpasswd], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            (self.folder / "htpasswd").write_text(line)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.folder / "htpasswd")}}
        if tls:
            config["http"]["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
        path = self.folder / "registry.yml"
        path.write_text(json.dumps(config))
        self.log = []
        self.process = subprocess.Popen(
            [part("docker-registry"), "serve", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.port = self._port()
        self.host = f"127.0.0.1:{self.port}"
        # Its log goes on; a full pipe would stop it.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=open(self.folder / "log", "w"))
        self.process.stderr.close()

    def _port(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found.group(1))
        raise AssertionError("the registry did not start: " + "".join(self.log))

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.drain.wait(20)

    def get(self, path, method="GET", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def manifest(self, repository, reference):
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        status, headers, body = self.get(f"/v2/{repository}/manifests/{reference}", headers={"Accept": accept})
        assert status == 200, (status, body)
        return body


class DidNotStart(AssertionError):
    """A server that ended before it listened; its status as subprocess gives it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class OwnRegistry:
    """`berth registry serve` on a port of its own choice, in a folder that a later one can go on with."""

    def __init__(self, folder, *args, htpasswd=None, tls=None, env=None, address="127.0.0.1"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.root = self.folder / "registry"
        self.tls = tls
        scheme = "https" if tls else "http"
        if htpasswd:
            users = "".join(
                subprocess.run([part("htpasswd"), "-nbB", *user], check=True, stdout=subprocess.PIPE, text=True).stdout
                for user in htpasswd)
            (self.folder / "htpasswd").write_text(users)
            args = ("--htpasswd", self.folder / "htpasswd", *args)
        if tls:
            args = ("--tls-cert", tls.certificate, "--tls-key", tls.key, *args)
        home = {"BERTH_HOME": str(self.folder / "home"), "XDG_RUNTIME_DIR": str(self.folder)}
        self.process = subprocess.Popen(
            [BERTH, "registry", "serve", "--listen", f"{scheme}://{address}:0", "--root", self.root, *map(str, args)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **home, **(env or {})})
        self.lines = []
        self.port = self._port()
        self.host = f"{address}:{self.port}"
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=open(self.folder / "log", "w"))
        self.process.stderr.close()
        self.process.stderr = None

    def _port(self):
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"listens on https?://\S+:(\d+)", line)
            if found:
                return int(found.group(1))
        raise DidNotStart(self.process.wait(20), "the registry did not start: " + "".join(self.lines))

    def request(self, method, path, body=None, headers=None, user=None):
        if self.tls:
            context = ssl.create_default_context(cafile=str(self.tls.ca))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = dict(headers or {})
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            names = {k.lower() for k, _ in answer.getheaders()}
            return answer.status, {k: answer.getheader(k) for k in names}, answer.read()
        finally:
            connection.close()

    def push_blob(self, repository, data, **kwargs):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _, body = self.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data, **kwargs)
        assert status == 201, (status, body)
        return digest

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.drain.wait(20)

    def close(self):
        stop(self.process)
        self.drain.wait(20)


class Tls:
    """A throw-away CA and a certificate for 127.0.0.1 and localhost."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.ca = folder / "ca.pem"
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"

        def openssl(*args):
            subprocess.run(["openssl", *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        ca_key = folder / "ca.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", ca_key, "-out", self.ca, "-days", 2,
                "-subj", "/CN=berth test CA", "-addext", "basicConstraints=critical,CA:TRUE")
        request = folder / "request.pem"
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        extension = folder / "extension"
        extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", 2,
                "-extfile", extension, "-out", self.certificate)


class Daemon:
    """`berth serve` on a port of its own choice; ready when its line says so."""

    def __init__(self, berth, *args, env=None):
        self.berth = berth
        self.process = berth.start("serve", "--listen", "127.0.0.1:0", *args, env=env, start_new_session=True)
        self.lines = []
        self.port = None
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        assert self.port, "the daemon did not start: " + "".join(self.lines)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile("w+")
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=self.log)
        self.process.stderr.close()
        self.process.stderr = None

    def request(self, method, path, body=None, headers=None, timeout=300):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, headers=None, status=200):
        got, _, text = self.request(method, path, body, headers)
        assert got == status, (got, text[:2000])
        return json.loads(text)

    def close(self):
        group = os.getpgid(self.process.pid) if self.process.poll() is None else None
        stop(self.process)
        self.drain.wait(20)
        self.log.close()
        return group


def children_of(pid):
    """Process ids below `pid`, however deep."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rsplit(")", 1)[1].split()
            found.append((int(entry.parent.name), int(fields[1])))
    below, grown = {pid}, True
    while grown:
        grown = False
        for child, parent in found:
            if parent in below and child not in below:
                below.add(child)
                grown = True
    return below - {pid}


def until(question, what, seconds=30):
    """Asks until the answer is true; the answer, or a failure that says what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        # Yield the processor to whoever is waited for; the condition itself ends the wait.
        select_pause()
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def select_pause():
    import select

    select.select([], [], [], 0.02)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def weights(path, size, seed=0):
    """A GGUF of about `size` bytes that no engine could use: incompressible, quickly made, different for each seed."""
    embedding = 1024

    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    rows = size // (4 * embedding)
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    pairs += text("general.file_type") + struct.pack("<II", 4, 0)
    table = text("token_embd.weight") + struct.pack("<I", 2) + struct.pack("<QQ", embedding, rows) + struct.pack("<IQ", 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + pairs + table
    head += bytes(-len(head) % 32)
    piece = os.urandom(1 << 20)
    with open(path, "wb") as file:
        file.write(head)
        left, number = rows * 4 * embedding, seed << 32
        while left:
            part = number.to_bytes(8, "little") + piece[8 : min(left, len(piece))]
            file.write(part)
            left -= len(part)
            number += 1
    return pathlib.Path(path)


def gguf(path, seed=1, embedding=64, layers=2, architecture="llama", context=2048, name="tiny-random"):
    """Writes a random llama model that llama-server loads: about half a megabyte."""
    import array
    import random

    heads, feed = 4, embedding * 2

    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    pairs = []

    def put(key, kind, value):
        pairs.append(text(key) + struct.pack("<I", kind) + value)

    def u32(key, value):
        put(key, 4, struct.pack("<I", value))

    def f32(key, value):
        put(key, 6, struct.pack("<f", value))

    def word(key, value):
        put(key, 8, text(value))

    def items(key, kind, values, encode):
        put(key, 9, struct.pack("<IQ", kind, len(values)) + b"".join(encode(v) for v in values))

    vocabulary = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + [chr(c) for c in range(32, 127)] + ["▁"]
    word("general.architecture", architecture)
    word("general.name", name)
    u32("general.file_type", 0)
    u32(f"{architecture}.context_length", context)
    u32(f"{architecture}.embedding_length", embedding)
    u32(f"{architecture}.block_count", layers)
    u32(f"{architecture}.feed_forward_length", feed)
    u32(f"{architecture}.attention.head_count", heads)
    u32(f"{architecture}.attention.head_count_kv", heads)
    f32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    u32(f"{architecture}.rope.dimension_count", embedding // heads)
    u32(f"{architecture}.vocab_size", len(vocabulary))
    word("tokenizer.ggml.model", "llama")
    items("tokenizer.ggml.tokens", 8, vocabulary, text)
    items("tokenizer.ggml.scores", 6, [0.0] * 3 + [-1000.0] * 256 + [-float(i) for i in range(len(vocabulary) - 259)],
          lambda v: struct.pack("<f", v))
    items("tokenizer.ggml.token_type", 5, [2, 3, 3] + [6] * 256 + [1] * (len(vocabulary) - 259), lambda v: struct.pack("<i", v))
    u32("tokenizer.ggml.bos_token_id", 1)
    u32("tokenizer.ggml.eos_token_id", 2)
    u32("tokenizer.ggml.unknown_token_id", 0)
    word("tokenizer.chat_template",
         "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")

    tensors = [("token_embd.weight", [embedding, len(vocabulary)]), ("output_norm.weight", [embedding]),
               ("output.weight", [embedding, len(vocabulary)])]
    for i in range(layers):
        block = f"blk.{i}."
        tensors += [(block + "attn_norm.weight", [embedding])]
        tensors += [(block + f"attn_{x}.weight", [embedding, embedding]) for x in ("q", "k", "v", "output")]
        tensors += [(block + "ffn_norm.weight", [embedding]), (block + "ffn_gate.weight", [embedding, feed]),
                    (block + "ffn_up.weight", [embedding, feed]), (block + "ffn_down.weight", [feed, embedding])]
    source = random.Random(seed)
    table, offset, data = b"", 0, []
    for tensor, shape in tensors:
        count = 1
        for size in shape:
            count *= size
        table += text(tensor) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
        table += struct.pack("<IQ", 0, offset)
        values = [1.0] * count if len(shape) == 1 else (source.gauss(0, 0.05) for _ in range(count))
        raw = array.array("f", values).tobytes()
        raw += bytes(-len(raw) % 32)
        data.append(raw)
        offset += len(raw)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + table
    head += bytes(-len(head) % 32)
    pathlib.Path(path).write_bytes(head + b"".join(data))
    return pathlib.Path(path)
