"""Where and in what precision to compute.

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

#: A name in torch's list of CUDA code: binary or PTX, the capability's two numbers, and how far it reaches.
_CODE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def choose_device(name: str) -> torch.device:
    """``"auto"`` takes an NVIDIA or AMD GPU that torch can drive, else an Apple GPU, else the CPU.

    A GPU is tried out when it is first chosen. ``"auto"`` warns once of one that fails, and takes the CPU.

    Under torchrun each rank takes the GPU of its local rank. Ranks cannot share an Apple GPU, so ``"auto"`` leaves it.

    Raises:
        InputError: no such name.
        EnvironmentProblem: ``"cuda"`` or ``"mps"`` without such a GPU; ``"cuda"`` with one that torch cannot drive;
            fewer GPUs than ranks; ``"mps"`` under torchrun.
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
    """How many ranks torchrun started, by its variable; 1 without one. EnvironmentProblem where it is no number."""
    told = os.environ.get("WORLD_SIZE", "1")
    if not told.isdecimal() or int(told) < 1:
        raise EnvironmentProblem(f"WORLD_SIZE is {told!r}, and no number of ranks.", "Unset it to train alone.")
    return int(told)


@cache
def gpu_trouble(gpu: torch.device) -> str | None:
    """Why torch cannot compute on an NVIDIA or AMD GPU, as a sentence without its "The"; None where it can.

    ``torch.cuda.is_available()`` does not tell: it asks the driver, and not whether torch has code for the GPU.
    """
    named = f"GPU {gpu.index}"
    build = f"torch {torch.__version__}"
    try:
        with warnings.catch_warnings():
            # torch warns of an unfit GPU in many lines, which the sentence made here stands for.
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
    """Whether any of a build's codes runs on a GPU. True where they do not tell: there are none, or they are ROCm's.

    Binary code (``sm_86``) runs on its major version, from its minor version on. PTX (``compute_86``) is compiled by
    the driver for everything as new or newer. An ``f`` at the end keeps either to its major version, an ``a`` to the
    very capability.
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
    """The dtype of the networks' arithmetic; weights and losses stay float32.

    ``"auto"`` is bfloat16 on GPUs that compute in it (Ampere and newer). On older ones (a T4) it is float16 with a
    gradient scaler, except for gradient penalties: float32. On a CPU it is bfloat16 where a convolution is quicker in
    it (AVX-512 BF16 and AMX), else float32. On an Apple GPU it is float32, and nothing else can be asked for.

    Args:
        double_backward: gradients of gradients are taken, as by R1. float16's first loss scale overflows in the inner
            gradient, and R3GAN's authors (arXiv:2501.05441) report that float16 crippled their training.

    Raises:
        InputError: half precision on an Apple GPU.
    """
    if device.type == "mps":
        if name not in ("auto", "fp32"):
            raise InputError(
                f"The precision {name} is not for Apple GPUs, where facegen computes in float32.",
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
    """The layout that images and convolutions' weights [.., C, H, W] have on a device.

    channels_last is what convolutions are fastest in, on tensor cores and in oneDNN alike. On Apple GPUs BatchNorm's
    gradients of channels_last tensors were wrong without an error (pytorch/pytorch issue 175189, pull request 188371).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def placed(network: Network, device: torch.device) -> Network:
    """The network on the device, in the memory format that its convolutions have there."""
    return network.to(device).to(memory_format=memory_format(device))


def float64_device(device: torch.device) -> torch.device:
    """Where float64 is computed from tensors of ``device``: right there, but for Apple GPUs, which have none."""
    return torch.device("cpu") if device.type == "mps" else device


@cache
def is_quick_in_bfloat16() -> bool:
    """Whether this CPU convolves in bfloat16 at least a quarter quicker than in float32, which is measured.

    Measured, because a processor's flags say what it decodes, not what it is quick in: a virtual machine can show a
    flag and emulate the rest.
    """
    images, weight = torch.ones(32, 64, 32, 32), torch.ones(64, 64, 3, 3)
    layouts = {
        dtype: [tensor.to(dtype).contiguous(memory_format=torch.channels_last) for tensor in (images, weight)]
        for dtype in (torch.float32, torch.bfloat16)
    }
    quickest = dict.fromkeys(layouts, math.inf)
    with torch.inference_mode():
        # In turns, and the quickest of each: other programs take their share of the time now and then.
        for _ in range(10):
            for dtype, (seen, kernel) in layouts.items():
                start = time.perf_counter()
                torch.nn.functional.conv2d(seen, kernel, padding=1)
                quickest[dtype] = min(quickest[dtype], time.perf_counter() - start)
    return quickest[torch.bfloat16] < 0.8 * quickest[torch.float32]
