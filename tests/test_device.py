from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor

from facegen import device as facegen_device
from facegen.cli import options
from facegen.device import (
    DEVICES,
    choose_device,
    choose_precision,
    float64_device,
    is_quick_in_bfloat16,
    memory_format,
)
from facegen.errors import EnvironmentProblem, InputError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
P100, P100_NAME = (6, 0), "Tesla P100-PCIE-16GB"
#: torch.cuda.get_arch_list() of the wheels for CUDA 13.
CODES = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nSearch for `cudaErrorNoKernelImage"


#: What the first kernel raises, and what torch makes of an error while it starts up.
FAULTS = [RuntimeError, getattr(torch, "AcceleratorError", RuntimeError), torch.cuda.DeferredCudaCallError]


class Machine:
    """A machine with GPUs of one kind, and torch on it: what may be changed is in the attributes."""

    capability, codes, count = (9, 0), CODES, 1
    fault: Exception | None = None
    warning = ""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[torch.device] = []
        ones = torch.ones

        def kernel(*size: int, device: torch.device) -> Tensor:
            self.tried.append(device)
            if self.fault is not None:
                raise self.fault
            return ones(*size)

        def capability(device: torch.device) -> tuple[int, int]:
            if self.warning:
                warnings.warn_explicit(self.warning, UserWarning, torch.cuda.__file__, 1, "torch.cuda")
            return self.capability

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: self.count)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: P100_NAME)
        monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: self.codes)
        monkeypatch.setattr(torch, "ones", kernel)


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On a machine without any GPU, and without ranks."""
    for name in ("LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    has_apple_gpu(monkeypatch, False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    remembered = (facegen_device.gpu_trouble, facegen_device._warn_once, is_quick_in_bfloat16)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def has_apple_gpu(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: answer))  # torch.compile wants it cached


def test_the_command_line_offers_every_device() -> None:
    assert options.DEVICES == DEVICES


@pytest.mark.parametrize("name", ["tpu", "cuda:1", ""])
def test_names_of_no_device(name: str) -> None:
    with pytest.raises(InputError, match="Choose auto, cpu, cuda, mps"):
        choose_device(name)


class TestAuto:
    def test_takes_the_cpu_where_there_is_nothing_else(self) -> None:
        assert choose_device("auto") == CPU

    def test_takes_the_gpu_of_the_local_rank(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.count = 2
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert choose_device("auto") == torch.device("cuda", 1)

    def test_takes_an_apple_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        has_apple_gpu(monkeypatch, True)
        assert choose_device("auto") == MPS

    def test_leaves_an_apple_gpu_that_ranks_would_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        has_apple_gpu(monkeypatch, True)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert choose_device("auto") == CPU

    def test_leaves_a_gpu_that_torch_has_no_code_for(
        self, machine: Machine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        machine.capability = P100
        assert choose_device("auto") == CPU
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.endswith(". The CPU is used instead.\n")
        assert P100_NAME in said and "6.0" in said and ", ".join(CODES) in said

    @pytest.mark.parametrize("kind", FAULTS)
    def test_leaves_a_gpu_that_fails(
        self, machine: Machine, capsys: pytest.CaptureFixture[str], kind: type[Exception]
    ) -> None:
        machine.fault = kind(NO_KERNEL)
        assert choose_device("auto") == CPU
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "no kernel image is available for execution on the device. The CPU" in said

    def test_warns_once(self, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
        machine.capability = P100
        choose_device("auto")
        choose_device("auto")
        assert capsys.readouterr().err.count("warning") == 1


class TestCuda:
    def test_without_a_gpu(self) -> None:
        with pytest.raises(EnvironmentProblem, match=r"no GPU that torch can use.*--device cpu"):
            choose_device("cuda")

    def test_with_a_gpu_that_torch_has_no_code_for(self, machine: Machine) -> None:
        machine.capability = P100
        with pytest.raises(EnvironmentProblem) as caught:
            choose_device("cuda")
        assert P100_NAME in caught.value.message and "6.0" in caught.value.message
        assert ", ".join(CODES) in caught.value.message
        assert "--device cpu" in str(caught.value.remedy) and "pytorch.org" in str(caught.value.remedy)

    def test_is_not_tried_on_a_gpu_that_torch_has_no_code_for(self, machine: Machine) -> None:
        machine.capability = P100
        with pytest.raises(EnvironmentProblem):
            choose_device("cuda")
        assert machine.tried == []

    def test_is_tried_once_for_each_gpu(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.count = 2
        for rank in ("0", "0", "1"):
            monkeypatch.setenv("LOCAL_RANK", rank)
            choose_device("cuda")
        assert machine.tried == [torch.device("cuda", 0), torch.device("cuda", 1)]

    def test_torchs_own_warnings_do_not_show(self, machine: Machine, recwarn: pytest.WarningsRecorder) -> None:
        machine.warning = "\n    Found GPU0 which is too old.\n"
        choose_device("cuda")
        assert not recwarn.list


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_rank_without_a_gpu_of_its_own(machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    machine.count = 2
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(EnvironmentProblem, match=r"rank 2 has no GPU of its own: torch sees 2.*--nproc-per-node 2"):
        choose_device(name)


@pytest.mark.parametrize(
    ("capability", "codes", "runs"),
    [
        ((8, 6), ["sm_80"], True),  # a minor version on
        ((8, 0), ["sm_86"], False),  # a minor version back
        ((9, 0), ["sm_80", "sm_86"], False),  # another major version
        ((12, 1), ["sm_120"], True),  # two digits
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100a"], False),
        ((10, 3), ["sm_100f"], True),
        ((11, 0), ["sm_100f"], False),
        ((12, 0), ["compute_80"], True),
        ((7, 5), ["compute_80"], False),
        ((12, 0), ["compute_90a"], False),
        ((12, 0), ["compute_100f"], False),
        ((9, 0), ["gfx90a", "gfx1100"], True),  # ROCm
        ((6, 0), [], True),  # a build that does not tell
    ],
)
def test_code_that_runs_on_a_gpu(machine: Machine, capability: tuple[int, int], codes: list[str], runs: bool) -> None:
    machine.capability, machine.codes = capability, codes
    assert (choose_device("auto").type == "cuda") is runs


class TestMps:
    def test_takes_the_apple_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        has_apple_gpu(monkeypatch, True)
        assert choose_device("mps") == MPS

    def test_without_one(self) -> None:
        with pytest.raises(EnvironmentProblem, match="no Apple GPU"):
            choose_device("mps")

    def test_with_ranks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        has_apple_gpu(monkeypatch, True)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(EnvironmentProblem, match="Ranks cannot share an Apple GPU"):
            choose_device("mps")


@pytest.mark.parametrize(
    ("capability", "double_backward", "dtype"),
    [
        ((7, 5), False, torch.float16),
        ((7, 5), True, torch.float32),
        ((8, 0), False, torch.bfloat16),
        ((9, 0), True, torch.bfloat16),
    ],
)
def test_auto_precision_fits_the_gpu(
    machine: Machine, capability: tuple[int, int], double_backward: bool, dtype: torch.dtype
) -> None:
    machine.capability = capability
    assert choose_precision("auto", CUDA, double_backward=double_backward) == dtype


def test_float16_can_be_asked_for_with_penalties(machine: Machine) -> None:
    machine.capability = (7, 5)
    assert choose_precision("fp16", CUDA, double_backward=True) == torch.float16


@pytest.mark.parametrize("name", ["auto", "fp32"])
def test_an_apple_gpu_computes_in_float32(name: str) -> None:
    assert choose_precision(name, MPS) == torch.float32


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_half_precision_is_not_for_apple_gpus(name: str) -> None:
    with pytest.raises(InputError, match=f"float32 only, so the precision {name} is not available.*--precision fp32"):
        choose_precision(name, MPS)


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
    assert choose_precision("auto", CPU) == dtype


@pytest.mark.parametrize(
    ("device", "layout"), [(CPU, torch.channels_last), (CUDA, torch.channels_last), (MPS, torch.contiguous_format)]
)
def test_apple_gpus_alone_are_not_given_channels_last(device: torch.device, layout: torch.memory_format) -> None:
    assert memory_format(device) == layout


@pytest.mark.parametrize(("device", "place"), [(CPU, CPU), (CUDA, CUDA), (MPS, CPU)])
def test_apple_gpus_alone_leave_float64_to_the_cpu(device: torch.device, place: torch.device) -> None:
    assert float64_device(device) == place
