"""The source distribution holds all that a checkout does, and the wheel made of it works without one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NO_PART = (".git", ".venv*", "build", "dist", "runs", "shared", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
NO_PART_EITHER = (".benchmarks", ".coverage", ".cache", "site")

BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that does not see this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy, as building leaves files behind."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NO_PART, *NO_PART_EITHER))
    return copy


@pytest.fixture(scope="module")
def unpacked(checkout, tmp_path_factory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", BUILD, "build_sdist", folder, cwd=checkout)
    (archive,) = folder.iterdir()
    with tarfile.open(archive) as files:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # 3.11 has it from 3.11.4 on
        files.extractall(folder, **safely)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory) -> Path:
    """The wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-c", BUILD, "build_wheel", folder, cwd=unpacked)
    (file,) = folder.iterdir()
    return file


def virtual_environment(folder: Path) -> Path:
    """The Python of a new virtual environment that finds what the running one has installed, but no editable pl-env."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its .pth files are not read
    return folder / "bin" / "python"


def pip_install(python: Path, *words: str | Path, cwd: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--ignore-installed", *words, cwd=cwd)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of a virtual environment that has the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    python = virtual_environment(folder)
    pip_install(python, wheel, cwd=folder)
    return python


def test_the_source_distribution_is_a_checkout(checkout, unpacked):
    made = {path for path in files_of(unpacked) if path.startswith("pl_env.egg-info/")}
    tracked = {path for path in files_of(checkout) if not path.startswith("pl_env.egg-info/")}
    assert tracked >= {"Makefile", "train.py", "tests/test_distribution.py", "docs/model.md", ".ci/run", "CITATION.cff"}
    assert files_of(unpacked) - made - {"PKG-INFO", "setup.cfg"} == tracked


def test_the_wheel_has_the_packages_and_their_data(checkout, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("pl_env", "baselines", "agents")
    assert names == {f"{package}/{path}" for package in packages for path in files_of(checkout / package)}
    data = {name for name in names if not name.endswith(".py")}
    assert {"pl_env/py.typed", "baselines/py.typed", "agents/py.typed"} < data
    assert "agents/trained/partial_loading/bls/weights.safetensors" in data
    assert "pl_env/partial_loading/benchmark_sets/bls-100.npz" in data


def test_the_wheels_command_lines_know_their_commands(installed, tmp_path):
    assert "exact dynamic program" in run(installed, "-m", "baselines", "list-solvers", cwd=tmp_path)
    assert "evaluate" in run(installed, "-m", "agents", cwd=tmp_path)
    script = installed.with_name("pl-env")
    said = run(script, cwd=tmp_path)
    assert said.startswith("usage: pl-env ")
    for command in ("scan", "measure", "split", "plan", "evaluate", "compare", "train"):
        assert f"• {command} " in said
    assert "exact dynamic program" in run(script, "list-solvers", cwd=tmp_path)


def test_editors_find_an_editable_install(checkout, tmp_path):
    """Type checkers read the paths in .pth files, and run no import hooks."""
    (settings,) = re.findall(r"--config-settings \S+", (ROOT / "Makefile").read_text().split("\ntrain:")[0])
    python = virtual_environment(tmp_path / "environment")
    pip_install(python, "--no-build-isolation", *settings.split(), "--editable", checkout, cwd=tmp_path)
    (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    lines = [line for path in packages.glob("*.pth") for line in path.read_text().splitlines()]
    assert str(checkout) in lines


@pytest.mark.slow
def test_the_wheel_works_from_another_folder(installed, tmp_path):
    """Minutes, as all kernels compile anew."""
    code = """
        import sys
        import gymnasium as gym
        import agents, baselines, pl_env
        assert pl_env.__file__.startswith(sys.prefix), pl_env.__file__
        env = gym.make("pl_env:PartialLoading-v0")
        observation, info = env.reset(seed=0)
        schedule = baselines.solve(env.unwrapped.instance)
        pl_env.check(schedule, env.unwrapped.instance)
        for name in pl_env.benchmark_names():
            assert len(pl_env.benchmark(name)) >= 10
        agent = agents.load("bls")
        env.step(agent.act(observation, info, env.unwrapped))
        assert len(agents.trained_agents()) >= 4
        print("fine")
    """
    assert run(installed, "-c", textwrap.dedent(code), cwd=tmp_path) == "fine\n"
    words = (
        "-m agents evaluate --agent bls --samples 2 --solver greedy --scenario bls --episodes 2 --out new/result.json"
    )
    printed = run(installed, *words.split(), cwd=tmp_path)
    for word in ("agent bls ", "agent bls-2", "greedy", "gap to optimum", "written: new/result.json"):
        assert word in printed
    small = "tiny --width 8 --layers 1 --heads 2 --imitation.rounds 1 --imitation.episodes 8 --samples 0 --episodes 2"
    assert "results.json" in run(installed, "-m", "agents", "train", *small.split(), cwd=tmp_path)
    assert (tmp_path / "runs" / "tiny" / "checkpoint" / "checkpoint.json").exists()
