"""The checker of the module graph, on small trees: each rule speaks when broken and is silent otherwise."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import module_graph  # noqa: E402

GOOD = {
    "src/modules.txt": "# comment\nbase:\nrt: base   # as well\n",
    "src/base/error.h": "#pragma once\n#include <string>\n",
    "src/rt/loop.h": '#include "base/error.h"\n#include <boost/asio.hpp>\nstd::thread worker;\n',
}


def findings(tmp_path, **changed):
    for name, text in {**GOOD, **{k.replace("__", "/"): v for k, v in changed.items()}}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [f"{path}:{line}: {sentence}" for path, line, sentence in module_graph.check(tmp_path)]


def test_a_good_tree_has_no_findings(tmp_path):
    assert findings(tmp_path) == []


@pytest.mark.parametrize("changed, expected", [
    ({"src/base/error.h": '#include "rt/loop.h"\n'}, "src/base/error.h:1: base may not include rt"),
    ({"src/base/error.h": '\n#include "nowhere/a.h"\n'}, "src/base/error.h:2: nowhere is no module"),
    ({"src/base/error.cc": '#include "error.h"\n'}, 'src/base/error.cc:1: includes are rooted at src: write "base/error.h"'),
    ({"src/rt/loop.h": ""}, "src/modules.txt:3: nothing in rt includes base"),
    ({"src/fs/dir.h": ""}, "src/fs:1: fs has code but no line"),
    ({"src/modules.txt": "base:\nrt: base\nfs:\n"}, "src/modules.txt:3: fs is listed but has no code"),
    ({"src/modules.txt": "base: rt\nrt: base\n"}, "src/modules.txt:1: a cycle: base -> rt -> base"),
    ({"src/modules.txt": "base:\nrt: base gone\n"}, "src/modules.txt:2: rt names gone, which is not listed"),
    ({"src/modules.txt": "base:\nrt: base\nbase:\n"}, "src/modules.txt:3: base was listed before, on line 1"),
    ({"src/modules.txt": "base:\nrt: base\nwhat is this\n"}, 'src/modules.txt:3: "what is this" is not of the form'),
    ({"src/base/a.cc": "#include <openssl/evp.h>\n"}, "src/base/a.cc:1: only crypto and http may include OpenSSL"),
    ({"src/base/a.cc": "#include <curl/curl.h>\n"}, "src/base/a.cc:1: only http may include libcurl"),
    ({"src/base/a.cc": "#include <boost/asio.hpp>\n"}, "src/base/a.cc:1: only rt may include Boost.Asio"),
    ({"src/base/a.cc": "std::thread t;\n"}, "src/base/a.cc:1: only rt starts threads"),
    ({"src/base/a.cc": 'open("/home/me/x");\n'}, "src/base/a.cc:1: a path of one machine"),
])
def test_each_rule_names_the_line(tmp_path, changed, expected):
    found = findings(tmp_path, **changed)
    assert any(line.startswith(expected) for line in found), found


def test_whoever_uses_rt_may_use_asio(tmp_path):
    assert findings(tmp_path, **{"src/modules.txt": "base:\nrt: base\nstore: base rt\n", "src/store/a.cc":
                    '#include "base/error.h"\n#include "rt/loop.h"\n#include <boost/asio/post.hpp>\n'}) == []


@pytest.mark.parametrize("text", [
    "// std::thread is for rt\n",
    "/* #include <openssl/evp.h>\n*/\n",
    "auto n = std::thread::hardware_concurrency();\n",
    'log("see http://host/root");\n',
])
def test_what_only_looks_alike_is_left_alone(tmp_path, text):
    assert findings(tmp_path, **{"src/base/a.cc": text}) == []


def test_a_test_file_may_start_threads_but_not_cross_the_graph(tmp_path):
    assert findings(tmp_path, **{"src/base/a_test.cc": "std::thread t;\n"}) == []
    assert findings(tmp_path, **{"src/base/a_test.cc": '#include "rt/loop.h"\n'}) != []
