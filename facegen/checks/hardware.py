"""Checks of torch, the GPU and the precision."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from facegen.checks.check import CheckResult
from facegen.device import choose_device, choose_precision, gpu_trouble

#: The folder in which Linux lists PCI devices, with and without a driver.
PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"
HIDE = "CUDA_VISIBLE_DEVICES"
LOCALLY = "https://pytorch.org/get-started/locally"
GIB = 2**30


def check_torch() -> CheckResult:
    """Report what torch was built for, and how many of the CPU's cores it uses."""
    threads, cores = torch.get_num_threads(), _cores()
    kind = "CUDA" if torch.version.cuda else "ROCm" if torch.version.hip else None
    build = f"built for {kind} {torch.version.cuda or torch.version.hip}" if kind else "built for CPUs"
    details = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "rocm": torch.version.hip,
        "cudnn": torch.backends.cudnn.version() if kind else None,
        "threads": threads,
        "cores": cores,
    }
    message = f"torch {torch.__version__}, {build}, computes in {_many(threads, 'thread')} on {_many(cores, 'core')}."
    if 2 * threads < cores:
        remedy = "Unset OMP_NUM_THREADS, or set it higher." if "OMP_NUM_THREADS" in os.environ else None
        return CheckResult("warn", message, remedy or f"Set OMP_NUM_THREADS to {cores}.", details)
    return CheckResult("ok", message, None, details)


def check_gpu() -> CheckResult:
    """Report each GPU and whether this torch can use it, and why not if torch does not find a GPU that exists."""
    if torch.cuda.is_available():
        return _gpus()
    if torch.backends.mps.is_available():
        return CheckResult("ok", "An Apple GPU, which torch drives by Metal.", None, {"gpus": ["mps"]})
    present = nvidia_gpus()
    if not present:
        return CheckResult(
            "warn",
            "There is no GPU that torch can drive: the CPU does the work.",
            "Nothing needs a GPU, but training is many times slower without one.",
            {"gpus": []},
        )
    details = {"gpus": [], "present": present}
    named = f"torch does not see the GPU ({', '.join(present)})"
    if HIDE in os.environ:
        return CheckResult("warn", f"{named}: {HIDE} is {os.environ[HIDE]!r}.", f"Unset {HIDE} to use it.", details)
    if not torch.version.cuda:
        remedy = f"Install a build with CUDA: {LOCALLY}"
        return CheckResult("warn", f"{named}: this torch is built without CUDA.", remedy, details)
    remedy = f"Update the NVIDIA driver, or install a torch built for an older CUDA: {LOCALLY}"
    return CheckResult("wrong", f"{named}: {_why_no_cuda()}.", remedy, details)


def _gpus() -> CheckResult:
    gpus: list[dict[str, Any]] = []
    troubles = []
    for index in range(torch.cuda.device_count()):
        gpu = torch.device("cuda", index)
        about = torch.cuda.get_device_properties(gpu)
        trouble = gpu_trouble(gpu)
        capability = f"{about.major}.{about.minor}"
        gpus.append(
            {"name": about.name, "memory": about.total_memory, "capability": capability, "works": trouble is None}
        )
        if trouble is not None:
            troubles.append(f"The {trouble}.")
    if troubles:
        return CheckResult(
            "wrong", " ".join(troubles), f"Install the torch build that fits the GPU: {LOCALLY}", {"gpus": gpus}
        )
    told = "; ".join(
        f"{gpu['name']}, {gpu['memory'] / GIB:.0f} GiB, compute capability {gpu['capability']}" for gpu in gpus
    )
    return CheckResult("ok", f"{told}.", None, {"gpus": gpus})


def check_precision() -> CheckResult:
    """Report what ``--device auto --precision auto`` chooses."""
    device = choose_device("auto")
    plain, penalised = (_name(choose_precision("auto", device, double_backward=double)) for double in (False, True))
    unlike = "" if plain == penalised else f", and {penalised} under gradient penalties"
    message = f"'auto' trains on {device.type} in {plain}{unlike}."
    details = {"device": device.type, "precision": plain, "with_gradient_penalty": penalised}
    return CheckResult("ok", message, None, details)


def nvidia_gpus() -> list[str]:
    """List the NVIDIA GPUs of this machine.

    The driver's command gives their names. Without a driver, Linux's list of PCI devices shows that a GPU exists, but
    not its name."""
    if command := shutil.which("nvidia-smi"):
        words = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            told = ""  # the command exists, but the driver does not
        if names := [line.strip().replace(", ", ", driver ") for line in told.splitlines() if line.strip()]:
            return names
    found = [device for device in PCI_DEVICES.glob("*") if _read(device / "vendor") == NVIDIA]
    return ["NVIDIA"] * sum(_read(device / "class").startswith(DISPLAY) for device in found)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _why_no_cuda() -> str:
    """Return torch's first sentence on why CUDA does not start."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as problem:
        return str(problem).partition("\n")[0].partition(". ")[0].rstrip(".")
    return "it found no GPU"


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
