"""The device and the precision of computations.

The rules for Apple GPUs (``mps``) follow PyTorch's documentation and its issues. They have not been run on one.
"""

from __future__ import annotations

import math
import os
import re
import time
import warnings
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from facegen import console
from facegen.errors import EnvironmentProblem, InputError

DEVICES = ("auto", "cpu", "cuda", "mps")

Network = TypeVar("Network", bound=nn.Module)

#: An entry of torch's list of CUDA code: binary or PTX, the two numbers of the capability, and its range.
_CODE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def choose_device(name: str) -> torch.device:
    """Return the torch device for a name.

    ``"auto"`` takes an NVIDIA or AMD GPU that torch can use, else an Apple GPU, else the CPU. A GPU is tested when it
    is first chosen. If the test fails, ``"auto"`` warns once and takes the CPU.

    Under torchrun, each rank takes the GPU of its local rank. Ranks cannot share an Apple GPU, so ``"auto"`` skips it.

    Raises:
        InputError: There is no device of this name.
        EnvironmentProblem: ``"cuda"`` or ``"mps"`` without such a GPU, or with one that torch cannot use; fewer GPUs
            than ranks; ``"mps"`` under torchrun.
    """
    if name not in DEVICES:
        raise InputError(f"There is no device {name!r}.", f"Choose {', '.join(DEVICES)}.")
    if name == "auto":
        name = _best_device()
    if name == "cuda":
        return _cuda_device()
    if name == "mps":
        _require_apple_gpu()
    return torch.device(name)


def _best_device() -> str:
    if torch.cuda.is_available():
        trouble = gpu_trouble(_gpu_of_rank())
        if trouble is None:
            return "cuda"
        _warn_once(f"The {trouble}. The CPU is used instead.")
        return "cpu"
    return "mps" if torch.backends.mps.is_available() and not _is_a_rank() else "cpu"


def _cuda_device() -> torch.device:
    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "There is no GPU that torch can use on this machine.",
            "Use --device cpu, or install the torch build that fits the GPU's driver.",
        )
    device = _gpu_of_rank()
    trouble = gpu_trouble(device)
    if trouble is not None:
        raise EnvironmentProblem(
            f"The {trouble}.",
            "Use --device cpu, or install the torch build that fits the GPU: https://pytorch.org/get-started/locally",
        )
    torch.cuda.set_device(device)
    return device


def _gpu_of_rank() -> torch.device:
    rank, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= count:
        raise EnvironmentProblem(
            f"Local rank {rank} has no GPU of its own: torch sees {count} on this machine.",
            f"Use torchrun --nproc-per-node {count}, or --device cpu.",
        )
    return torch.device("cuda", rank)


def _require_apple_gpu() -> None:
    if not torch.backends.mps.is_available():
        raise EnvironmentProblem("There is no Apple GPU that torch can use on this machine.", "Use --device auto.")
    if _is_a_rank():
        raise EnvironmentProblem("Ranks cannot share an Apple GPU.", "Leave torchrun out, or use --device cpu.")


def _is_a_rank() -> bool:
    return world_size() > 1


def world_size() -> int:
    """Return the number of ranks that torchrun started (``WORLD_SIZE``), or 1 without torchrun.

    Raises:
        EnvironmentProblem: ``WORLD_SIZE`` is not a number.
    """
    told = os.environ.get("WORLD_SIZE", "1")
    if not told.isdecimal() or int(told) < 1:
        raise EnvironmentProblem(f"WORLD_SIZE is {told!r}, which is no number of ranks.", "Unset it to train alone.")
    return int(told)


@cache
def gpu_trouble(gpu: torch.device) -> str | None:
    """Return why torch cannot compute on an NVIDIA or AMD GPU, as a sentence without its "The". None if it can.

    ``torch.cuda.is_available()`` is not enough: it asks the driver, and does not test whether torch has code for the
    GPU.
    """
    named = f"GPU {gpu.index}"
    build = f"torch {torch.__version__}"
    try:
        with warnings.catch_warnings():
            # torch prints many lines about an unsupported GPU. The sentence made here replaces them.
            warnings.filterwarnings("ignore", module=r"torch\.cuda")
            capability, codes = torch.cuda.get_device_capability(gpu), torch.cuda.get_arch_list()
            named = f"GPU {torch.cuda.get_device_name(gpu)} of compute capability {capability[0]}.{capability[1]}"
            if codes:
                build += f", which has code for {', '.join(codes)}"
            if not _has_code_for(capability, codes):
                return f"{named} cannot be driven by {build}"
            torch.ones(2, device=gpu).sum().item()
    except (RuntimeError, torch.cuda.DeferredCudaCallError) as problem:
        reason = str(problem).partition("\n")[0].rstrip(".")
        return f"{named} does not work with {build}: {reason}"
    return None


def _has_code_for(capability: tuple[int, int], codes: list[str]) -> bool:
    """Return whether any of a build's code runs on a GPU. True if the list says nothing, as for ROCm.

    Binary code (``sm_86``) runs on GPUs of its major version, from its minor version on. PTX (``compute_86``) is
    compiled by the driver for every GPU that is as new or newer. A final ``f`` restricts either to its major version,
    and an ``a`` to exactly this capability.
    """
    for code in codes:
        match = _CODE.fullmatch(code)
        if match is None:
            return True
        kind, major, minor, reach = match.groups()
        built = int(major), int(minor)
        if reach == "a":
            fits = capability == built
        elif kind == "compute" and not reach:
            fits = capability >= built
        else:
            fits = capability[0] == built[0] and capability >= built
        if fits:
            return True
    return not codes


@cache
def _warn_once(message: str) -> None:
    console.warn(message)


def choose_precision(name: str, device: torch.device, *, double_backward: bool = False) -> torch.dtype:
    """Return the dtype of the networks' arithmetic. Weights and losses stay float32.

    ``"auto"`` chooses:

    - bfloat16 on GPUs that compute in it (Ampere and newer);
    - float16 with a gradient scaler on older GPUs such as a T4, but float32 for recipes with gradient penalties;
    - on a CPU, bfloat16 if a convolution is faster in it (AVX-512 BF16 and AMX), else float32;
    - float32 on Apple GPUs, which support nothing else here.

    Args:
        double_backward: Whether gradients of gradients are computed, as for R1. The initial loss scale of float16
            overflows in the inner gradient, and the authors of R3GAN (arXiv:2501.05441) report that float16 crippled
            their training.

    Raises:
        InputError: Half precision was asked for on an Apple GPU.
    """
    if device.type == "mps":
        if name not in ("auto", "fp32"):
            raise InputError(
                f"Apple GPUs compute in float32 only, so the precision {name} is not available.",
                "Use --precision fp32.",
            )
        return torch.float32
    if name == "auto":
        if device.type != "cuda":
            name = "bf16" if is_quick_in_bfloat16() else "fp32"
        elif torch.cuda.get_device_capability(device) >= (8, 0):
            name = "bf16"
        else:
            name = "fp32" if double_backward else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the memory format of images and convolution weights [.., C, H, W] on a device.

    Convolutions are fastest in channels_last, both on tensor cores and in oneDNN. On Apple GPUs, however, BatchNorm's
    gradients of channels_last tensors were silently wrong (pytorch/pytorch issue 175189, pull request 188371).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def placed(network: Network, device: torch.device) -> Network:
    """Move the network to the device, in the memory format that its convolutions use there."""
    return network.to(device).to(memory_format=memory_format(device))


def float64_device(device: torch.device) -> torch.device:
    """Return where to compute in float64: ``device``, or the CPU for Apple GPUs, which lack it."""
    return torch.device("cpu") if device.type == "mps" else device


@cache
def is_quick_in_bfloat16() -> bool:
    """Measure whether this CPU computes a convolution at least 25% faster in bfloat16 than in float32.

    The flags of a processor say which instructions it decodes, not which are fast: a virtual machine can show a flag
    and emulate the instructions.
    """
    images, weight = torch.ones(32, 64, 32, 32), torch.ones(64, 64, 3, 3)
    layouts = {
        dtype: [tensor.to(dtype).contiguous(memory_format=torch.channels_last) for tensor in (images, weight)]
        for dtype in (torch.float32, torch.bfloat16)
    }
    quickest = dict.fromkeys(layouts, math.inf)
    with torch.inference_mode():
        # Alternate, and take the fastest of each: other programs use the processor now and then.
        for _ in range(10):
            for dtype, (seen, kernel) in layouts.items():
                start = time.perf_counter()
                torch.nn.functional.conv2d(seen, kernel, padding=1)
                quickest[dtype] = min(quickest[dtype], time.perf_counter() - start)
    return quickest[torch.bfloat16] < 0.8 * quickest[torch.float32]
