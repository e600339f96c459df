"""Rows of a conformance table: one request and what its answer must be like."""

import dataclasses
import json
import pathlib
import re


@dataclasses.dataclass
class Row:
    fact: str  # the sentence that the row proves
    method: str
    path: str
    status: int
    type: str | None  # the start of Content-Type; None: the field is absent
    body: object = None  # see `like`; None: an empty body; ...: any
    send: object = None  # a dict goes as JSON, text as it is, "@…" is the content of a file
    headers: dict = dataclasses.field(default_factory=dict)  # of the request
    answers: dict = dataclasses.field(default_factory=dict)  # further fields of the answer
    given: str | None = None  # what to make first: a method of the world

    def __str__(self):
        return f"{self.method} {self.path} -> {self.status}: {self.fact}"


def like(shape, value, where="body"):
    """Compares a JSON value with a shape.

    A type stands for any value of it, a compiled pattern for text that it matches, an object for one that has at
    least these members, [shape] for a list of one or more like it, a function for what it is true of, ... for
    anything; everything else for itself.
    """
    if shape is ...:
        return
    if isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.search(value), f"{where}: {value!r} is not like {shape.pattern}"
    elif isinstance(shape, type):
        right = isinstance(value, shape) and not (shape is int and isinstance(value, bool))
        assert right, f"{where}: {value!r} is no {shape.__name__}"
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        for key, inner in shape.items():
            assert key in value, f"{where} has no {key}: {value!r}"
            like(inner, value[key], f"{where}.{key}")
    elif isinstance(shape, list) and len(shape) == 1:
        assert isinstance(value, list) and value, f"{where}: {value!r} is no list of something"
        for number, item in enumerate(value):
            like(shape[0], item, f"{where}[{number}]")
    elif callable(shape):
        assert shape(value), f"{where}: {value!r}"
    else:
        assert shape == value, f"{where}: {value!r} is not {shape!r}"


def _filled(shape, fill):
    if isinstance(shape, str):
        return fill(shape)
    if isinstance(shape, dict):
        return {_filled(key, fill): _filled(inner, fill) for key, inner in shape.items()}
    if isinstance(shape, list):
        return [_filled(inner, fill) for inner in shape]
    return shape


def check(row, world, daemon):
    """Sends the row's request to the daemon and compares all that the row says of the answer."""
    if row.given:
        getattr(world, row.given)()
    send = _filled(row.send, world.fill)
    if isinstance(send, str):
        send = pathlib.Path(send[1:]).read_bytes() if send.startswith("@") else send.encode()
    status, headers, body = daemon.request(row.method, world.fill(row.path), send, _filled(row.headers, world.fill))
    assert status == row.status, (status, body[:1000])
    type = headers.get("content-type")
    _check_type(row.type, type)
    for name, value in row.answers.items():
        like(_filled(value, world.fill), headers.get(name.lower()), name)
    _check_body(_filled(row.body, world.fill), row.type, body)


def _check_body(expected, type, body):
    if expected is None:
        assert body == b"", body[:1000]
    elif expected is ...:
        pass
    elif isinstance(expected, (dict, list)):
        like(expected, json.loads(body))
    elif isinstance(expected, str):
        assert expected in body.decode(), body[:1000]
    elif isinstance(expected, re.Pattern):
        assert expected.search(body.decode()), body[:1000]
    else:
        assert expected(body), body[:1000]


def _check_type(expected, type):
    if expected is None:
        assert type is None, type
    elif expected is not ...:
        assert type is not None and type.startswith(expected), type
