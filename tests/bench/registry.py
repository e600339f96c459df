#!/usr/bin/env python3
"""Measures registries: Berth's and its peers at the same work, on the same machine, in one run. Prints a table and JSON.

usage: registry.py [--only NAME]... [--size BYTES] [--rounds N] [--seconds S] [--models N] [--tags N] [--blobs N]
                   [--limit S] [--folder DIR] [--json FILE]

  put       a blob of SIZE in one PUT after the POST, verified by the server
  chunks    the same in PATCH requests of SIZE / 64, then PUT
  get       GET of a blob of SIZE, eight times on one connection
  manifest  HEAD and GET of a 2 KB manifest by tag for S seconds, 1 and 32 connections
  small     64 clients push MODELS models each (config 1 KiB, a layer of 16 KiB, a manifest) into one repository
  memory    the server's peak (VmHWM) with 64 transfers of SIZE / 16 at once, half of them PUT, half of them GET
  tags      a repository with TAGS tags: push, a page of 1000 tags, GET, each beside a repository with 1000
  restart   from the start of the program to its first answers, with BLOBS blobs in the folder: empty files, and rows
            written straight into Berth's catalogue, as making them by HTTP takes too long

Peers: docker-registry (no access log, its cache of descriptors in memory) and olareg; one that is not there is not run.
The clients are berth_load (tests/bench/load.cc); the row "null" is its ceiling, against a server that keeps nothing and
answers at once. Each side has a fresh folder and a fresh server for each round of put, chunks and small. The sides take
turns, each round in another order; a figure is the median over the rounds. Rates are judged on a tmpfs. On disk the
time is given twice: until the last answer, and until syncfs of the folder after it, for every side: Berth has synced
by then what it acknowledged, the peers have not. CPU seconds are the server's. The servers' stderr stays in files when
the run fails.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/bench")]
import berthlab
from turns import turns

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MEMORY = pathlib.Path("/dev/shm")
OLAREG = pathlib.Path(os.environ.get("OLAREG", ROOT.parent / "shared/tools/olareg"))
LOAD = berthlab.BERTH.parent / "berth_load"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "bench/models"
CLIENTS = 64
PAGE = 1000
GETS = 8  # one alone takes a tenth of a second
TAGS_AT_ONCE = 90  # Python's client takes no more than 100 fields in an answer


# --- servers


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def docker_registry():
    inside = berthlab.PARTS / "bin/docker-registry"
    return inside if inside.exists() else shutil.which("docker-registry")


def berth_command(folder):
    return [berthlab.BERTH, "registry", "serve", "--listen", f"127.0.0.1:{free_port()}", "--root", folder / "data"]


def docker_command(folder):
    """At its best: it writes no line for a request, and remembers what it knows of blobs."""
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True},
                    "cache": {"blobdescriptor": "inmemory"}},
        "http": {"addr": f"127.0.0.1:{free_port()}"},
    }
    (folder / "registry.yml").write_text(json.dumps(config))
    return [docker_registry(), "serve", folder / "registry.yml"]


def olareg_command(folder):
    return [OLAREG, "serve", "--addr", "127.0.0.1", "--port", free_port(), "--dir", folder / "data", "--api-delete",
            "--api-blob-delete"]


def null_command(_):
    return [LOAD, "null"]


COMMANDS = {"berth": berth_command, "docker-registry": docker_command, "olareg": olareg_command, "null": null_command}


class Server:
    """One side's server on a port of its own, with its own folder; serving when it is made."""

    def __init__(self, side, folder):
        self.side, self.folder = side, folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "home").mkdir(exist_ok=True)
        argv = [str(word) for word in COMMANDS[side](folder)]
        env = {**os.environ, "HOME": str(folder / "home"), "BERTH_HOME": str(folder / "home/b")}
        self.log = open(folder / "stderr", "a")
        started = time.perf_counter()
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stderr=self.log,
                                        stdout=subprocess.PIPE if side == "null" else subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline()) if side == "null" else self._port(argv, folder)
        self.host = f"127.0.0.1:{self.port}"
        end = started + 120
        while not self._answers():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.001)
                raise AssertionError(f"{side} ended: {(folder / 'stderr').read_text()[-2000:]}")
            assert time.perf_counter() < end, f"{side} does not answer"
        self.start_seconds = time.perf_counter() - started

    @staticmethod
    def _port(argv, folder):
        if "registry.yml" in argv[-1]:
            return int(json.loads((folder / "registry.yml").read_text())["http"]["addr"].split(":")[1])
        return int(next(word for word in argv if word.isdigit()) if "--port" in argv
                   else next(word for word in argv if word.startswith("127.0.0.1:")).split(":")[1])

    def _answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/v2/")[0] == 200

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def push_blob(self, data, repository=REPOSITORY):
        digest = berthlab.sha256(data)
        status, headers, text = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert status == 202, (self.side, status, text)
        place = urllib.parse.urlsplit(urllib.parse.urljoin(f"http://{self.host}/", headers["location"]))
        path = f"{place.path}?{place.query}{'&' if place.query else ''}digest={digest}"
        status, _, text = self.request("PUT", path, data, {"Content-Type": "application/octet-stream"})
        assert status == 201, (self.side, status, text)
        return digest

    def push_manifest(self, data, reference, repository=REPOSITORY):
        status, headers, text = self.request("PUT", f"/v2/{repository}/manifests/{reference}", data, {"Content-Type": MANIFEST})
        assert status == 201, (self.side, status, text)
        return headers

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KIB
        raise AssertionError("no VmHWM")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- what is sent


def model_manifest(config, config_size, layer, layer_size, size=0):
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}]}
    text = json.dumps(manifest)
    if size:
        manifest["annotations"] = {"filler": "x" * (size - len(text) - len(', "annotations": {"filler": ""}'))}
        text = json.dumps(manifest)
    return text.encode()


class Source:
    """One file of random bytes; every blob is a piece of it."""

    def __init__(self, path, size):
        self.path, self.size = path, size
        with open(path, "wb") as file:
            for at in range(0, size, 16 * MIB):
                file.write(os.urandom(min(16 * MIB, size - at)))

    def digest(self, offset, length):
        hasher = hashlib.sha256()
        with open(self.path, "rb") as file:
            file.seek(offset)
            while length:
                part = file.read(min(length, 4 * MIB))
                hasher.update(part)
                length -= len(part)
        return "sha256:" + hasher.hexdigest()


def small_models(folder, models):
    """(data file, script): each client's models."""
    data, script, lines = folder / "small", folder / "small.script", []
    with open(data, "wb") as file:
        at = 0

        def put(piece):
            nonlocal at
            file.write(piece)
            at += len(piece)
            return berthlab.sha256(piece), at - len(piece)

        for client in range(CLIENTS):
            lines.append("stream")
            for number in range(models):
                config, config_at = put(json.dumps({"model": f"{client}-{number}"}).encode().ljust(KIB))
                layer, layer_at = put(os.urandom(16 * KIB))
                text = model_manifest(config, KIB, layer, 16 * KIB)
                _, manifest_at = put(text)
                lines += [f"blob {REPOSITORY} {config} {config_at} {KIB} 0", f"blob {REPOSITORY} {layer} {layer_at} {16 * KIB} 0",
                          f"manifest {REPOSITORY} c{client}-m{number} {manifest_at} {len(text)}"]
    script.write_text("\n".join(lines) + "\n")
    return data, script


# --- the run


@dataclasses.dataclass
class Figure:
    """Of one side; the median of each over the rounds."""

    seconds: float
    synced: float  # with syncfs
    rps: float
    p50: float  # ms
    p99: float
    cpu: float  # seconds, the server's
    peak: float  # bytes, the server's
    errors: float
    cut: float


def median(figures):
    return Figure(*(statistics.median(getattr(one, field.name) for one in figures) for field in dataclasses.fields(Figure)))


class Lab:
    def __init__(self, options):
        self.options = options
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="berth-registry-", dir=options.folder))
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 6 * options.size
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix="berth-registry-", dir=MEMORY)) if roomy else None
        self.number = 0
        self.results = {}
        self._source = None
        self.sides = ["berth"]
        for side, there in (("docker-registry", docker_registry()), ("olareg", OLAREG.exists())):
            if there:
                self.sides.append(side)
            else:
                print(f"{side}: not run, it is not there")
        if not roomy:
            print("tmpfs: not run, there is no room in /dev/shm; no rate is judged")

    @property
    def source(self):
        if not self._source:
            self._source = Source((self.memory or self.disk) / "source", self.options.size)
        return self._source

    def close(self, failed):
        for folder in (self.disk, self.memory):
            if folder and failed:
                for big in [*folder.glob("f*/data"), folder / "source"]:
                    shutil.rmtree(big, ignore_errors=True) if big.is_dir() else big.unlink(missing_ok=True)
                print(f"the servers' stderr: {folder}/*/stderr", file=sys.stderr)
            elif folder:
                shutil.rmtree(folder, ignore_errors=True)

    def places(self):
        return {**({"tmpfs": self.memory} if self.memory else {}), "disk": self.disk}

    def rates_place(self):
        return self.memory or self.disk

    def fresh(self, where):
        self.number += 1
        folder = where / f"f{self.number}"
        folder.mkdir()
        return folder

    @contextlib.contextmanager
    def server(self, side, where):
        folder = self.fresh(where)
        with Server(side, folder) as server:
            yield server
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def servers(self, sides, where):
        with contextlib.ExitStack() as stack:
            yield {side: stack.enter_context(self.server(side, where)) for side in sides}

    def load(self, server, command, *words, sync=False):
        """One run of berth_load, as a Figure. An error of a request is a figure, too."""
        cpu = server.cpu()
        argv = [LOAD, command, "--to", server.host, *words, *(["--syncfs", server.folder] if sync else [])]
        done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        if found["errors"]:
            print(f"  {server.side}: {found['errors']} errors, the first: {found['first_error']}")
        return Figure(found["seconds"], found["seconds"] + found["sync_seconds"], found["rps"], found["p50_ms"],
                      found["p99_ms"], server.cpu() - cpu, server.peak(), found["errors"], float(found["cut"]))

    def script(self, server, lines, data=None, sync=False):
        path = self.fresh(self.rates_place()) / "script"
        path.write_text("\n".join(lines) + "\n")
        return self.load(server, "script", "--script", path, "--data", data or self.source.path, sync=sync)

    def turns(self, sides, work, rounds=None):
        """work(side) -> Figure; the median of each side's."""
        return {side: median(all_of) for side, all_of in turns(sides, rounds or self.options.rounds, work).items()}

    def put(self, name, figures, size=0, goals=()):
        """A row for each side; with `size` it is a transfer of so many bytes."""
        print(f"\n{name}")
        rows = {}
        for side, one in sorted(figures.items(), key=lambda entry: entry[1].seconds if size else -entry[1].rps):
            row = {"s": round(one.seconds, 3), **({"s_synced": round(one.synced, 3)} if one.synced > one.seconds else {})}
            row |= {"mb_per_s": round(size / one.seconds / 1e6, 1)} if size else {
                "rps": round(one.rps, 1), "p50_ms": round(one.p50, 3), "p99_ms": round(one.p99, 3)}
            row |= {"server_cpu_s": round(one.cpu, 2), "peak_mib": round(one.peak / MIB, 1), "errors": int(one.errors)}
            if one.cut:
                row["cut_short"] = True
            rows[side] = row
            print(f"  {side:15} " + "  ".join(f"{key} {value}" for key, value in row.items()))
        self.results[name] = {"sides": rows, "goals": listed(goals)}
        say_goals(goals)

    def note(self, name, values, goals=()):
        self.results[name] = {**values, "goals": listed(goals)}
        print(f"\n{name}\n  " + "  ".join(f"{key}={value}" for key, value in values.items()))
        say_goals(goals)


def listed(goals):
    return [{"goal": text, "value": round(value, 3), "met": met} for text, value, met in goals]


def say_goals(goals):
    for text, value, met in goals:
        print(f"  {'met   ' if met else 'MISSED'} {text}: {value:.3f}")
    sys.stdout.flush()


def at_least(text, figures, peers, factor):
    """Berth's rate over that of the fastest of `peers` that ran."""
    there = [figures[peer].rps for peer in peers if peer in figures]
    if not there:
        return []
    ratio = figures["berth"].rps / max(there)
    return [(f"{text} >= {factor} x {' and '.join(peer for peer in peers if peer in figures)}", ratio, ratio >= factor)]


PEERS = ["docker-registry", "olareg"]


# --- the benches


def upload(lab, name, chunk, goals):
    size = lab.options.size
    digest = lab.source.digest(0, size)
    line = f"blob {REPOSITORY} {digest} 0 {size} {chunk}"
    for place, where in lab.places().items():
        def work(side):
            with lab.server(side, where) as server:
                return lab.script(server, ["stream", line], sync=place == "disk")

        figures = lab.turns([*lab.sides, *(["null"] if place == "tmpfs" else [])], work)
        lab.put(f"{name}, {place}", figures, size, goals(figures) if place == "tmpfs" else [])


def bench_put(lab):
    upload(lab, f"PUT of {lab.options.size / MIB:.0f} MiB", 0, lambda figures:
           at_least("rate", figures, ["docker-registry"], 1.8) + at_least("rate", figures, ["olareg"], 1.2))


def bench_chunks(lab):
    chunk = lab.options.size // 64
    upload(lab, f"PUT of {lab.options.size / MIB:.0f} MiB in PATCHes of {chunk / MIB:g} MiB", chunk,
           lambda figures: at_least("rate", figures, PEERS, 2))


def bench_get(lab):
    size = lab.options.size
    digest = lab.source.digest(0, size)
    for place, where in lab.places().items():
        with lab.servers(lab.sides, where) as servers:
            for server in servers.values():
                lab.script(server, ["stream", f"blob {REPOSITORY} {digest} 0 {size} 0"])
            figures = lab.turns(lab.sides, lambda side: lab.script(
                servers[side], ["stream", *[f"get /v2/{REPOSITORY}/blobs/{digest}"] * GETS]))
        lab.put(f"{GETS} GETs of {size / MIB:.0f} MiB, {place}", figures, GETS * size,
                at_least("rate", figures, PEERS, 1) if place == "tmpfs" else [])


def bench_manifest(lab):
    with lab.servers([*lab.sides, "null"], lab.rates_place()) as servers:
        for side in lab.sides:
            config, layer = servers[side].push_blob(b"{}"), servers[side].push_blob(b"layer")
            servers[side].push_manifest(model_manifest(config, 2, layer, 5, 2048), "latest")
        for method in ("HEAD", "GET"):
            for connections in (1, 32):
                figures = lab.turns([*lab.sides, "null"], lambda side: lab.load(
                    servers[side], "rate", "--path", f"/v2/{REPOSITORY}/manifests/latest", "--method", method,
                    "--connections", connections, "--seconds", lab.options.seconds))
                goals = at_least("rate", figures, ["olareg"], 1)
                if "olareg" in figures:
                    ratio = figures["berth"].p99 / figures["olareg"].p99
                    goals.append(("p99 <= olareg's", ratio, ratio <= 1))
                lab.put(f"{method} of a 2 KB manifest by tag, {connections} connections", figures, goals=goals)


def bench_small(lab):
    models = lab.options.models
    data, script = small_models(lab.fresh(lab.rates_place()), models)
    for place, where in lab.places().items():
        def work(side):
            with lab.server(side, where) as server:
                return lab.load(server, "script", "--script", script, "--data", data, "--limit", lab.options.limit,
                                sync=place == "disk")

        figures = lab.turns([*lab.sides, *(["null"] if place == "tmpfs" else [])], work)
        errors = figures["berth"].errors
        goals = [("no error", errors, errors == 0)]
        if place == "tmpfs":
            goals += at_least("rate", figures, ["docker-registry"], 3)
        lab.put(f"{CLIENTS} clients push {models} small models each, 5 requests a model, {place}", figures, goals=goals)


def bench_memory(lab):
    size, half = lab.options.size // 16, CLIENTS // 2
    digests = {offset: lab.source.digest(offset, size) for offset in range(0, half * 4 * KIB, 4 * KIB)}
    there = lab.source.digest(MIB, size)

    def work(side):
        with lab.server(side, lab.rates_place()) as server:
            lab.script(server, ["stream", f"blob {REPOSITORY} {there} {MIB} {size} 0"])
            lines = []
            for offset, digest in digests.items():
                lines += ["stream", f"blob {REPOSITORY} {digest} {offset} {size} 0", "stream", f"get /v2/{REPOSITORY}/blobs/{there}"]
            return lab.script(server, lines)

    figures = lab.turns(lab.sides, work)
    peak = figures["berth"].peak / MIB
    lab.put(f"{CLIENTS} transfers of {size / MIB:.0f} MiB at once, half PUT half GET", figures, CLIENTS * size,
            [("peak memory in MiB < 150", peak, peak < 150), ("no error", figures["berth"].errors, figures["berth"].errors == 0)])


def fill_tags(lab, server, repository, count):
    """Seconds, or none when the server takes one tag a request or is not done within the limit."""
    config, layer = server.push_blob(b"{}", repository), server.push_blob(b"layer", repository)
    manifest = model_manifest(config, 2, layer, 5, 2048)
    digest = berthlab.sha256(manifest)
    start = time.perf_counter()
    for first in range(0, count, TAGS_AT_ONCE):
        tags = [f"t{number:06}" for number in range(first, min(first + TAGS_AT_ONCE, count))]
        headers = server.push_manifest(manifest, f"{digest}?" + "&".join(f"tag={tag}" for tag in tags), repository)
        if "oci-tag" not in headers:
            if server.side != "berth":
                return None
            for tag in tags:
                server.push_manifest(manifest, tag, repository)
        if time.perf_counter() - start > lab.options.limit and server.side != "berth":
            return None
    return time.perf_counter() - start


def bench_tags(lab):
    count = max(lab.options.tags, 2 * PAGE)
    models = lab.fresh(lab.rates_place())
    for side in lab.sides:
        folder = lab.fresh(lab.rates_place())
        with Server(side, folder) as server:
            filled = fill_tags(lab, server, "bench/few", PAGE) and fill_tags(lab, server, "bench/many", count)
        if not filled:
            print(f"\n{side} with {count} tags: not run, it takes one tag a request or longer than {lab.options.limit} s")
            continue
        # A restart: nothing is in a cache, on either side of the comparison.
        figures = {}
        with Server(side, folder) as server:
            data = models / "manifests"
            for repository, tags in (("bench/few", PAGE), ("bench/many", count)):
                names = [f"t{number:06}" for number in random.Random(1).sample(range(tags), PAGE)]
                config, layer = berthlab.sha256(b"{}"), berthlab.sha256(b"layer")
                texts = [model_manifest(config, 2, layer, 5, 2000 + number) for number in range(200)]
                data.write_bytes(b"".join(texts))
                ends = [sum(len(text) for text in texts[:number]) for number in range(len(texts))]
                middle = f"t{(tags - PAGE) // 2:06}"
                figures[repository] = {
                    "get": lab.script(server, ["stream", *(f"get /v2/{repository}/manifests/{name}" for name in names)]),
                    "page": lab.script(server, ["stream", *[f"get /v2/{repository}/tags/list?n={PAGE}" + (f"&last={middle}" if tags > PAGE else "")] * 200]),
                    "push": lab.script(server, ["stream", *(f"manifest {repository} new{number} {ends[number]} {len(text)}"
                                                            for number, text in enumerate(texts))], data)}
        shutil.rmtree(folder, ignore_errors=True)
        few, many = figures["bench/few"], figures["bench/many"]
        values, goals = {"made_in_s": round(filled, 1), "start_s": round(server.start_seconds, 3)}, []
        for work in few:
            values |= {f"{work}_p50_ms_{PAGE}": few[work].p50, f"{work}_p50_ms_{count}": many[work].p50,
                       f"{work}_errors": int(few[work].errors + many[work].errors)}
            ratio = many[work].p50 / few[work].p50
            goals.append((f"{work} within 2 x", ratio, ratio <= 2 and values[f"{work}_errors"] == 0))
        lab.note(f"{side}: a repository with {count} tags beside one with {PAGE}", values, goals if side == "berth" else [])


def fill_blobs(server_folder, count):
    """Empty files, and their rows in the catalogue of a registry that is not running."""
    data = server_folder / "data"
    choice = random.Random(1)
    hashes = [f"{choice.getrandbits(256):064x}" for _ in range(count)]
    blobs = data / "blobs/sha256"
    folder = os.open(blobs, os.O_RDONLY)
    for one in hashes:
        os.close(os.open(one, os.O_CREAT | os.O_WRONLY, 0o444, dir_fd=folder))
    os.close(folder)
    with contextlib.closing(sqlite3.connect(data / "registry.db")) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("INSERT OR IGNORE INTO repositories(name, created) VALUES(?, 1)", [REPOSITORY])
        repository = database.execute("SELECT id FROM repositories WHERE name = ?", [REPOSITORY]).fetchone()[0]
        rows = sorted(f"sha256:{one}" for one in hashes)
        database.executemany("INSERT INTO blobs(digest, size, media_type, document, added) VALUES(?, 0, 'application/octet-stream', 0, 1)",
                             ((row,) for row in rows))
        database.executemany("INSERT INTO members(repository, digest, added) VALUES(?, ?, 1)", ((repository, row) for row in rows))
        database.commit()
    return f"sha256:{hashes[count // 2]}"


def bench_restart(lab):
    count = lab.options.blobs
    folder = lab.fresh(lab.disk)
    with Server("berth", folder):
        pass  # makes the folder's tables
    digest = fill_blobs(folder, count)
    os.sync()
    starts, first = [], []
    for _ in range(max(3, lab.options.rounds)):
        began = time.perf_counter()
        with Server("berth", folder) as server:
            starts.append(server.start_seconds)
            assert server.request("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}")[0] == 200
            first.append(time.perf_counter() - began)
            server.push_blob(b"it also writes")
            peak = server.peak()
    took = statistics.median(first)
    lab.note(f"restart with {count} blobs (empty files, rows written directly; on disk, files in the kernel's cache)",
             {"blobs": count, "answers_s": round(statistics.median(starts), 3), "first_blob_s": round(took, 3),
              "peak_mib": round(peak / MIB, 1)},
             [(f"serving within 1 s with {count} blobs (the goal is for 1,000,000)", took, took <= 1)])


BENCHES = {"put": bench_put, "chunks": bench_chunks, "get": bench_get, "manifest": bench_manifest, "small": bench_small,
           "memory": bench_memory, "tags": bench_tags, "restart": bench_restart}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(BENCHES), metavar="NAME")
    parser.add_argument("--size", type=int, default=GIB)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement of a rate")
    parser.add_argument("--models", type=int, default=100, help="of each of the 64 clients")
    parser.add_argument("--tags", type=int, default=100_000)
    parser.add_argument("--blobs", type=int, default=20_000)
    parser.add_argument("--limit", type=float, default=120, help="seconds after which small is cut short, and a peer's tags given up")
    parser.add_argument("--folder", help="where the sides write on disk (default: the folder for temporary files)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the JSON there")
    options = parser.parse_args()
    assert LOAD.exists(), f"{LOAD} is missing: build the target berth_load"
    lab = Lab(options)
    failed = True
    try:
        for name in options.only or BENCHES:
            BENCHES[name](lab)
        failed = False
    finally:
        lab.close(failed)
    result = {"machine": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg(), "size": options.size,
              "rounds": options.rounds, "sides": lab.sides, "results": lab.results}
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print("\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
