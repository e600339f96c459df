"""The relay that benches and kill tests measure with: it moves what it says, at the rate and with the delay that it says."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

import berthlab
import pytest

PROGRAM = berthlab.BERTH.parent / "berth_relay"


class Echo:
    """Answers each connection with as many bytes as its one-line request says."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection):
        with connection, contextlib.suppress(OSError):
            size = int(connection.makefile().readline())
            connection.sendall(bytes(range(256)) * (size // 256))

    def close(self):
        self.socket.close()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@contextlib.contextmanager
def relay(port, *options):
    process = subprocess.Popen([PROGRAM, "--to", f"127.0.0.1:{port}", *options], stdout=subprocess.PIPE, text=True)
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def fetch(port, size):
    """(bytes, seconds to the first, seconds to the last)"""
    start, first, data = time.monotonic(), None, bytearray()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{size}\n".encode())
        while part := connection.recv(1 << 20):
            first = first or time.monotonic() - start
            data += part
    return bytes(data), first, time.monotonic() - start


def test_what_passes_is_whole_and_counted(echo):
    size = 20 * 256 * 1024
    with relay(echo.port) as (process, port):
        assert fetch(port, size)[0] == bytes(range(256)) * (size // 256)
        process.send_signal(signal.SIGUSR1)
        counts = json.loads(process.stdout.readline())
        assert (counts["connections"], counts["up"], counts["down"]) == (1, len(f"{size}\n"), size)
        process.terminate()
        assert json.loads(process.stdout.readline())["down"] == size


def test_rate_and_delay(echo):
    size = 256 * 12_000
    with relay(echo.port, "--rate", "6000000", "--rtt", "100") as (_, port):
        data, first, last = fetch(port, size)
        assert len(data) == size
        assert first >= 0.1
        # The burst at the beginning is 50 ms of the rate.
        assert last >= 0.1 + size / 6e6 - 0.06


def test_a_total_rate_is_shared(echo):
    with relay(echo.port, "--total-rate", "6000000") as (_, port):
        sizes = [256 * 4000] * 3
        start = time.monotonic()
        threads = [threading.Thread(target=fetch, args=(port, size)) for size in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - start >= sum(sizes) / 6e6 - 0.06


def test_a_refused_target_is_a_reset(folder):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with relay(port) as (_, relayed), socket.create_connection(("127.0.0.1", relayed)) as connection:
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
