from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.features import FeatureTaps, RandomMixing

CHANNELS, MIXED, OUTPUTS = (3, 5, 7), (8, 16, 32), (8, 8, 16)


@pytest.fixture
def network() -> nn.Sequential:
    network = nn.Sequential()
    for name, (before, after) in (("stem", (3, 4)), ("stage1", (4, 5)), ("stage2", (5, 6)), ("head", (6, 7))):
        network.add_module(name, nn.Conv2d(before, after, 3, stride=2, padding=1))
    return network


def features() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(2, wide, side, side, generator=draw) for wide, side in zip(CHANNELS, (16, 8, 4), strict=True)]


def mixing(seed: int = 0) -> RandomMixing:
    return RandomMixing(CHANNELS, MIXED, OUTPUTS, seed=seed)


def test_taps_are_what_the_stages_give(network: nn.Sequential) -> None:
    seen: dict[str, Tensor] = {}
    for name in ("stage1", "stage2"):
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    images = torch.randn(2, 3, 32, 32)
    network(images)
    expected = dict(seen)
    for ours, theirs in zip(FeatureTaps(network, ("stage1", "stage2"))(images), expected.values(), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_is_run_after_the_last_tap(network: nn.Sequential) -> None:
    network.get_submodule("head").register_forward_hook(lambda *_: pytest.fail("the head was run"))
    FeatureTaps(network, ("stage2",))(torch.randn(1, 3, 32, 32))


def test_a_stage_that_is_not_there_is_said_with_the_nearest(network: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="'stage3': did you mean 'stage2'"):
        FeatureTaps(network, ("stage3",))


def test_mixing_is_the_papers_in_the_papers_order() -> None:
    """Sizes are doubled before the second convolution there, and after it here."""
    ours, given = mixing(), features()
    below = None
    expected = []
    for level in (2, 1, 0):
        y = F.conv2d(given[level], ours.get_buffer(f"across_channels{level}"))
        if below is not None:
            y = y + below
        y = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(y)
        below = F.conv2d(y, ours.get_buffer(f"across_scales{level}"))
        expected.append(below)
    torch.testing.assert_close(ours(given), expected[::-1], rtol=1e-4, atol=1e-4)
    assert [tuple(y.shape[1:]) for y in ours(given)] == [(8, 32, 32), (8, 16, 16), (16, 8, 8)]


def test_calibrated_results_have_a_root_mean_square_of_one() -> None:
    ours = mixing()
    ours.calibrate(features())
    assert [y.square().mean().sqrt().item() for y in ours(features())] == pytest.approx([1.0] * 3)


def test_weights_follow_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = mixing(0), mixing(0), mixing(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first(features()), again(features()), rtol=0, atol=0)
    assert not torch.allclose(first(features())[0], other(features())[0])


def test_weights_are_hes() -> None:
    wide = RandomMixing((256,), (512,), (512,), seed=0).get_buffer("across_channels0")
    assert wide.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_nothing_is_learned_and_the_scales_alone_are_saved() -> None:
    ours = mixing()
    assert not list(ours.parameters()) and list(ours.state_dict()) == ["scales"]


def test_results_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        RandomMixing((3, 5), (8, 16), (8, 9), seed=0)
