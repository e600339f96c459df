"""The conformance program of opencontainers/distribution-spec, in its strictest profile.

It is not in this repository: OCI_CONFORMANCE names it, or it lies beside the checkout in shared/tools.
"""

import os
import pathlib
import re
import subprocess

import pytest

import berthlab

PROGRAM = pathlib.Path(os.environ.get("OCI_CONFORMANCE") or berthlab.ROOT.parent / "shared/tools/oci-conformance")


@pytest.mark.skipif(not PROGRAM.exists(), reason="no conformance program: name it with OCI_CONFORMANCE")
def test_everything_passes_and_nothing_is_skipped(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    try:
        done = subprocess.run(
            [PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
            env={**os.environ, "OCI_REGISTRY": registry.host, "OCI_TLS": "disabled", "OCI_VERSION": "dev", "OCI_DATA_SPARSE": "true",
                 "OCI_REPO1": "conformance/one", "OCI_REPO2": "conformance/two", "OCI_RESULTS_DIR": str(tmp_path)})
    finally:
        registry.close()
    assert done.returncode == 0, done.stdout[-3000:]
    verdicts = re.findall(r"\.: +([A-Z]\w+)$", done.stdout, re.M)
    assert len(verdicts) >= 52 and set(verdicts) == {"Pass"}, done.stdout[-3000:]
    results = (tmp_path / "junit.xml").read_text()
    assert 'tests="1032"' in results
    assert "<failure" not in results and "<skipped" not in results and "<error" not in results
