"""``python -m pl_env scan`` and ``measure``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pl_env
from pl_env.__main__ import main
from tests import helpers, real_models

PERCEPTRON = ["--builder", "tests.real_models:build", "--input-shape", str(real_models.WIDTH)]


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return real_models.save_perceptrons(tmp_path / "models", real_models.BOTTOM_SHARED)


def refused(capsys, *arguments) -> str:
    """The one sentence that a command prints where it fails; it writes nothing."""
    before = sorted(os.listdir())
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert sorted(os.listdir()) == before
    return captured.err


def test_scan_writes_a_library_and_says_who_shares_what(models, capsys):
    files = [str(path) for path in sorted(models.iterdir())]
    assert main(["scan", *files, "-o", "library.npz", "--plot", "sharing.png"]) == 0
    out = capsys.readouterr().out
    library = pl_env.ModelLibrary.load("library.npz")
    assert library.n_models == 5
    for word in (
        "m0",
        "perceptron",
        "1.084",
        "0.722",
        "sharing: bls",
        "5 models of 7.2 MB are 4.7 MB of different content",
    ):
        assert word in out
    assert "written: library.npz" in out
    assert Path("sharing.png").read_bytes().startswith(b"\x89PNG")


def test_scan_of_many_models_names_the_closest(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in range(12):
        real_models.save(tmp_path / "m" / f"m{n:02d}.safetensors", {"x": torch.full((2000,), float(n // 2))})
    assert main(["scan", "m", "--out", "library.npz"]) == 0
    assert "m03 (0.008)" in capsys.readouterr().out


def test_scan_says_what_is_tied(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real_models.save(tmp_path / "m.safetensors", {"x.w": torch.ones(2000), "y.w": torch.ones(2000)})
    assert main(["scan", "m.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "m: 1 tied tensors are counted once, such as 'y.w'" in out
    assert "sharing: none" in out


def test_names_out_of_files_cannot_disturb_the_table(tmp_path, capsys, monkeypatch):
    """Rich takes brackets as its commands, a terminal takes escape codes."""
    monkeypatch.chdir(tmp_path)
    for n in range(8):
        name = tmp_path / "m" / f"[bold]{n}.safetensors"
        real_models.save(name, {"[/x]\x1b[2J.w": torch.ones(2000), "w": torch.ones(2000)}, "[/red]\x1b[2J" + "y" * 500)
    assert main(["scan", "m"]) == 0
    out = capsys.readouterr().out
    assert "[bold]0" in out
    assert "[/red]?[2J" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 200


def test_an_unknown_architecture_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in range(2):
        real_models.save(tmp_path / "m" / f"{n}.safetensors", {"x": torch.ones(2000)}, None)
    assert main(["scan", "m"]) == 0
    assert "the architecture of 2 models is 'unknown', as their files do not say it" in capsys.readouterr().out
    assert main(["scan", "m", "--architecture", "mine"]) == 0
    assert "unknown" not in capsys.readouterr().out


@pytest.mark.parametrize("n_models", [6, 7, 50])
def test_the_table_fits_however_many_models_there_are(tmp_path, capsys, monkeypatch, n_models):
    monkeypatch.chdir(tmp_path)
    for n in range(n_models):
        name = f"a-model-with-a-rather-long-name-{n:02d}"
        real_models.save(tmp_path / "m" / f"{name}.safetensors", {"x": torch.full((2000,), float(n))}, "resnet")
    assert main(["scan", "m"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 160
    assert ("most in common with" in out) == (n_models > 6)


def test_measure_writes_a_server(models, capsys):
    assert main(["scan", "models"]) == 0
    arguments = ["measure", "library.npz", "models", "-o", "server.json", "--plot", "fit.png", "--repeats", "2"]
    assert main([*arguments, *PERCEPTRON, "--max-batch-size", "2", "--page-cache", "warm"]) == 0
    out = capsys.readouterr().out
    for word in ("V1, page cache warm", "V2, copy to the device", "compute, perceptron", "R²", "cover every peak"):
        assert word in out
    assert pl_env.EdgeServer.load("server.json").profile("perceptron").seconds_per_batch >= 0
    assert Path("fit.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["scan", "measure"])
def test_where_nothing_can_be_written_one_sentence_says_so_and_no_result_is_printed(models, capsys, command):
    """A file stands in the place of the folder: for root no folder is read-only."""
    words = [command, "models"]
    if command == "measure":
        assert main(["scan", "models"]) == 0
        words = ["measure", "library.npz", "models", "--repeats", "2", *PERCEPTRON, "--max-batch-size", "2"]
        capsys.readouterr()
    Path("file").write_bytes(b"")
    for option in ("--out", "--plot"):
        assert main([*words, *(["--out", "x"] if option == "--plot" else []), option, "file/x"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "error: file/x: File exists\n"


def test_bad_files_leave_nothing_behind(models, capsys):
    content = (models / "m0.safetensors").read_bytes()
    (models / "m0.safetensors").write_bytes(content[:-7])
    assert "m0.safetensors: truncated or damaged" in refused(capsys, "scan", "models", "-o", "library.npz")
    (models / "m0.safetensors").write_bytes(content)
    (models / "m0.pt").write_bytes(b"")
    assert "two files are named 'm0'" in refused(capsys, "scan", "models")
    (models / "m0.pt").unlink()
    assert "no.safetensors: cannot be read" in refused(capsys, "scan", "no.safetensors")
    assert "there is no checkpoint" in refused(capsys, "scan", "--out", "library.npz")


def test_libraries_and_models_that_do_not_belong_together(models, capsys):
    assert main(["scan", "models"]) == 0
    capsys.readouterr()
    real_models.save(models / "new.safetensors", {"x": torch.ones(3)})
    assert "new.safetensors is not in the library" in refused(capsys, "measure", "library.npz", "models")
    (models / "new.safetensors").unlink()
    real_models.save(models / "m1.safetensors", real_models.perceptron((1, 7, 8, 9)))
    assert "do not share what the library says" in refused(capsys, "measure", "library.npz", "models")
    (models / "m1.safetensors").unlink()
    assert "the library has a model 'm1'" in refused(capsys, "measure", "library.npz", "models")
    assert "no.npz: there is no such file" in refused(capsys, "measure", "no.npz", "models")


def test_measure_without_a_builder_says_so(models, capsys):
    assert main(["scan", "models"]) == 0
    capsys.readouterr()
    assert "--builder package.module:function" in refused(capsys, "measure", "library.npz", "models")
    assert "builder is 'nothing'" in refused(capsys, "measure", "library.npz", "models", "--builder", "nothing")


def test_inputs_of_another_shape_say_so(models, capsys):
    assert main(["scan", "models"]) == 0
    capsys.readouterr()
    message = refused(capsys, "measure", "library.npz", "models", "--builder", "tests.real_models:build")
    assert "perceptron" in message
    assert "input_shape" in message


def test_runs_as_a_module(models):
    command = [sys.executable, "-m", "pl_env", "scan", "models/m0.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(helpers.ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "written: library.npz" in result.stdout


def test_scan_of_safetensors_needs_no_torch(models):
    code = """
import sys
class Without:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "safetensors"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
from pl_env.__main__ import main
assert main(["scan", "models"]) == 0
assert main(["measure", "library.npz", "models"]) == 1
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(helpers.ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stderr == "error: this needs torch; install it with: pip install 'pl-env[agents]'\n"
