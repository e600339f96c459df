"""OpenAI's paths as Docker Model Runner has them, passed to a real engine: every endpoint, by the table."""

import json
import re

import pytest

from table import Row, check

JSON, SSE = "application/json", "text/event-stream"


def failure(words, type="invalid_request_error", code=str):
    """OpenAI's error object, on every inference path."""
    return {"error": {"message": re.compile(re.escape(words)), "type": type, "param": None, "code": code}}


MISSING = failure("berth pull ai/none", "not_found_error", "not_found")
LATER = failure("not in this version", code="unsupported")
ITEM = {"id": re.compile(r".+/ai/.+:.+"), "object": "model", "created": int, "owned_by": "docker",
        "dmr": {"context_window": int, "architecture": "llama", "parameters": str, "quantization": str, "size": str}}
TINY = {**ITEM, "id": re.compile("ai/tiny")}


def ask(model="ai/tiny:1", **more):
    return {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2, "temperature": 0, **more}


CHAT = {"object": "chat.completion", "model": "ai/tiny:1",
        "choices": [{"index": int, "finish_reason": str, "message": {"role": "assistant", "content": str}}],
        "usage": {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int}}
COMPLETION = {"object": "text_completion", "model": "ai/tiny:1", "choices": [{"text": str, "finish_reason": str}]}
EMBEDDING = {"object": "list", "data": [{"object": "embedding", "index": int, "embedding": [float]}]}

RANKING = {"results": [{"index": int, "relevance_score": ...}]}


def is_chat_stream(body):
    events = [line for line in body.decode().split("\n\n") if line]
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    parts = [json.loads(event[6:]) for event in events[:-1]]
    return all(part["object"] == "chat.completion.chunk" and part["model"] == "ai/tiny:1" for part in parts)


def prefixes(path):
    """With and without /engines, with and without a backend."""
    return [prefix + path for prefix in ("", "/engines", "/engines/llama.cpp")]


WORKS = [
    *[Row("a chat is answered", "POST", path, 200, JSON, CHAT, send=ask()) for path in prefixes("/v1/chat/completions")],
    *[Row("a stream ends with [DONE]", "POST", path, 200, SSE, is_chat_stream, send=ask(stream=True))
      for path in prefixes("/v1/chat/completions")],
    *[Row("a text is completed", "POST", path, 200, JSON, COMPLETION,
          send={"model": "ai/tiny:1", "prompt": "x", "max_tokens": 2}) for path in prefixes("/v1/completions")],
    *[Row("a text is embedded", "POST", path, 200, JSON, EMBEDDING, send={"model": "{own}", "input": "x"},
          given="own_model_for_embeddings") for path in prefixes("/v1/embeddings")],
    *[Row("documents are ranked", "POST", path, 200, JSON, RANKING, given="own_model_for_ranking",
          send={"model": "{own}", "query": "x", "documents": ["x", "y"]}) for path in prefixes("/rerank")],
    Row("… and by the path of other servers", "POST", "/v1/rerank", 200, JSON, RANKING, given="own_model_for_ranking",
        send={"model": "{own}", "query": "x", "documents": ["x", "y"]}),
    *[Row("Anthropic's messages are the engine's own", "POST", path, 200, JSON,
          {"type": "message", "role": "assistant", "content": list}, send=ask())
      for path in ["/anthropic/v1/messages", *prefixes("/v1/messages")]],
    *[Row("… and so is the count of their tokens", "POST", path, 200, JSON, {"input_tokens": int}, send=ask())
      for path in ["/anthropic/v1/messages/count_tokens", *prefixes("/v1/messages/count_tokens")]],
    Row("the backend's word decides nothing: the format does", "POST", "/engines/vllm/v1/chat/completions", 200, JSON,
        CHAT, send=ask()),
    Row("a model is loaded without being asked anything", "POST", "/v1/chat/completions", 200, ..., ...,
        send=ask(), headers={"X-Preload-Only": "true"}),
    Row("an id is a name", "POST", "/v1/chat/completions", 200, JSON, {**CHAT, "model": "{id}"}, send=ask("{id}")),
    Row("no Authorization is asked for, and any is taken", "POST", "/v1/chat/completions", 200, JSON, CHAT, send=ask(),
        headers={"Authorization": "Bearer sk-dummy"}),
]

LISTS = [
    *[Row("the models, as OpenAI lists them", "GET", path, 200, JSON, {"object": "list", "data": [ITEM]})
      for path in prefixes("/v1/models")],
    *[Row("one of them", "GET", path, 200, JSON, TINY) for path in prefixes("/v1/models/ai/tiny:1")],
    Row("an unknown one", "GET", "/v1/models/ai/none", 404, JSON, failure("ai/none", "not_found_error", "not_found")),
]

REFUSED = [
    *[Row("an unknown model is 404 and says how to get it", "POST", path, 404, JSON, MISSING, send=ask("ai/none"))
      for path in [*prefixes("/v1/chat/completions"), "/v1/completions", "/v1/embeddings", "/rerank", "/v1/rerank"]],
    Row("no model", "POST", "/v1/chat/completions", 400, JSON, failure("model is required"), send={}),
    Row("no body", "POST", "/v1/chat/completions", 400, JSON, failure("")),
    Row("no JSON", "POST", "/v1/chat/completions", 400, JSON, failure(""), send="not json"),
    Row("a model that is no text", "POST", "/v1/chat/completions", 400, JSON, failure("model"), send={"model": 7}),
    Row("a model's name that is no name", "POST", "/v1/chat/completions", 400, JSON, failure(""), send=ask("../x")),
    Row("an unknown backend", "POST", "/engines/nope/v1/chat/completions", 404, JSON,
        failure("there is no backend", "not_found_error", "not_found"), send=ask()),
    Row("what the engine refuses keeps its status and OpenAI's form", "POST", "/v1/chat/completions", 400, JSON,
        {"error": {"message": str}}, send={"model": "ai/tiny:1", "messages": 7}),
    Row("more than server.max_body, 64 MiB unless set (Docker: 10 MiB, too little for pictures)", "POST",
        "/v1/chat/completions", 413, JSON, failure("", code="too_large"), headers={"Content-Type": JSON},
        send='{"model":"ai/tiny:1","x":"' + "x" * (64 << 20) + '"}'),
    Row("an Anthropic error has Anthropic's form", "POST", "/anthropic/v1/messages", 400, JSON,
        {"type": "error", "error": {"type": "invalid_request_error", "message": re.compile("model is required")}}, send={}),
    *[Row("later: images", "POST", path, 501, JSON, LATER, send=ask()) for path in prefixes("/v1/images/generations")],
    *[Row("later: scores", "POST", path, 501, JSON, LATER, send=ask()) for path in ["/score", "/engines/score"]],
    *[Row("later: the Responses API", "POST", path, 501, JSON, LATER, send=ask())
      for path in ["/responses", *prefixes("/v1/responses")]],
    Row("later: a stored response", "GET", "/v1/responses/resp_1", 501, JSON, LATER),
    *[Row("later: Ollama's API", "POST", path, 501, JSON, LATER, send=ask()) for path in ["/api/chat", "/api/generate"]],
]


@pytest.mark.parametrize("row", WORKS + LISTS + REFUSED, ids=str)
def test_table(row, world):
    check(row, world, world.daemon)
