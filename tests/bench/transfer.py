#!/usr/bin/env python3
"""Measures transfers: Berth and its peers at the same work, on the same machine, in one run. Prints a table and JSON.

usage: transfer.py [--only NAME]... [--size BYTES] [--rounds N] [--kills N] [--seed N] [--folder DIR] [--json FILE]

  pull      one layer of SIZE from docker-registry: durable (a peer's time includes syncing what it wrote), without
            any sync (Berth runs with fsync switched off by LD_PRELOAD), and into a tmpfs
  push      the same layer into docker-registry, and into olareg where there is one
  limited   one layer of SIZE / 2 over a link of 25 MB/s a connection and 50 ms round trip (berth_relay)
  layers    200 layers of 1 MiB, pull and push
  kill-pull, kill-push   bytes that move again after kill -9 at random moments: SIZE / 4 in 4 layers at 100 MB/s; the
            push into docker-registry and into a registry whose upload status is right (tests/support/fault_registry.py)
  two       two processes that pull the same model into one store at once

Peers: crane, oras, skopeo, and curl, which writes or sends the bare layer and verifies nothing. The stock docker model
client moves nothing by itself (its server does), so it is not here. The registry's files are on a tmpfs where there is
one, so that it serves from memory; every timed command starts after a sync. The sides take turns, each round in another
order; a figure is the median over the rounds. CPU and peak memory are the kernel's account of the command and its
children.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/bench")]
import berthlab
from bench import big_gguf
from turns import turns

MIB, GIB = 1 << 20, 1 << 30
MEMORY = pathlib.Path("/dev/shm")
OLAREG = pathlib.Path(os.environ.get("OLAREG", ROOT.parent / "shared/tools/olareg"))
PEERS = ["crane", "oras", "skopeo"]


# --- what is run, and what it cost


@dataclasses.dataclass
class Cost:
    seconds: float
    cpu: float
    rss: int  # bytes


def run_timed(argv, env=None, cwd=None, after=None):
    """One command to its end, and `after` within the same time; a failure ends the bench."""
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen([str(a) for a in argv], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if after:
            after()
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{' '.join(map(str, argv))} ended with {process.returncode}:\n{log.read()[-2000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def sync_tree(folder):
    """What a careful peer would do with what it wrote."""
    for path, _, names in os.walk(folder):
        for name in [*names, ""]:
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)


def middle(costs):
    return Cost(*(statistics.median(getattr(one, field) for one in costs) for field in ("seconds", "cpu", "rss")))


class Sides:
    """The commands of each side. A folder is a fresh place of its own for one command."""

    def __init__(self, digest=None):
        self.digest = digest  # of the one layer, for curl

    def berth_env(self, folder):
        return berthlab.Berth(folder).env

    def pull(self, name, host, repository, folder):
        """(argv, environment)"""
        env = {**os.environ, "HOME": str(folder)}
        if name == "berth":
            return [berthlab.BERTH, "pull", "--quiet", f"{host}/{repository}"], self.berth_env(folder)
        if name == "crane":
            return [berthlab.part("crane"), "pull", "--insecure", "--format", "oci", f"{host}/{repository}", folder / "out"], env
        if name == "oras":
            return [berthlab.part("oras"), "cp", "--no-tty", "--from-plain-http", "--to-oci-layout", f"{host}/{repository}",
                    f"{folder}/out:1"], env
        if name == "skopeo":
            return [berthlab.part("skopeo"), "copy", "-q", "--src-tls-verify=false", f"docker://{host}/{repository}",
                    f"oci:{folder}/out:1"], env
        name_only = repository.rsplit(":", 1)[0]
        return ["curl", "-sSf", "-o", folder / "out", f"http://{host}/v2/{name_only}/blobs/{self.digest}"], env

    def push(self, name, host, repository, source):
        env = {**os.environ, "HOME": str(source["scratch"])}
        if name == "berth":
            return [berthlab.BERTH, "push", "--quiet", f"{host}/{repository}"], source["env"]
        layout = source["layout"]
        if name == "crane":
            return [berthlab.part("crane"), "push", "--insecure", layout, f"{host}/{repository}"], env
        if name == "oras":
            return [berthlab.part("oras"), "cp", "--no-tty", "--from-oci-layout", f"{layout}@{source['manifest']}",
                    "--to-plain-http", f"{host}/{repository}"], env
        if name == "skopeo":
            return [berthlab.part("skopeo"), "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}",
                    f"docker://{host}/{repository}"], env
        name_only = repository.rsplit(":", 1)[0]
        location = upload_location(host, name_only)
        mark = "&" if "?" in location else "?"
        blob = layout / "blobs" / self.digest.replace(":", "/")
        return ["curl", "-sSf", "-T", blob, "-H", "Content-Type: application/octet-stream", "-H", "Expect:",
                f"{location}{mark}digest={self.digest}"], env


def upload_location(host, repository):
    import http.client

    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 202, answer.status
    return urllib.parse.urljoin(f"http://{host}/", answer.getheader("Location"))


# --- the things around


class Relay:
    """berth_relay, the link."""

    def __init__(self, to, **options):
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        program = berthlab.BERTH.parent / "berth_relay"
        assert program.exists(), f"{program} is missing: build the target berth_relay"
        self.process = subprocess.Popen([program, "--to", to, *words], stdout=subprocess.PIPE, text=True)
        self.host = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def counts(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


class Olareg:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.host = f"127.0.0.1:{port}"
        self.folder = folder
        folder.mkdir()
        self.process = subprocess.Popen([OLAREG, "serve", "--addr", "127.0.0.1", "--port", str(port), "--dir", folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        berthlab.until(self._answers, "olareg")

    def _answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self.host.split(":")[1])), 1):
            return True

    def close(self):
        self.process.terminate()
        self.process.wait(20)


NO_SYNC = """
#define _GNU_SOURCE
#include <fcntl.h>
int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int sync_file_range(int fd, off64_t at, off64_t length, unsigned flags) { (void)fd; (void)at; (void)length; (void)flags; return 0; }
"""


def no_sync_library(folder):
    source, library = folder / "nosync.c", folder / "nosync.so"
    source.write_text(NO_SYNC)
    subprocess.run(["clang-19", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library


def shards(folder, count, size):
    """A directory model of `count` safetensors files of about `size` bytes, none like another."""
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures":["LlamaForCausalLM"],"model_type":"llama"}')
    for number in range(count):
        length = size // 4 * 4
        head = json.dumps({f"w{number}": {"dtype": "F32", "shape": [length // 4], "data_offsets": [0, length]}}).encode()
        head += b" " * (-len(head) % 8)
        with open(folder / f"model-{number + 1:05}-of-{count:05}.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(head)) + head)
            left = length
            while left:
                part = os.urandom(min(left, 16 * MIB))
                file.write(part)
                left -= len(part)
    return folder


class Lab:
    """Folders, registry and the models; one for the run."""

    def __init__(self, options):
        self.options = options
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-", dir=options.folder))
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 8 * options.size
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-", dir=MEMORY)) if roomy else None
        self.registry_folder = (self.memory or self.disk) / "registry"
        self.registry_folder.mkdir()
        self.registry = berthlab.Registry(self.registry_folder)
        self.number = 0
        self.results = {}

    def close(self):
        self.registry.close()
        for folder in (self.disk, self.memory):
            if folder:
                subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
                shutil.rmtree(folder, ignore_errors=True)

    def fresh(self, where=None):
        self.number += 1
        folder = (where or self.disk) / f"f{self.number}"
        folder.mkdir()
        return folder

    def forget(self):
        """The registry holds nothing any more: a push sends every byte."""
        shutil.rmtree(self.registry_folder / "data", ignore_errors=True)

    def model(self, name, make):
        """A published model: its store, its layout for the peers, its digests."""
        source = self.fresh()
        berth = berthlab.Berth(source / "home")
        reference = f"{self.registry.host}/bench/{name}:1"
        berth.run("package", *make(source), reference, timeout=900)
        berth.run("push", "--quiet", reference, timeout=900)
        manifest = json.loads(self.registry.manifest(f"bench/{name}", "1"))
        layout = source / "layout"
        scratch = source / "scratch"
        scratch.mkdir()
        run_timed([berthlab.part("crane"), "pull", "--insecure", "--format", "oci", reference, layout])
        biggest = max(manifest["layers"], key=lambda one: one["size"])
        return {"env": berth.env, "berth": berth, "layout": layout, "scratch": scratch, "reference": reference,
                "repository": f"bench/{name}:1", "manifest": berth.json("inspect", reference)["id"], "layer": biggest["digest"],
                "size": sum(one["size"] for one in manifest["layers"])}

    def one_layer(self, size):
        return self.model("one", lambda folder: ["--gguf", big_gguf(folder, size)])

    def several(self, name, count, size):
        return self.model(name, lambda folder: ["--safetensors-dir", shards(folder / "shards", count, size)])

    def turns(self, sides, work, rounds=None):
        """work(side) -> Cost; the middle of each side's."""
        return {side: middle(all_of) for side, all_of in turns(sides, rounds or self.options.rounds, work).items()}

    def put(self, name, size, costs, goals=()):
        rows = {side: {"seconds": round(cost.seconds, 3), "mb_per_s": round(size / cost.seconds / 1e6, 1),
                       "cpu_s_per_gib": round(cost.cpu / size * GIB, 2), "peak_mib": round(cost.rss / MIB, 1)}
                for side, cost in costs.items()}
        self.results[name] = {"bytes": size, "sides": rows,
                              "goals": [{"goal": text, "value": round(value, 3), "met": met} for text, value, met in goals]}
        print(f"\n{name} ({size / 1e6:.0f} MB)")
        for side, row in sorted(rows.items(), key=lambda one: one[1]["seconds"]):
            print(f"  {side:8} {row['seconds']:9.3f} s {row['mb_per_s']:9.1f} MB/s  {row['cpu_s_per_gib']:6.2f} CPU s/GiB"
                  f"  {row['peak_mib']:7.1f} MiB")
        say_goals(goals)

    def note(self, name, values, goals=()):
        self.results[name] = {**values, "goals": [{"goal": text, "value": round(value, 4), "met": met} for text, value, met in goals]}
        print(f"\n{name}\n  " + "  ".join(f"{key}={value}" for key, value in values.items()))
        say_goals(goals)


def say_goals(goals):
    for text, value, met in goals:
        print(f"  {'met   ' if met else 'MISSED'} {text}: {value:.3f}")
    sys.stdout.flush()


def at_least(text, costs, other, factor, name="berth"):
    if other not in costs:
        return []
    ratio = costs[other].seconds / costs[name].seconds
    return [(f"{text} >= {factor} x {other}", ratio, ratio >= factor)]


def lean(costs, other="crane"):
    goals = [("peak memory in MiB < 200", costs["berth"].rss / MIB, costs["berth"].rss < 200 * MIB)]
    if other in costs:
        ratio = costs["berth"].cpu / costs[other].cpu
        goals.append((f"CPU seconds <= {other}'s", ratio, ratio <= 1))
    return goals


# --- the benches


def bench_pull(lab):
    model = lab.one_layer(lab.options.size)
    sides = Sides(model["layer"])
    library = no_sync_library(lab.fresh())

    def pull(side, where, durable, library=None):
        folder = lab.fresh(where)
        argv, env = sides.pull(side, lab.registry.host, model["repository"], folder)
        if library and side == "berth":
            env = {**env, "LD_PRELOAD": str(library)}
        cost = run_timed(argv, env, after=(lambda: sync_tree(folder)) if durable and side != "berth" else None)
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)
        return cost

    everyone = ["berth", *PEERS, "curl"]
    costs = lab.turns(everyone, lambda side: pull(side, None, True))
    lab.put("pull, durable", model["size"], costs,
            at_least("rate", costs, "crane", 1.5) + at_least("rate", costs, "curl", 0.95) + lean(costs))
    costs = lab.turns(everyone, lambda side: pull(side, None, False, library))
    lab.put("pull, no side syncs", model["size"], costs, at_least("rate", costs, "crane", 1.5) + at_least("rate", costs, "curl", 0.95))
    if lab.memory:
        costs = lab.turns(everyone, lambda side: pull(side, lab.memory, False))
        lab.put("pull into a tmpfs", model["size"], costs,
                at_least("rate", costs, "crane", 1.5) + at_least("rate", costs, "curl", 0.95))


def bench_push(lab):
    model = lab.one_layer(lab.options.size)
    sides = Sides(model["layer"])

    def push(side):
        lab.forget()
        return run_timed(*sides.push(side, lab.registry.host, model["repository"], model))

    costs = lab.turns(["berth", *PEERS, "curl"], push)
    lab.put("push", model["size"], costs, at_least("rate", costs, "curl", 0.95) + at_least("rate", costs, "crane", 1) +
            at_least("rate", costs, "skopeo", 1) + lean(costs))
    if not OLAREG.exists():
        print(f"\npush to olareg: not run, {OLAREG} is not there")
        return

    def push_olareg(side):
        folder = lab.fresh(lab.memory) / "olareg"
        server = Olareg(folder)
        try:
            repository = model["repository"]
            if side == "berth":
                model["berth"].run("tag", model["reference"], f"{server.host}/{repository}")
            return run_timed(*sides.push(side, server.host, repository, model))
        finally:
            server.close()
            shutil.rmtree(folder.parent)

    costs = lab.turns(["berth", "crane", "skopeo", "oras", "curl"], push_olareg)
    better = min(costs[side].seconds for side in ("crane", "skopeo"))
    ratio = better / costs["berth"].seconds
    lab.put("push to olareg", model["size"], costs, [("rate >= 2 x the better of crane and skopeo", ratio, ratio >= 2)])


def bench_limited(lab):
    model = lab.one_layer(lab.options.size // 2)
    sides = Sides(model["layer"])
    relay = Relay(lab.registry.host, rate=25_000_000, rtt=50)

    def pull(side):
        folder = lab.fresh()
        cost = run_timed(*sides.pull(side, relay.host, model["repository"], folder))
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)
        return cost

    # One round for those who take a connection's time: it is the link's and does not vary.
    costs = lab.turns(["berth"], pull) | lab.turns([*PEERS, "curl"], pull, rounds=1)
    relay.close()
    lab.put("limited link, 25 MB/s a connection, 50 ms", model["size"], costs, at_least("rate", costs, "curl", 8))


def bench_layers(lab):
    model = lab.several("layers", lab.options.layers, MIB)
    sides = Sides()

    def pull(side):
        folder = lab.fresh()
        argv, env = sides.pull(side, lab.registry.host, model["repository"], folder)
        cost = run_timed(argv, env, after=(lambda: sync_tree(folder)) if side != "berth" else None)
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)
        return cost

    def push(side):
        lab.forget()
        return run_timed(*sides.push(side, lab.registry.host, model["repository"], model))

    for name, work in ((f"{lab.options.layers} layers of 1 MiB, pull, durable", pull), (f"{lab.options.layers} layers of 1 MiB, push", push)):
        costs = lab.turns(["berth", *PEERS], work)
        lab.put(name, model["size"], costs, [goal for peer in PEERS for goal in at_least("rate", costs, peer, 1)])


def start(command):
    argv, env = command
    return subprocess.Popen([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def kill_and_repeat(choice, relay, way, expected, fresh):
    """(moved before the kill, moved in all). `fresh()` -> command, made anew for the repeat by calling it again."""
    before = relay.counts()[way]
    command = fresh()
    process = start(command)
    # The moment is a share of the bytes, which is what counts; polled, as only the relay knows.
    mark = expected * choice.uniform(0.05, 0.95)
    while process.poll() is None and relay.counts()[way] - before < mark:
        berthlab.select_pause()
    process.kill()
    process.wait()
    berthlab.until(lambda: relay.counts()["open"] == 0, "the connections' end")
    moved = relay.counts()[way] - before
    run_timed(*command)
    return moved, relay.counts()[way] - before


def bench_kill_pull(lab):
    model = lab.several("kill", 4, lab.options.size // 16)
    sides = Sides()
    choice = random.Random(lab.options.seed)
    for side in ["berth", *PEERS]:
        relay = Relay(lab.registry.host, total_rate=100_000_000)
        folder = lab.fresh()
        run_timed(*sides.pull(side, relay.host, model["repository"], folder))
        once = relay.counts()["down"]
        again = moved = 0
        for _ in range(lab.options.kills if side == "berth" else min(3, lab.options.kills)):
            folder = lab.fresh()
            command = sides.pull(side, relay.host, model["repository"], folder)
            before, total = kill_and_repeat(choice, relay, "down", once, lambda: command)
            moved, again = moved + before, again + max(0, total - once)
            if side == "berth":
                check_clean(command[1])
            subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
            shutil.rmtree(folder)
        relay.close()
        share = again / moved
        lab.note(f"moved again after kill -9, pull, {side}", {"again_bytes": again, "of_bytes": moved, "share": round(share, 4)},
                 [("share <= 0.005", share, share <= 0.005)] if side == "berth" else [])


def check_clean(env):
    """Nothing is left behind after the repeat."""
    left = subprocess.run([str(berthlab.BERTH), "df", "--json"], env=env, check=True, stdout=subprocess.PIPE).stdout
    assert json.loads(left)["unfinished"] == 0, f"unfinished transfers are left: {left}"


def kill_push(lab, name, model, sides, side, server, forget, kills, seed):
    """The share of what had been moved that moves again, over some kills."""
    relay = Relay(server.host, total_rate=100_000_000)
    if side == "berth":
        model["berth"].run("tag", model["reference"], f"{relay.host}/{model['repository']}")
    command = sides.push(side, relay.host, model["repository"], model)
    forget()
    run_timed(*command)
    once, choice = relay.counts()["up"], random.Random(seed)
    again = moved = 0
    for _ in range(kills):
        forget()
        before, total = kill_and_repeat(choice, relay, "up", once, lambda: sides.push(side, relay.host, model["repository"], model))
        moved, again = moved + before, again + max(0, total - once)
    relay.close()
    share = again / moved
    goals = [("share <= 0.05", share, share <= 0.05)] if side == "berth" and "right" in name else []
    lab.note(f"moved again after kill -9, push, {name}, {side}",
             {"again_bytes": again, "of_bytes": moved, "share": round(share, 4)}, goals)


def bench_kill_push(lab):
    model = lab.several("kill", 4, lab.options.size // 16)
    sides = Sides()
    few = min(3, lab.options.kills)
    for side in ["berth", *PEERS]:
        kill_push(lab, "docker-registry", model, sides, side, lab.registry, lab.forget,
                  lab.options.kills if side == "berth" else few, lab.options.seed)
    try:
        from fault_registry import FaultRegistry
    except ImportError:
        print("\nmoved again after kill -9, push, right status: not run, there is no fault registry")
        return
    folder = lab.fresh(lab.memory)
    with FaultRegistry(folder) as registry:
        def empty():
            with registry.lock:
                for held in (registry.repositories, registry.manifests, registry.tags, registry.uploads):
                    held.clear()

        kill_push(lab, "a registry whose upload status is right", model, sides, "berth", registry, empty,
                  lab.options.kills, lab.options.seed)


def bench_two(lab):
    model = lab.several("kill", 4, lab.options.size // 16)
    sides = Sides()
    relay = Relay(lab.registry.host, total_rate=400_000_000)
    command = sides.pull("berth", relay.host, model["repository"], lab.fresh())
    pulls = [start(command) for _ in range(2)]
    assert [one.wait() for one in pulls] == [0, 0]
    down = relay.counts()["down"]
    relay.close()
    ratio = down / model["size"]
    lab.note("two processes pull one model", {"from_the_registry": down, "model": model["size"]},
             [("bytes / model <= 1.005", ratio, ratio <= 1.005)])


BENCHES = {"pull": bench_pull, "push": bench_push, "limited": bench_limited, "layers": bench_layers,
           "kill-pull": bench_kill_pull, "kill-push": bench_kill_push, "two": bench_two}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(BENCHES), metavar="NAME")
    parser.add_argument("--size", type=int, default=2 * GIB)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the sides write (default: the folder for temporary files)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the JSON there")
    options = parser.parse_args()
    lab = Lab(options)
    try:
        for name in options.only or BENCHES:
            BENCHES[name](lab)
            lab.forget()
    finally:
        lab.close()
    result = {"machine": platform.platform(), "cores": os.cpu_count(), "size": options.size, "rounds": options.rounds,
              "results": lab.results}
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print("\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
