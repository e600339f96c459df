#!/usr/bin/env python3
"""Measures Berth against a named peer on the same work in one run; prints JSON.

usage: bench.py [package|link|list|startup|first-token|proxy|transfer|size]... [--bytes N] [--rounds N]

Every figure is the median over the rounds, the sides take turns. A peer that is not there is "not run".
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import berthlab

ENGINE = berthlab.PARTS / "engine"


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(values):
    return round(statistics.median(values), 6)


def call(*args, **kwargs):
    subprocess.run([str(a) for a in args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kwargs)


def drop(path):
    """Makes the next reading of `path` come from memory alike for both sides: reads it once."""
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass


def big_gguf(folder, size):
    """A valid GGUF of about `size` bytes with incompressible tensors."""
    import struct

    embedding = 1024
    path = folder / "big.gguf"

    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    rows = size // (4 * embedding)
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    pairs += text("general.file_type") + struct.pack("<II", 4, 0)
    table = text("token_embd.weight") + struct.pack("<I", 2) + struct.pack("<QQ", embedding, rows) + struct.pack("<IQ", 0, 0)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + pairs + table
    header += bytes(-len(header) % 32)
    chunk = os.urandom(1 << 20)
    with open(path, "wb") as file:
        file.write(header)
        left, number = rows * 4 * embedding, 0
        while left:
            part = bytearray(chunk[: min(left, len(chunk))])
            part[:8] = number.to_bytes(8, "little")
            file.write(part)
            left -= len(part)
            number += 1
    return path


def bench_package(options, folder):
    source = big_gguf(folder, options.bytes)
    drop(source)
    ours, theirs = [], []
    for number in range(options.rounds):
        copy = folder / f"copy{number}"

        def peer():
            call("cp", "--reflink=never", source, copy)
            call("sync", "-d", copy)

        theirs.append(timed(peer))
        copy.unlink()
        berth = berthlab.Berth(folder / f"home{number}")
        ours.append(timed(lambda: berth.run("package", "--gguf", source, "ai/big:1", timeout=600)))
        shutil.rmtree(berth.home)
    return {"bytes": source.stat().st_size, "berth_s": median(ours), "cp_and_sync_s": median(theirs),
            "ratio": round(median(ours) / median(theirs), 3), "goal": "ratio <= 1.1"}


def bench_link(options, folder):
    source = big_gguf(folder, options.bytes)
    drop(source)
    ours, theirs = [], []
    for number in range(options.rounds):
        theirs.append(timed(lambda: call("openssl", "dgst", "-sha256", source)))
        berth = berthlab.Berth(folder / f"home{number}")
        ours.append(timed(lambda: berth.run("package", "--link", "--gguf", source, "ai/big:1", timeout=600)))
        shutil.rmtree(berth.home)
    return {"bytes": source.stat().st_size, "berth_s": median(ours), "openssl_sha256_s": median(theirs),
            "ratio": round(median(ours) / median(theirs), 3), "goal": "ratio <= 1.15"}


def bench_list(options, folder):
    berth = berthlab.Berth(folder / "home")
    tiny = berthlab.gguf(folder / "tiny.gguf")
    berth.run("package", "--gguf", tiny, "ai/m0:1")
    licence = folder / "licence"
    for number in range(1, 1000):
        licence.write_text(f"licence {number}\n")
        berth.run("package", "--from", "ai/m0:1", "--license", licence, f"ai/m{number}:1")
    count = len(berth.json("list", "--json"))
    times = [timed(lambda: berth.run("list")) for _ in range(max(20, options.rounds))]
    return {"models": count, "list_ms": round(median(times) * 1e3, 2), "goal": "< 20 ms"}


def bench_startup(options, folder):
    berth = berthlab.Berth(folder / "home")
    times = [timed(lambda: berth.run("version")) for _ in range(max(30, options.rounds))]
    true = [timed(lambda: call("true")) for _ in range(max(30, options.rounds))]
    return {"version_ms": round(median(times) * 1e3, 2), "true_ms": round(median(true) * 1e3, 2), "goal": "< 15 ms"}


def bench_size(options, folder):
    stripped = folder / "berth"
    call("strip", "-o", stripped, berthlab.BERTH)
    return {"binary_bytes": berthlab.BERTH.stat().st_size, "stripped_bytes": stripped.stat().st_size}


def bare_engine(folder, model, extra=()):
    """llama-server outside Berth, through the engine root's own loader, on a unix socket."""
    root = ENGINE / "usr/lib/x86_64-linux-gnu"
    socket_path = folder / "bare.sock"
    if socket_path.exists():
        socket_path.unlink()
    backend = best_backend(root)
    process = subprocess.Popen(
        [root / "ld-linux-x86-64.so.2", "--library-path", f"{root}:{root}/llama", ENGINE / "usr/bin/llama-server", "-m", model,
         "--host", socket_path, "--ctx-size", "8192", "--parallel", "4", "--jinja", *extra],
        env={"PATH": "/usr/bin", "GGML_BACKEND_PATH": str(backend)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    return process, socket_path


def best_backend(root):
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    folder = next(root.rglob("backends0"))
    order = ["zen4", "sapphirerapids", "cooperlake", "icelake", "cascadelake", "skylakex", "alderlake", "haswell", "x64"]
    needs = {"zen4": "avx512_bf16", "sapphirerapids": "amx_int8", "cooperlake": "avx512_bf16", "icelake": "avx512_vnni",
             "cascadelake": "avx512_vnni", "skylakex": "avx512f", "alderlake": "avx_vnni", "haswell": "avx2", "x64": "sse2"}
    for name in order:
        found = folder / f"libggml-cpu-{name}.so"
        if found.exists() and needs[name] in flags:
            return found
    raise SystemExit("no CPU backend found in the engine root")


def unix_request(path, body, stream):
    """POSTs a chat; returns (seconds to the first content byte, seconds to the end, answer)."""
    import http.client
    import socket

    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(path))

    connection = Connection("localhost")
    start = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body=json.dumps(body), headers={"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    first = None
    data = b""
    while True:
        part = answer.read1(65536)
        if not part:
            break
        data += part
        if first is None and b'"content":"' in data:
            first = time.perf_counter() - start
    connection.close()
    return first, time.perf_counter() - start, data


def wait_healthy(path):
    import http.client
    import socket

    def healthy():
        try:
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(path))
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    berthlab.until(healthy, "the bare engine", 60)


def daemon_cpu_per_event(daemon, answer, stream):
    """What one more event of a stream costs the daemon, in microseconds of processor: hardly moved by the machine's load."""
    def used():
        tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e3

    def cost(tokens):
        before = used()
        answer_with = stream["max_tokens"]
        stream["max_tokens"] = tokens
        answer()
        stream["max_tokens"] = answer_with
        return used() - before

    return statistics.median((cost(102) - cost(2)) / 100 for _ in range(5))


def bench_first_token(options, folder):
    berth = berthlab.Berth(folder / "home", engine=ENGINE)
    berth.run("package", "--gguf", berthlab.SMOLLM2, "ai/smollm2:q4")
    body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 1, "temperature": 0, "stream": True}
    ours, theirs = [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        process, path = bare_engine(folder, berthlab.SMOLLM2)
        wait_healthy(path)
        unix_request(path, body, True)
        theirs.append(time.perf_counter() - start)
        process.terminate()
        process.wait()

        start = time.perf_counter()
        running = berth.start("run", "--temp", "0", "--max-tokens", "1", "ai/smollm2:q4", "Say hello.")
        running.stdout.read(1)
        ours.append(time.perf_counter() - start)
        running.communicate()
    return {"berth_run_s": median(ours), "bare_engine_s": median(theirs),
            "added_ms": round((median(ours) - median(theirs)) * 1e3, 1), "goal": "<= 50 ms more"}


def bench_proxy(options, folder):
    """What the daemon adds: the same engine process asked directly over its socket and through the daemon."""
    import http.client
    import socket

    berth = berthlab.Berth(folder / "home", engine=ENGINE)
    berth.run("package", "--gguf", berthlab.gguf(folder / "tiny.gguf"), "ai/tiny:1")
    daemon = berthlab.Daemon(berth)
    try:
        body = {"model": "ai/tiny:1", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "temperature": 0}
        daemon.json("POST", "/engines/v1/chat/completions", body)
        engine_socket = next(p for p in berth.home.rglob("*.sock") if p.name != "berth.sock")

        class Direct(http.client.HTTPConnection):
            def connect(self):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect(str(engine_socket))

        def ask(connection, path):
            text = json.dumps(body)
            start = time.perf_counter()
            connection.request("POST", path, body=text, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            return time.perf_counter() - start

        direct, through = Direct("localhost"), http.client.HTTPConnection("127.0.0.1", daemon.port)
        bare, proxied = [], []
        for number in range(60 * options.rounds):
            a, b = ask(direct, "/v1/chat/completions"), ask(through, "/engines/v1/chat/completions")
            if number >= 20:
                bare.append(a)
                proxied.append(b)

        stream = {**body, "max_tokens": 400, "stream": True, "ignore_eos": True}

        def rate(connection, path):
            start = time.perf_counter()
            connection.request("POST", path, body=json.dumps(stream), headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            return data.count(b"data:") / (time.perf_counter() - start)

        def rates():
            """In turn, so that what else the machine does is on both sides; the median of the pairs' ratios is the loss."""
            plain, passed = [], []
            for _ in range(10 * options.rounds):
                plain.append(rate(Direct("localhost"), "/v1/chat/completions"))
                passed.append(rate(http.client.HTTPConnection("127.0.0.1", daemon.port), "/engines/v1/chat/completions"))
            loss = statistics.median(1 - b / a for a, b in zip(plain, passed))
            return statistics.median(plain), statistics.median(passed), 100 * loss

        tiny_plain, tiny_passed, _ = rates()
        # A real model: the tiny one makes an event each 0.13 ms, which no real model does on a CPU.
        daemon.json("POST", "/engines/unload", {"all": True})
        berth.run("package", "--gguf", berthlab.SMOLLM2, "ai/smollm2:q4")
        body["model"] = stream["model"] = "ai/smollm2:q4"
        stream["max_tokens"] = 200
        daemon.json("POST", "/engines/v1/chat/completions", body)
        engine_socket = next(p for p in berth.home.rglob("*.sock") if p.name != "berth.sock")
        real_plain, real_passed, real_loss = rates()
        cpu = daemon_cpu_per_event(daemon, lambda: rate(http.client.HTTPConnection("127.0.0.1", daemon.port), "/engines/v1/chat/completions"), stream)
        p50 = lambda v: statistics.median(v) * 1e3
        p99 = lambda v: statistics.quantiles(v, n=100)[98] * 1e3
        return {"direct_p50_ms": round(p50(bare), 3), "daemon_p50_ms": round(p50(proxied), 3),
                "added_p50_ms": round(p50(proxied) - p50(bare), 3), "added_p99_ms": round(p99(proxied) - p99(bare), 3),
                "stream_events_per_s": round(real_plain, 1), "stream_events_per_s_daemon": round(real_passed, 1),
                "stream_loss_percent": round(real_loss, 2), "daemon_cpu_us_per_event": round(cpu, 1),
                "tiny_events_per_s": round(tiny_plain, 1), "tiny_events_per_s_daemon": round(tiny_passed, 1),
                "goal": "p50 < 0.3 ms, stream within 2 %", "requests": len(bare)}
    finally:
        daemon.close()


def bench_transfer(options, folder):
    """Push and pull of one big blob against crane, on one docker-registry."""
    source = big_gguf(folder, options.bytes)
    (folder / "r").mkdir()
    registry = berthlab.Registry(folder / "r")
    crane = berthlab.part("crane")
    try:
        berth = berthlab.Berth(folder / "home")
        reference = f"{registry.host}/ai/big:1"
        berth.run("package", "--gguf", source, reference, timeout=600)
        push = timed(lambda: berth.run("push", reference, timeout=600))
        ours, theirs = [], []
        for number in range(options.rounds):
            other = berthlab.Berth(folder / f"pull{number}")
            ours.append(timed(lambda: other.run("pull", "--quiet", reference, timeout=600)))
            shutil.rmtree(other.home)
            target = folder / f"crane{number}"
            theirs.append(timed(lambda: call(crane, "pull", "--insecure", "--format", "oci", reference, target)))
            shutil.rmtree(target)
        return {"bytes": source.stat().st_size, "push_s": round(push, 3), "berth_pull_s": median(ours),
                "crane_pull_s": median(theirs), "ratio": round(median(ours) / median(theirs), 3)}
    finally:
        registry.close()


BENCHES = {"package": bench_package, "link": bench_link, "list": bench_list, "startup": bench_startup, "size": bench_size,
           "first-token": bench_first_token, "proxy": bench_proxy, "transfer": bench_transfer}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="BENCH")
    parser.add_argument("--bytes", type=int, default=2 << 30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to work: a file system with room (default: the temporary folder)")
    options = parser.parse_args()
    results = {"machine": {"cpus": os.cpu_count(), "kernel": platform.release()}}
    for name in options.names or BENCHES:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="bb-", dir=options.folder))
        try:
            results[name] = BENCHES[name](options, folder)
        finally:
            call("chmod", "-R", "u+w", folder)
            shutil.rmtree(folder)
        print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
