from __future__ import annotations

import pytest
import torch

from facegen.device import choose_device, choose_precision, is_quick_in_bfloat16
from facegen.errors import EnvironmentProblem, InputError


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == torch.device("cuda", 1)


def test_cuda_without_a_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="--device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float16), ((9, 0), torch.bfloat16)])
def test_auto_precision_fits_the_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda")) == dtype


@pytest.mark.parametrize(("quicker", "dtype"), [(0.5, torch.bfloat16), (1.0, torch.float32), (2.0, torch.float32)])
def test_auto_precision_on_a_cpu_is_what_convolves_quicker(
    monkeypatch: pytest.MonkeyPatch, quicker: float, dtype: torch.dtype
) -> None:
    """Of a clock that runs by what a convolution is said to take."""
    clock, took = [0.0], {torch.float32: 1.0, torch.bfloat16: quicker}
    monkeypatch.setattr("facegen.device.time.perf_counter", lambda: clock[0])

    def conv2d(images: torch.Tensor, *_: object, **__: object) -> None:
        clock[0] += took[images.dtype]

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
    is_quick_in_bfloat16.cache_clear()
    assert choose_precision("auto", torch.device("cpu")) == dtype
    is_quick_in_bfloat16.cache_clear()


@pytest.mark.parametrize("name", ["tpu", "cuda:1", ""])
def test_names_of_no_device(name: str) -> None:
    with pytest.raises(InputError, match="Choose auto, cpu, cuda"):
        choose_device(name)
