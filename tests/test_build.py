"""The build itself: from the sdist, as a wheel outside the tree, without OpenMP, under hostile flags."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

# The digest of a small training step; the same for every build.
STEP = """
import hashlib, sys, numpy as np, fastrnn
from fastrnn import _native
layer = fastrnn.LSTM(5, 33, num_layers=2, bidirectional=True, rng=np.random.default_rng(0))
x = np.random.default_rng(1).standard_normal((9, 4, 5), dtype=np.float32)
digest = hashlib.sha256()
for isa in _native.SUPPORTED_ISAS:
    with fastrnn.isa(isa), fastrnn.num_threads(2):
        y, state, tape = layer.forward(x)
        dx, dstate, grads = layer.backward(tape, np.ones_like(y))
    for array in (y, *state, dx, *dstate, *(grads[name] for name in sorted(grads))):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(b"|")
assert sys.float_info.min / 2 != 0
print(digest.hexdigest(), _native.OPENMP, fastrnn.__file__)
"""


def run(*command, cwd, env=None):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def step(python, cwd):
    digest, openmp, where = run(python, "-c", STEP, cwd=cwd, env={"PYTHONPATH": ""}).split()
    return digest, openmp == "True", where


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution of a clean copy of what git tracks, unpacked."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("sdist")
    files = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    with tarfile.open(copy / "tracked.tar", "w") as tar:
        for name in files:
            if name and (ROOT / name).exists():
                tar.add(ROOT / name, name)
    run("tar", "-xf", copy / "tracked.tar", cwd=copy)
    (copy / "tracked.tar").unlink()
    environment = tmp_path_factory.mktemp("build-environment")
    run(sys.executable, "-m", "venv", environment, cwd=environment)
    run(environment / "bin/pip", "install", "-q", "build", cwd=environment)
    run(environment / "bin/python", "-m", "build", "--sdist", "--outdir", out, copy, cwd=out)
    (archive,) = out.glob("*.tar.gz")
    run("tar", "-xf", archive, cwd=out)
    (unpacked,) = [path for path in out.iterdir() if path.is_dir()]
    return unpacked


def install(source, where, env=None):
    """A fresh environment with the wheel of `source`; its Python."""
    run(sys.executable, "-m", "venv", where / "venv", cwd=where)
    run(where / "venv/bin/pip", "wheel", "-q", "--no-deps", "-w", where, source, cwd=where, env=env)
    (wheel,) = where.glob("fastrnn-*.whl")
    run(where / "venv/bin/pip", "install", "-q", wheel, cwd=where)
    return where / "venv/bin/python", wheel


@pytest.fixture(scope="module")
def plain(sdist, tmp_path_factory):
    where = tmp_path_factory.mktemp("plain")
    python, wheel = install(sdist, where)
    return step(python, where), wheel


def test_sdist_holds_what_the_build_and_the_tests_need(sdist):
    names = "csrc/fastrnn.h csrc/isa/neon.c csrc/cells.def fastrnn/_native.pyx fastrnn/py.typed tests/kit.py"
    for name in [*names.split(), "LICENSE", "README.md"]:
        assert (sdist / name).exists(), name
    assert not list(sdist.rglob("*.so"))


def test_wheel_works_outside_the_tree(plain):
    (_, _, where), wheel = plain
    assert "site-packages" in where
    assert wheel.stat().st_size < 3 << 20
    assert re.fullmatch(r"fastrnn-\d+\.\d+\.\d+-cp3\d+-cp3\d+t?-linux_\w+\.whl", wheel.name)


@pytest.mark.parametrize(
    "env",
    [{"FASTRNN_OPENMP": "0"}, {"CFLAGS": "-O1 -ffast-math -ffp-contract=fast"}, {"CFLAGS": "-march=native"}],
    ids=["no-openmp", "fast-math", "march-native"],
)
def test_every_build_gives_the_same_bits(env, sdist, plain, tmp_path):
    python, _ = install(sdist, tmp_path, env)
    digest, openmp, _ = step(python, tmp_path)
    assert digest == plain[0][0]
    assert openmp == (plain[0][1] and env.get("FASTRNN_OPENMP") != "0")


@pytest.mark.parametrize("numpy", ["numpy==1.26.*", "numpy>=2"])
def test_wheel_runs_on_old_and_new_numpy(numpy, plain, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    if sys.version_info >= (3, 13) and "1.26" in numpy:
        pytest.skip("NumPy 1.26 ends at Python 3.12")
    run(tmp_path / "venv/bin/pip", "install", "-q", plain[1], numpy, cwd=tmp_path)
    assert step(tmp_path / "venv/bin/python", tmp_path)[0] == plain[0][0]
