"""`berth registry serve` when its disk fails, when its files are damaged, and when its clients misbehave."""

import contextlib
import gzip
import hashlib
import os
import pathlib
import shutil
import socket
import struct
import threading

import pytest

import berthlab
import registry_faults
from registry_faults import KEPT, MANIFEST, MODEL, NEW, REQUESTS, blob, digest_of, one_sentence, start

STATUS = {"ENOSPC": 507, "EDQUOT": 507, "EIO": 500, "EROFS": 500}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return registry_faults.World(tmp_path_factory.mktemp("faults"))


# --- the disk


def check_after(registry, world, request, answer, error):
    status, _, body = answer
    if status in request.well:
        request.holds(registry)
    else:
        assert status == STATUS[error], (status, body)
        one_sentence(body, registry)
        request.before(registry)
    registry_faults.check_kept(registry)
    registry_faults.check_nothing_half(registry)


def ask_again(registry, world, request):
    """The fault is over. A body goes on where the upload says; an upload whose end failed is over as well, and begins anew."""
    path = request.path(world) if callable(request.path) else request.path
    held = None
    if callable(request.path):
        status, headers, _ = registry.request("GET", path.split("?")[0])
        assert status in (204, 404)
        if status == 204:
            last = int(headers["range"].split("-")[1])
            held = last + 1 if last else 0
        else:
            assert request.method == "PUT"
            path = f"/v2/t/new/blobs/uploads/?digest={digest_of(NEW)}"
    if held is None:
        status, _, body = registry.request("POST" if callable(request.path) else request.method, path,
                                           NEW if callable(request.path) else request.body, request.headers)
    else:
        rest = request.body[held:] if request.body else None
        headers = {"Content-Range": f"{held}-{len(NEW) - 1}"} if rest else {}
        status, _, body = registry.request(request.method, path, rest, headers)
    done_before = request.method == "DELETE" and status == 404
    assert status in request.well or (held is None and status == 201) or done_before, (status, body)
    request.holds(registry)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_call_that_fails_once(world, name):
    """Every call that the request makes, one at a time; the server goes on."""
    request = REQUESTS[name]
    places = world.places(request)
    assert places, "the request touches no disk"
    refused = 0
    for number, (operation, turn) in enumerate(places):
        error = ("EIO", "ENOSPC", "EDQUOT")[number % 3] if operation != "open" else ("EROFS", "ENOSPC")[number % 2]
        registry = start(world.copy(), f"{operation}:{turn}:{error}")
        try:
            answer = request.ask(registry, world)
            refused += answer[0] >= 500
            check_after(registry, world, request, answer, error)
            if answer[0] not in request.well:
                ask_again(registry, world, request)
            registry_faults.check_kept(registry)
            registry.kill()
            registry = start(registry.folder)
            # What was answered in the end is also so after a kill.
            request.holds(registry)
            registry_faults.check_kept(registry)
            registry_faults.check_nothing_half(registry)
        except AssertionError as fault:
            raise AssertionError(f"{name}: {operation}:{turn}:{error}: {fault}") from fault
        finally:
            registry.close()
            shutil.rmtree(registry.folder)
    assert refused, "no fault was ever told"


@pytest.mark.parametrize("name", REQUESTS)
def test_a_disk_that_stays_full(world, name):
    """From some call on each fails, until the server is started anew."""
    request = REQUESTS[name]
    places = world.places(request)
    for operation in sorted({operation for operation, _ in places} - {"open"}):  # what is full can be read
        turn = min(turn for other, turn in places if other == operation)
        registry = start(world.copy(), f"{operation}:{turn}:ENOSPC:sticky")
        try:
            for _ in range(2):
                status, _, body = request.ask(registry, world)
                assert status in (507, 404, *request.well), (operation, status, body)
                if status == 507:
                    one_sentence(body, registry)
            registry_faults.check_kept(registry)
            registry_faults.check_nothing_half(registry)
            registry.kill()
            registry = start(registry.folder)
            registry_faults.check_kept(registry)
            registry_faults.check_nothing_half(registry)
            ask_again(registry, world, request)
        finally:
            registry.close()
            shutil.rmtree(registry.folder)


@pytest.mark.parametrize("name", ["post", "patch", "put", "manifest"])
def test_a_write_that_takes_half_is_gone_on_with(world, name):
    request = REQUESTS[name]
    for operation, turn in world.places(request):
        if operation != "write":
            continue
        registry = start(world.copy(), f"write:{turn}:short")
        status, _, body = request.ask(registry, world)
        assert status in request.well, body
        request.holds(registry)
        if name == "patch":
            status, headers, _ = registry.request("PUT", f"{world.empty}?digest={digest_of(NEW)}")
            assert status == 201
            assert registry.request("GET", headers["location"])[2] == NEW
        registry.close()


def test_a_start_that_fails_says_why_and_loses_nothing(world):
    calls = world.traced(None)
    expected = {"EIO": 74, "ENOSPC": 8, "EROFS": 4}
    refused = 0
    for operation in ("open", "write", "sync", "rename", "dbwrite"):
        for turn in range(1, calls[operation] + 1):
            error = ("EIO", "ENOSPC", "EROFS")[turn % 3]
            folder = world.copy()
            env = {"BERTH_FAULT": f"{operation}:{turn}:{error}"}
            try:
                registry = berthlab.OwnRegistry(folder, env={**registry_faults.QUIET, **env})
            except AssertionError:
                refused += 1
                status, said = registry_faults.fails_to_start(folder, **env)
                assert status in (expected[error], 74), (env, status, said)  # what only reads calls it a failure of the disk
            else:
                registry.close()
            registry = start(folder)
            registry_faults.check_kept(registry)
            assert registry.request("GET", world.full)[1]["range"] == f"0-{len(NEW) - 1}"
            registry.close()
            shutil.rmtree(folder)
    assert refused > 0


def test_the_reserve_of_the_disk_is_not_touched(tmp_path):
    registry = start(tmp_path / "r", BERTH_REGISTRY_SERVER_DISK_RESERVE=str(1 << 60))
    status, _, body = registry.request("POST", f"/v2/a/b/blobs/uploads/?digest={digest_of(NEW)}", NEW)
    assert status == 507 and "are kept free" in one_sentence(body, registry)
    status, headers, _ = registry.request("POST", "/v2/a/b/blobs/uploads/")
    status, _, body = registry.request("PATCH", headers["location"], NEW)
    assert status == 507 and "are kept free" in one_sentence(body, registry)
    status, after, _ = registry.request("GET", headers["location"])
    assert status == 204 and after["range"] == "0-0"
    held = [entry.stat().st_size for entry in (registry.root / "ingest").iterdir()]
    assert held == [0]
    assert registry.request("DELETE", headers["location"])[0] == 204
    registry.close()


# --- its files


def test_a_registry_without_its_catalogue_is_not_taken_for_an_empty_one(world):
    folder = world.copy()
    root = folder / "registry"
    blobs = sorted(path.name for path in root.glob("blobs/*/*"))
    kept = folder / "kept.db"
    (root / "registry.db").rename(kept)
    status, said = registry_faults.fails_to_start(folder)
    assert status == 6 and "no registry.db" in said and "backup" in said
    assert not (root / "registry.db").exists()
    (root / "registry.db").touch()
    assert registry_faults.fails_to_start(folder)[0] == 6
    assert sorted(path.name for path in root.glob("blobs/*/*")) == blobs
    kept.rename(root / "registry.db")
    registry = start(folder)
    registry_faults.check_kept(registry)
    registry.close()
    # The other way that the sentence names.
    (root / "blobs").rename(folder / "blobs-aside")
    (root / "registry.db").unlink()
    registry = start(folder)
    registry.push_blob("t/new", NEW)
    registry.close()


def damage(path, begin, end=None):
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        end = size if end is None else end
        file.seek(begin)
        file.write(hashlib.shake_128(b"damage").digest(end - begin))


def test_a_damaged_catalogue_is_told_and_nothing_is_deleted(world):
    for begin, end in ((0, 100), (0, None), (4096, None)):
        folder = world.copy()
        root = folder / "registry"
        blobs = sorted(path.name for path in root.glob("blobs/*/*"))
        damage(root / "registry.db", begin, end)
        before = (root / "registry.db").read_bytes()
        try:
            registry = start(folder)
        except AssertionError:
            status, said = registry_faults.fails_to_start(folder)
            assert status == 6 and "damaged" in said and "backup" in said and "rebuilt" not in said, said
            assert (root / "registry.db").read_bytes() == before
        else:  # what is damaged is not read before it is asked for
            assert begin > 0
            for method, path in (("GET", "/v2/t/kept/manifests/v1"), ("GET", blob("t/kept", KEPT)), ("POST", "/v2/_berth/collect")):
                status, _, body = registry.request(method, path)
                assert status == 500, (path, status)
                one_sentence(body, registry)
            registry.close()
            assert "backup" in (folder / "log").read_text()
        assert sorted(path.name for path in root.glob("blobs/*/*")) == blobs


@pytest.mark.parametrize("how", ["gone", "short", "long", "a folder"])
def test_a_blob_whose_file_is_damaged_is_never_served(tmp_path, how):
    registry = start(tmp_path / "r")
    registry.push_blob("a/b", KEPT)
    assert registry.request("GET", blob("a/b", KEPT))[2] == KEPT
    file = registry.root / "blobs/sha256" / digest_of(KEPT)[7:]
    file.chmod(0o644)
    if how in ("gone", "a folder"):
        file.unlink()
        if how == "a folder":
            file.mkdir()
    else:
        with open(file, "r+b") as opened:
            opened.truncate(len(KEPT) // 2 if how == "short" else len(KEPT) + 1)
    for headers in ({}, {"Range": "bytes=1-5"}):
        status, _, body = registry.request("GET", blob("a/b", KEPT), headers=headers)
        assert status in (404, 500)
        one_sentence(body, registry)
    berthlab.until(lambda: digest_of(KEPT) in (registry.folder / "log").read_text(), "a line in the log")
    if how != "a folder":
        # It is not said to be here, so that a client pushes it again.
        assert registry.request("HEAD", blob("a/b", KEPT))[0] == 404
        assert registry.request("POST", f"/v2/a/c/blobs/uploads/?mount={digest_of(KEPT)}&from=a/b")[0] == 202
        registry.push_blob("a/b", KEPT)
        assert registry.request("GET", blob("a/b", KEPT))[2] == KEPT
    registry.close()


def test_a_manifest_whose_file_is_damaged_is_never_served(tmp_path):
    registry = start(tmp_path / "r")
    registry.push_blob("a/b", KEPT)
    put = ("PUT", "/v2/a/b/manifests/v1", MODEL, {"Content-Type": MANIFEST})
    assert registry.request(*put)[0] == 201
    registry.close()
    file = registry.root / "blobs/sha256" / digest_of(MODEL)[7:]
    file.chmod(0o644)
    file.write_bytes(MODEL[:-2] + b" }")
    registry = start(tmp_path / "r")
    for method in ("GET", "HEAD"):
        assert registry.request(method, "/v2/a/b/manifests/v1")[0] in (404, 500)
    berthlab.until(lambda: digest_of(MODEL) in (registry.folder / "log").read_text(), "a line in the log")
    file.unlink()
    assert registry.request("GET", "/v2/a/b/manifests/v1")[0] in (404, 500)
    assert registry.request(*put)[0] == 201
    assert registry.request("GET", "/v2/a/b/manifests/v1")[2] == MODEL
    registry.close()


# --- its clients


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all misbehaving clients: at the end it has nothing left of them."""
    registry = start(tmp_path_factory.mktemp("clients") / "r")
    registry.push_blob("big/big", BIG)
    for _ in range(3):  # what is kept from now on is there
        registry.request("GET", blob("big/big", BIG))
    open_before, memory_before = descriptors(registry), memory(registry)
    yield registry
    berthlab.until(lambda: descriptors(registry) <= open_before, "descriptors to be closed")
    berthlab.until(lambda: not list((registry.root / "ingest").iterdir()), "the uploads' files to be gone")
    assert memory(registry) - memory_before < 48 << 20
    registry.close()


BIG = registry_faults.random_bytes("big", 1 << 20) * 48


def descriptors(registry):
    return len(list(pathlib.Path(f"/proc/{registry.process.pid}/fd").iterdir()))


def memory(registry):
    fields = pathlib.Path(f"/proc/{registry.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


class Raw:
    """A connection on which a client can do everything wrong."""

    def __init__(self, registry, method, path, *headers, body=b""):
        self.socket = socket.create_connection(("127.0.0.1", registry.port), timeout=30)
        self.host = registry.host
        if method:
            self.send(method, path, *headers, body=body)

    def send(self, method, path, *headers, body=b""):
        head = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers, ""))
        self.socket.sendall(head.encode() + body)

    def answer(self):
        """Status, headers and body of the next one."""
        file = self.socket.makefile("rb")
        line = file.readline()
        if not line:
            return None, {}, b""
        headers = {}
        while (field := file.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        body = file.read(int(headers.get("content-length", 0))) if int(line.split()[1]) != 204 else b""
        return int(line.split()[1]), headers, body

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def begin(registry, repository="c/new"):
    status, headers, _ = registry.request("POST", f"/v2/{repository}/blobs/uploads/")
    assert status == 202
    return headers["location"]


def absent(registry, data, repository="c/new"):
    return registry.request("HEAD", blob(repository, data))[0] == 404


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CUTS = {"with a length": ("Content-Length: 300000", NEW[:150_000]),
        "chunked": ("Transfer-Encoding: chunked", chunk(NEW[:150_000])),
        "inside a chunk": ("Transfer-Encoding: chunked", chunk(NEW)[:150_000]),
        "before a byte": ("Content-Length: 300000", b"")}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_body_that_breaks_off(server, cut, method, reset):
    header, body = CUTS[cut]
    place = begin(server) if method != "POST" else "/v2/c/new/blobs/uploads/"
    query = "" if method == "PATCH" else f"?digest={digest_of(NEW)}"
    raw = Raw(server, method, place + query, header, body=body)
    raw.close(reset)
    if method == "POST":
        berthlab.until(lambda: not list((server.root / "ingest").iterdir()), "its file to be gone")
    else:
        # What came may be gone on with.
        status, headers, _ = server.request("GET", place)
        assert status == 204
        last = int(headers["range"].split("-")[1])
        held = last + 1 if last else 0
        assert held <= len(body)
        assert absent(server, NEW)
        status, _, _ = server.request("PUT", f"{place}?digest={digest_of(NEW)}", NEW[held:], {"Content-Range": f"{held}-{len(NEW) - 1}"})
        assert status == 201
        assert server.request("GET", blob("c/new", NEW))[2] == NEW
        assert server.request("DELETE", blob("c/new", NEW))[0] == 202
    assert absent(server, NEW)


def test_more_than_was_said_is_no_part_of_the_body(server):
    place = begin(server)
    said = NEW[:1000]
    raw = Raw(server, "PUT", f"{place}?digest={digest_of(said)}", "Content-Length: 1000", body=NEW[:3000])
    status, _, _ = raw.answer()
    assert status == 201
    status, _, _ = raw.answer()
    assert status in (None, 400)  # the rest is no request
    raw.close()
    assert server.request("GET", blob("c/new", said))[2] == said
    assert absent(server, NEW[:3000])


@pytest.mark.parametrize("range, body, status", [
    ("5-14", NEW[:10], 416), ("0-9", NEW[:5], 400), ("0-4", NEW[:10], 400), ("9-0", NEW[:10], 400), ("-5", NEW[:10], 400),
    ("0-99999999999999999999999", NEW[:10], 400), ("x", NEW[:10], 400), ("bytes 5-14/10", NEW[:10], 416)])
def test_a_range_that_lies(server, range, body, status):
    place = begin(server)
    for method, query in (("PATCH", ""), ("PUT", f"?digest={digest_of(body)}")):
        got, _, text = server.request(method, place + query, body, {"Content-Range": range})
        assert got in (status, 400), (got, text)
        one_sentence(text, server)
    assert server.request("GET", place)[1]["range"] == "0-0"
    assert absent(server, body)
    assert server.request("DELETE", place)[0] == 204


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_leave_in_the_middle_of_an_answer(server, reset):
    leavers = [Raw(server, "GET", blob("big/big", BIG)) for _ in range(20)]
    for raw in leavers:
        assert raw.socket.recv(1000).startswith(b"HTTP/1.1 200")
        raw.close(reset)
    assert server.request("GET", blob("big/big", BIG))[2] == BIG


def test_two_clients_with_one_upload(server):
    place = begin(server)
    first = Raw(server, "PATCH", place, f"Content-Length: {len(NEW)}", body=NEW[:100_000])
    # The other asks where it is, which ends the first, and goes on.
    status, headers, _ = server.request("GET", place)
    assert status == 204
    last = int(headers["range"].split("-")[1])
    held = last + 1 if last else 0
    assert held <= 100_000
    status, _, body = first.answer()
    assert status in (409, 400, None), body
    first.close()
    status, _, _ = server.request("PUT", f"{place}?digest={digest_of(NEW)}", NEW[held:])
    assert status == 201
    assert server.request("GET", blob("c/new", NEW))[2] == NEW
    server.request("DELETE", blob("c/new", NEW))


def test_both_write_all_at_once_and_the_blob_is_right_or_refused(server):
    place = begin(server)
    answers = []

    def push(data):
        with contextlib.suppress(OSError):
            answers.append(server.request("PUT", f"{place}?digest={digest_of(NEW)}", data)[0])

    threads = [threading.Thread(target=push, args=(data,)) for data in (NEW, NEW[::-1], NEW, NEW[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {201, 400, 404, 409}, answers
    status, _, body = server.request("GET", blob("c/new", NEW))
    assert body == NEW if 201 in answers else status in (200, 404)
    server.request("DELETE", place)
    server.request("DELETE", blob("c/new", NEW))


def test_an_upload_that_is_cancelled_while_it_is_written(server):
    place = begin(server)
    raw = Raw(server, "PATCH", place, f"Content-Length: {len(NEW)}", body=NEW[:100_000])
    assert server.request("DELETE", place)[0] == 204
    status, _, _ = raw.answer()
    assert status in (400, 404, 409, None)
    raw.close()
    assert server.request("GET", place)[0] == 404
    assert server.request("PATCH", place, NEW)[0] == 404
    assert absent(server, NEW)


def test_expect_100_continue(server):
    raw = Raw(server, "POST", f"/v2/c/new/blobs/uploads/?digest={digest_of(NEW)}", f"Content-Length: {len(NEW)}", "Expect: 100-continue")
    assert raw.answer()[0] == 100
    raw.socket.sendall(NEW)
    assert raw.answer()[0] == 201
    # What is refused is refused before the body comes.
    raw.send("POST", "/v2/c/new/blobs/uploads/?digest=sha256:x", "Content-Length: 1000000000", "Expect: 100-continue")
    assert raw.answer()[0] == 400
    raw.close()
    server.request("DELETE", blob("c/new", NEW))


def test_requests_that_come_at_once_are_answered_in_order(server):
    data = NEW[:5000]
    raw = Raw(server, None, None)
    head = f"Host: {server.host}\r\n"
    post = f"POST /v2/c/pipe/blobs/uploads/?digest={digest_of(data)} HTTP/1.1\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    get = f"GET {blob('c/pipe', data)} HTTP/1.1\r\n{head}\r\n".encode()
    raw.socket.sendall(b"GET /v2/ HTTP/1.1\r\n" + head.encode() + b"\r\n" + post + get + get)
    file = raw.socket.makefile("rb")
    seen = []
    for _ in range(4):
        seen.append(int(file.readline().split()[1]))
        length = 0
        while (field := file.readline()) != b"\r\n":
            if field.lower().startswith(b"content-length:"):
                length = int(field.split(b":")[1])
        body = file.read(length)
    assert seen == [200, 201, 200, 200] and body == data
    raw.close()


def test_a_head_without_an_end(server):
    raw = Raw(server, None, None)
    with contextlib.suppress(OSError):
        raw.socket.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000)
    assert raw.answer()[0] == 431
    raw.close()


def test_content_that_is_not_what_its_digest_says(server):
    wrong = digest_of(b"else")
    status, _, body = server.request("POST", f"/v2/c/new/blobs/uploads/?digest={wrong}", NEW)
    assert status == 400 and "push the blob again" in one_sentence(body, server)
    place = begin(server)
    assert server.request("PATCH", place, NEW)[0] == 202
    assert server.request("PUT", f"{place}?digest={wrong}")[0] == 400
    assert server.request("GET", place)[0] == 404
    assert server.request("PUT", f"/v2/c/new/manifests/{wrong}", MODEL, {"Content-Type": MANIFEST})[0] == 400
    for path in (blob("c/new", NEW), f"/v2/c/new/blobs/{wrong}", f"/v2/c/new/manifests/{wrong}", f"/v2/c/new/manifests/{digest_of(MODEL)}"):
        assert server.request("GET", path)[0] == 404


def test_a_coded_body_is_what_came(server):
    """A digest is of bytes: nothing is unpacked behind the client's back."""
    packed = gzip.compress(NEW)
    coded = {"Content-Encoding": "gzip"}
    assert server.request("POST", f"/v2/c/new/blobs/uploads/?digest={digest_of(NEW)}", packed, coded)[0] in (400, 415)
    assert absent(server, NEW)
    status, _, _ = server.request("POST", f"/v2/c/new/blobs/uploads/?digest={digest_of(packed)}", packed, coded)
    if status == 201:
        status, headers, body = server.request("GET", blob("c/new", packed), headers={"Accept-Encoding": "gzip"})
        assert body == packed and "content-encoding" not in headers
    else:
        assert status == 415
