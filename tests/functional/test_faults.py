"""pull and push against servers that do what real ones do wrong; every byte that moves is counted."""

import re
import signal
import socket
import threading

import pytest

import berthlab
from fault_registry import PASSWORD, USER, FaultRegistry

MIB = 1 << 20
SIZE = 12 * MIB


@pytest.fixture
def make_registry(folder):
    made = []

    def make(**behaviour):
        made.append(FaultRegistry(folder / f"f{len(made)}", **behaviour))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


@pytest.fixture
def weights(folder):
    return berthlab.weights(folder / "weights.gguf", SIZE)


def packaged(berth, registry, weights, name="ai/x:1"):
    reference = f"{registry.host}/{name}"
    berth.run("package", "--gguf", weights, reference)
    return reference


def pushed(berth, registry, weights):
    reference = packaged(berth, registry, weights)
    berth.run("push", reference)
    registry.forget()
    return reference


def layer(weights):
    return berthlab.sha256(weights.read_bytes())


def holds(user, weights):
    found = user.blobs().get(layer(weights)[7:])
    return found is not None and found.read_bytes() == weights.read_bytes()


def one_sentence(done):
    """What failed is said once, in a line, without anything that must stay secret."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("berth: ")]
    assert len(lines) == 1, done.stderr
    assert "CANARY" not in done.stdout + done.stderr
    assert len(lines[0]) < 700, lines[0]
    return lines[0]


# --- pull ---

# What the server does, and how much of the model's bytes it may cost in all.
PULL_FAULTS = {
    "cut": ("cut", dict(after=3 * MIB, times=2), {}, 1.5),
    "closed": ("cut", dict(after=3 * MIB, times=1, how="close"), {}, 1.5),
    "lying range": ("lie", dict(headers={"Content-Range": "bytes 0-9/10"}, times=1000), {}, 6),
    "shifted range": ("shift", dict(bytes=1000, times=1000), {}, 6),
    "short parts": ("short", dict(bytes=2 * MIB, times=6), {}, 1.3),
    "416": ("range416", dict(times=1000), {}, 6),
    "no ranges": (None, {}, dict(ranges="ignore"), 6),
    "no length": ("no_length", dict(times=1000), {}, 1.3),
    "HTTP/1.0": ("http10", dict(times=1000), {}, 1.3),
    "gone": ("gone", dict(times=2), {}, 1.3),
    "hangs up": ("hang_up", dict(times=1000), {}, 1.3),
    "gzip": ("gzip", dict(times=1000), {}, 6),
    "busy": ("status", dict(code=503, headers={"Retry-After": "1"}, times=2), {}, 1.3),
    "limited": ("status", dict(code=429, headers={"Retry-After": "1"}, times=2), {}, 1.3),
    "storage": (None, {}, dict(redirect=True), 1.3),
    "storage whose URLs are good once": (None, {}, dict(redirect=True, url_uses=1), 1.3),
    "expired": ("expired", dict(times=2), dict(redirect=True), 1.3),
}


@pytest.mark.parametrize("name", PULL_FAULTS)
def test_a_pull_goes_on(berth, other, make_registry, weights, name):
    kind, options, behaviour, most = PULL_FAULTS[name]
    registry = make_registry(**behaviour)
    reference = pushed(berth, registry, weights)
    path = "/data/" if behaviour.get("redirect") and kind not in (None, "expired") else layer(weights)
    if kind:
        registry.fault(kind, "GET", path, **options)
    other.run("pull", reference)
    assert holds(other, weights)
    assert registry.sent <= most * SIZE, f"{registry.sent / SIZE:.2f} of the model"


def test_a_401_in_the_middle_costs_nothing(berth, other, make_registry, weights):
    registry = make_registry(auth="bearer")
    for user in (berth, other):
        user.run("login", registry.host, "-u", USER, "--password-stdin", input=PASSWORD)
    reference = pushed(berth, registry, weights)
    registry.token_uses = 2
    registry.revoke_tokens()
    other.run("pull", reference)
    assert holds(other, weights)
    assert registry.tokens_given > 1


# Lies that nothing can be made of: one sentence, nothing visible, and a later pull is whole.
@pytest.mark.parametrize("kind, options, status", [
    ("flip", dict(at=5 * MIB), 6),
    ("endless", dict(bytes=30 * MIB), 6),
    ("bomb", dict(bytes=200 * MIB), 6),
])
def test_a_lie_is_found_out(berth, other, make_registry, weights, kind, options, status):
    registry = make_registry(ranges="ignore")
    reference = pushed(berth, registry, weights)
    registry.fault(kind, "GET", layer(weights), times=1000, **options)
    refused = other.run("pull", reference, ok=False)
    assert refused.returncode == status, (refused.returncode, refused.stderr)
    one_sentence(refused)
    assert layer(weights)[7:] not in other.blobs()
    assert other.json("list", "--json") == []
    registry.faults.clear()
    other.run("pull", reference)
    assert holds(other, weights)


@pytest.mark.parametrize("fault, path, words", [
    (dict(kind="headers_flood", bytes=1_000_000), "/manifests/", "header"),
    (dict(kind="status", code=429, headers={"Retry-After": "3600"}), "/manifests/", "it asks to wait 1h"),
    (dict(kind="status", code=403), "/manifests/", "berth login"),
    (dict(kind="redirect", to="http://169.254.169.254/latest/"), "/blobs/", "169.254.169.254"),
])
def test_what_cannot_be_mended_is_said(berth, other, make_registry, weights, fault, path, words):
    registry = make_registry()
    reference = pushed(berth, registry, weights)
    for method in ("GET", "HEAD"):
        registry.fault(method=method, path=path, times=1000, **fault)
    refused = other.run("pull", reference, ok=False)
    assert refused.returncode != 0
    assert words in one_sentence(refused)


def test_a_stalled_server_is_given_up_in_the_time_that_was_set(berth, other, make_registry, weights):
    registry = make_registry()
    reference = pushed(berth, registry, weights)
    registry.fault("stall", "GET", layer(weights), after=0, times=1000)
    quick = {"BERTH_NETWORK_STALL_TIMEOUT": "200ms", "BERTH_NETWORK_FIRST_BYTE_TIMEOUT": "2s"}
    done = other.run("pull", reference, ok=False, env=quick, timeout=300)
    assert done.returncode == 5, done.stderr
    assert "200 ms" in one_sentence(done)


def test_a_server_that_stalls_again_and_again_is_followed_as_long_as_bytes_come(berth, other, make_registry, weights):
    registry = make_registry()
    reference = pushed(berth, registry, weights)
    registry.fault("stall", "GET", layer(weights), after=4 * MIB, times=1000)
    other.run("pull", reference, env={"BERTH_NETWORK_STALL_TIMEOUT": "200ms"}, timeout=300)
    assert holds(other, weights)


def test_a_limited_rate_is_kept(berth, other, make_registry, weights):
    import time

    registry = make_registry()
    reference = pushed(berth, registry, weights)
    begun = time.monotonic()
    other.run("pull", "--limit-rate", "6MiB", reference)
    assert time.monotonic() - begun > 1.7
    begun = time.monotonic()
    berth.run("push", "--limit-rate", "6MiB", packaged(berth, registry, weights, "ai/slow:1"), env={})
    assert holds(other, weights)
    refused = other.run("pull", "--limit-rate", "fast", reference, ok=False)
    assert refused.returncode == 2 and "--limit-rate" in refused.stderr


# --- push ---

BIG = dict(at_least=MIB)  # the config is small and goes by the same path
PUSH_FAULTS = {
    "reset PUT": (dict(kind="cut", method="PUT", after=6 * MIB), {}, 1.05),
    "closed PUT": (dict(kind="cut", method="PUT", after=6 * MIB, how="close"), {}, 1.05),
    "often": (dict(kind="cut", method="PATCH", after=1 * MIB, times=4), dict(cut_first=6 * MIB), 1.05),
    "lost PUT": (dict(kind="cut", method="PUT", after=6 * MIB), dict(upload_status="lost"), 1.6),
    "lost upload": (dict(kind="lose_upload", method="PUT"), {}, 2.1),
    "busy": (dict(kind="status", method="PUT", code=503, headers={"Retry-After": "1"}), {}, 2.1),
    "busy POST": (dict(kind="status", method="POST", code=429, headers={"Retry-After": "1"}, times=2, at_least=0), {}, 1.05),
    "large PUTs refused": (None, dict(max_put=5 * MIB), 1.3),
    "large bodies refused": (None, dict(max_put=3 * MIB, max_patch=3 * MIB), 1.3),
    "no PATCH": (dict(kind="cut", method="PUT", after=6 * MIB), dict(patch="refuse"), 1.6),
    "ECR": (dict(kind="cut", method="PUT", after=6 * MIB), dict(patch="ecr"), 2.3),
    "small PATCHes": (dict(kind="cut", method="PUT", after=2 * MIB), dict(patch="small"), 1.05),
    "least chunk": (None, dict(max_put=5 * MIB, min_chunk=6 * MIB), 1.3),
    "not stored": (dict(kind="ack", method="PUT"), {}, 2.1),
}


@pytest.mark.parametrize("name", PUSH_FAULTS)
def test_a_push_goes_on(berth, make_registry, weights, name):
    fault, behaviour, most = PUSH_FAULTS[name]
    behaviour = dict(behaviour)
    first = behaviour.pop("cut_first", None)
    registry = make_registry(**behaviour)
    reference = packaged(berth, registry, weights)
    lied_to = name == "not stored"
    if first:
        registry.fault("cut", "PUT", "/blobs/uploads/", after=first)
    if fault:
        options = {**BIG, **fault}
        registry.fault(options.pop("kind"), options.pop("method"), "/blobs/uploads/", **options)
    done = berth.run("push", reference, ok=not lied_to)
    if lied_to:
        assert done.returncode == 5 and f"acknowledged {layer(weights)} and does not have it" in one_sentence(done)
        berth.run("push", reference)
    assert layer(weights) in registry.blobs("ai/x")
    stored = registry.folder / "blobs" / layer(weights)[7:]
    assert stored.read_bytes() == weights.read_bytes()
    assert registry.received <= most * SIZE, f"{registry.received / SIZE:.2f} of the model"
    assert not list((berth.home / "b").rglob("uploads/*.json")), "nothing is left behind"


def test_a_token_that_dies_during_a_blob_does_not_lose_it(berth, make_registry, folder):
    size = 24 * MIB
    weights = berthlab.weights(folder / "large.gguf", size)
    registry = make_registry(auth="bearer")
    berth.run("login", registry.host, "-u", USER, "--password-stdin", input=PASSWORD)
    reference = packaged(berth, registry, weights)
    registry.fault("late_401", "PUT", "/blobs/uploads/", at_least=MIB)
    berth.run("push", reference)
    assert (registry.folder / "blobs" / layer(weights)[7:]).read_bytes() == weights.read_bytes()
    assert registry.received <= 1.05 * size, f"{registry.received / size:.2f} of the model"


def cut_here(registry, after):
    """Resolves when so many bytes of uploads have come."""
    return lambda: registry.received >= after


@pytest.mark.parametrize("upload_status", ["right", "lost"])
def test_a_killed_push_goes_on_where_the_registry_is(berth, make_registry, folder, upload_status):
    size = 40 * MIB
    weights = berthlab.weights(folder / "large.gguf", size)
    registry = make_registry(rate=30 * MIB, upload_status=upload_status)
    reference = packaged(berth, registry, weights)
    pushing = berth.start("push", reference)
    berthlab.until(cut_here(registry, 20 * MIB), "half of the upload")
    pushing.send_signal(signal.SIGKILL)
    berthlab.stop(pushing)
    moved = registry.received
    berth.run("push", reference)
    assert (registry.folder / "blobs" / layer(weights)[7:]).read_bytes() == weights.read_bytes()
    again = (moved + registry.received - moved - size) / moved
    if upload_status == "right":
        assert again <= 0.05, f"{again:.1%} of what had been moved went again"
    assert not list((berth.home / "b").rglob("uploads/*.json"))


def test_a_push_that_is_told_to_wait_says_so(berth, make_registry, weights):
    registry = make_registry()
    reference = packaged(berth, registry, weights)
    registry.fault("status", "POST", "/blobs/uploads/", code=503, headers={"Retry-After": "2"})
    done = berth.run("push", "--progress", "json", reference)
    assert "trying again in" in done.stdout + done.stderr


# --- credentials ---

def test_no_secret_goes_elsewhere(berth, other, make_registry, weights):
    """Redirects to another port, and a challenge there: neither password nor token is seen by it."""
    registry = make_registry(auth="bearer", redirect=True)
    for user in (berth, other):
        user.run("login", registry.host, "-u", USER, "--password-stdin", input=PASSWORD)
    reference = pushed(berth, registry, weights)
    challenge = {"WWW-Authenticate": f'Basic realm="give", Bearer realm="http://{registry.storage_host}/token",service="x"'}
    registry.fault("status", "GET", "/data/", code=401, headers=challenge, times=3)
    registry.fault("redirect", "GET", "/blobs/", to=f"http://{registry.storage_host}/data/x", times=1)
    done = other.run("pull", reference, ok=False)
    other.run("pull", reference)
    assert holds(other, weights)
    assert registry.seen("GET", "/data/"), "the redirects were followed"
    assert not registry.seen("GET", "/token") or all(r.origin == "registry" for r in registry.seen("GET", "/token"))
    assert registry.leaks() == []
    assert "CANARY" not in done.stdout + done.stderr


def test_no_secret_is_in_what_berth_writes(berth, make_registry, weights):
    registry = make_registry(auth="bearer")
    berth.run("login", registry.host, "-u", USER, "--password-stdin", input=PASSWORD)
    reference = packaged(berth, registry, weights)
    registry.fault("status", "PUT", "/blobs/uploads/", code=500, body=PASSWORD.encode(), times=2)
    registry.fault("cut", "PUT", "/blobs/uploads/", after=MIB)
    done = berth.run("push", "--progress", "json", reference, env={"BERTH_LOG_LEVEL": "debug"})
    assert "CANARY-token" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


# --- the way there ---

class Proxy:
    """An HTTP proxy (CONNECT and absolute-form) or a SOCKS5 one that notes where it was asked to go and leads everything to `to`."""

    def __init__(self, to, kind="http"):
        self.to, self.kind, self.asked = to.rsplit(":", 1), kind, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = client.recv(65536)
        out = socket.create_connection((self.to[0].strip("[]"), int(self.to[1])))
        if self.kind == "socks":
            client.sendall(b"\x05\x00")
            request = client.recv(65536)
            name = request[5 : 5 + request[4]] if request[3] == 3 else b"an address"
            self.asked.append(name.decode())
            client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        else:
            target = head.split(b" ")[1].decode()
            self.asked.append(target)
            # The origin takes the absolute form's path only.
            out.sendall(re.sub(rb"^(\w+) http://[^/]+", rb"\1 ", head))
        for source, sink in ((client, out), (out, client)):
            threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while piece := source.recv(65536):
                if self.kind == "http" and re.match(rb"^[A-Z]+ http://", piece):
                    self.asked.append(piece.split(b" ")[1].decode())
                    piece = re.sub(rb"^(\w+) http://[^/]+", rb"\1 ", piece)
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("kind, variable, scheme", [
    ("http", "http_proxy", "http"), ("socks", "all_proxy", "socks5"), ("socks", "all_proxy", "socks5h")])
def test_proxies(berth, other, make_registry, weights, kind, variable, scheme):
    registry = make_registry()
    reference = pushed(berth, registry, weights)
    proxy = Proxy(registry.host, kind)
    try:
        env = {variable: f"{scheme}://{proxy.address}", "BERTH_REGISTRY_PLAIN_HTTP": "true"}
        name = "registry.invalid:5000/ai/x:1"
        other.run("pull", name, env=env)
        assert holds(other, weights)
        assert proxy.asked and all("registry.invalid" in asked for asked in proxy.asked), "the name is the proxy's to resolve"
        proxy.asked.clear()
        refused = other.run("pull", name, env={**env, "no_proxy": "registry.invalid"}, ok=False)
        assert refused.returncode == 5 and not proxy.asked
        other.run("pull", reference, env=env)
        assert not proxy.asked, "loopback is always direct"
    finally:
        proxy.close()


def test_ipv6(berth, other, make_registry, weights):
    registry = make_registry(host="::1")
    reference = pushed(berth, registry, weights)
    other.run("pull", reference)
    assert holds(other, weights)


def test_mirrors_and_headers_of_one_registry(berth, other, make_registry, weights):
    mirror, origin = make_registry(), make_registry()
    pushed(berth, mirror, weights)
    pushed(berth, origin, weights)
    (other.home / "b").mkdir(exist_ok=True)
    (other.home / "b" / "config.toml").write_text(
        f'[registry.host."{origin.host}"]\nmirrors = ["http://127.0.0.1:1", "http://{mirror.host}"]\n'
        f'headers = ["X-Team: CANARY-team"]\nlimit_rate = "100MB"\n')
    other.run("pull", f"{origin.host}/ai/x:1")
    assert holds(other, weights)
    assert mirror.seen("GET", layer(weights)) and not origin.seen("GET", layer(weights))
    assert all(r.query.get("ns") == origin.host for r in mirror.requests)
    assert "CANARY" not in str(mirror.requests)
    settings = other.run("settings").stdout
    assert f'registry.host."{origin.host}".headers' in settings and "CANARY" not in settings
    mirror.close()
    mirror.listeners.clear()
    other.run("rm", f"{origin.host}/ai/x:1")
    other.run("pull", f"{origin.host}/ai/x:1")
    assert any("x-team" in r.headers for r in origin.requests)
