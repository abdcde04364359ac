"""Where and in what precision to compute."""

from __future__ import annotations

import math
import os
import time
from functools import cache

import torch

from facegen.errors import EnvironmentProblem, InputError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """``"auto"``: the GPU where there is one, else the CPU. Under torchrun each rank takes the GPU of its local rank.

    Raises:
        InputError: no such name.
        EnvironmentProblem: ``"cuda"`` on a machine where torch sees no GPU.
    """
    if name not in DEVICES:
        raise InputError(f"There is no device {name!r}.", f"Choose {', '.join(DEVICES)}.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise EnvironmentProblem(
                "There is no GPU that torch can use on this machine.",
                "Use --device cpu, or install the torch build that fits the GPU's driver.",
            )
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the networks' arithmetic; weights and losses stay float32.

    ``"auto"`` is bfloat16 on GPUs that compute in it (Ampere and newer), float16 with a gradient scaler on older ones
    (a T4). On a CPU it is bfloat16 where a convolution is quicker in it (AVX-512 BF16 and AMX), else float32.
    """
    if name == "auto":
        if device.type != "cuda":
            name = "bf16" if is_quick_in_bfloat16() else "fp32"
        else:
            name = "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


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
