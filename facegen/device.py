"""Where and in what precision to compute."""

from __future__ import annotations

import os

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
    (a T4), and float32 on a CPU, where most have no fast half precision.
    """
    if name == "auto":
        if device.type != "cuda":
            name = "fp32"
        else:
            name = "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
