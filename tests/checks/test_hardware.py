from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from facegen.checks import hardware
from facegen.errors import EnvironmentProblem


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any GPU, and a torch with CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: False))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(hardware, "PCI_DEVICES", tmp_path / "pci")
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    for name in (hardware.HIDE, "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def plug_in(folder: Path, vendor: str, kind: str) -> None:
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


@pytest.fixture
def undriven(tmp_path: Path) -> None:
    """An NVIDIA GPU among other devices, and no driver."""
    plug_in(tmp_path / "pci" / "gpu", "0x10de", "0x030200")
    plug_in(tmp_path / "pci" / "its sound", "0x10de", "0x040300")
    plug_in(tmp_path / "pci" / "another", "0x1002", "0x030000")


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that torch sees."""
    about = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: about)
    monkeypatch.setattr(hardware, "gpu_trouble", lambda gpu: None)


def refuse(message: str) -> None:
    raise RuntimeError(message)


def test_torch_tells_its_build_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(hardware, "_cores", lambda: 4)
    found = hardware.check_torch()
    assert (found.status, found.remedy) == ("ok", None)
    assert found.message == f"torch {torch.__version__}, built for CUDA 13.0, computes in 4 threads on 4 cores."


@pytest.mark.parametrize("limited", [True, False])
def test_idle_cores_are_told(monkeypatch: pytest.MonkeyPatch, limited: bool) -> None:
    if limited:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
    else:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(hardware, "_cores", lambda: 4)
    found = hardware.check_torch()
    assert found.status == "warn" and "1 thread on 4 cores" in found.message
    assert found.remedy is not None and found.remedy.startswith("Unset" if limited else "Set OMP_NUM_THREADS to 4")


def test_no_gpu_is_worth_a_warning() -> None:
    assert hardware.check_gpu().status == "warn"


def test_an_apple_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: True))
    found = hardware.check_gpu()
    assert found.status == "ok" and found.details == {"gpus": ["mps"]}


@pytest.mark.usefixtures("driven")
def test_a_gpu_is_told_with_memory_and_capability() -> None:
    found = hardware.check_gpu()
    assert (found.status, found.message) == ("ok", "NVIDIA H100, 80 GiB, compute capability 9.0.")
    assert found.details["gpus"][0]["works"] is True


@pytest.mark.usefixtures("driven")
def test_a_gpu_that_torch_has_no_code_for_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpu_trouble", lambda gpu: "GPU P100 cannot be driven by torch 2")
    found = hardware.check_gpu()
    assert (found.status, found.message) == ("wrong", "The GPU P100 cannot be driven by torch 2.")


@pytest.mark.usefixtures("undriven")
def test_a_gpu_without_its_driver_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "init", lambda: refuse("Found no NVIDIA driver on your system. Please check."))
    found = hardware.check_gpu()
    assert found.status == "wrong" and found.details["present"] == ["NVIDIA"]
    assert found.message == "torch does not see the GPU (NVIDIA): Found no NVIDIA driver on your system."


@pytest.mark.usefixtures("undriven")
def test_a_torch_without_cuda_leaves_a_gpu_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    found = hardware.check_gpu()
    assert found.status == "warn" and "without CUDA" in found.message


@pytest.mark.usefixtures("undriven")
def test_a_hidden_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.HIDE, "-1")
    found = hardware.check_gpu()
    assert found.status == "warn" and "CUDA_VISIBLE_DEVICES is '-1'" in found.message


def test_the_drivers_command_names_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(stdout="Tesla T4, 550.54\nTesla T4, 550.54\n")
    monkeypatch.setattr(hardware.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: told)
    assert hardware.nvidia_gpus() == ["Tesla T4, driver 550.54"] * 2


@pytest.mark.usefixtures("undriven")
def test_where_the_drivers_command_fails_linux_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*words: object, **options: object) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(hardware.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", fails)
    assert hardware.nvidia_gpus() == ["NVIDIA"]


def test_precision_is_told_with_and_without_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    found = hardware.check_precision()
    assert found.message == "'auto' trains on cuda in float16, and float32 under gradient penalties."


def test_a_rank_without_a_gpu_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(EnvironmentProblem, match="no GPU of its own"):
        hardware.check_precision()


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= hardware._cores() <= (os.cpu_count() or 1)
