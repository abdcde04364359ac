"""A trainer with a critic of frozen features, against the same arithmetic written out with torch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from facegen.data.dataset import FaceDataset
from facegen.errors import InputError
from facegen.gan.critics import pooled_dims
from facegen.training.checkpoint import checkpoint_files, load_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.loop import training_loop
from facegen.training.networks import FEATURES, PIXELS
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")
#: The fixture: the trainer of a recipe, of float32 unless another precision is said.
TrainerOf = Callable[..., Trainer]


@pytest.fixture
def recipe(features_recipe: Recipe) -> Recipe:
    return features_recipe


def figures_of(trainer: Trainer, step: int) -> dict[str, float | None]:
    trainer(step)
    return trainer.read_figures()


def test_the_first_updates_figures_are_both_critics_sums(recipe: Recipe, trainer_of: TrainerOf) -> None:
    """Losses of patches, and penalties on the gradient of an image's mean logit, by autograd's double backward."""
    trainer = trainer_of(recipe)
    trainer.load_inputs(0)
    (update,) = trainer._inputs.updates
    real = trainer._augmentation(trainer._real.images(update.sent, update.mirrored), update.uniforms[0])
    fake = trainer._augmentation(trainer.generator(update.latents).detach(), update.uniforms[1])
    view = trainer.critics[FEATURES].view
    assert view is not None
    seen = {PIXELS: ((real,), (fake,)), FEATURES: (view(real).maps, view(fake).maps)}
    loss, penalty = torch.zeros(()), torch.zeros(())
    for name, gamma in ((PIXELS, 2.0), (FEATURES, 5.0)):
        head = trainer.critics[name].head
        logits = []
        for side in seen[name]:
            leaves = tuple(part.detach().requires_grad_() for part in side)
            logits.append(head(leaves[0] if name == PIXELS else leaves).view(recipe.batch, -1))
            gradients = torch.autograd.grad(logits[-1].mean(1).sum(), leaves)
            squares = sum(gradient.square().flatten(1).sum(1) for gradient in gradients)
            assert isinstance(squares, Tensor)
            penalty += 2 * gamma / 2 * squares.mean()  # at one update in two, twice as much
        loss = loss + softplus(logits[1] - logits[0]).mean()
    figures = figures_of(trainer, 0)
    assert figures["loss_d"] == pytest.approx(loss.item(), rel=1e-4)
    assert figures["penalty"] == pytest.approx(penalty.item(), rel=1e-4)


def test_nothing_frozen_is_in_the_optimizer_or_the_checkpoint(recipe: Recipe, trainer_of: TrainerOf) -> None:
    trainer = trainer_of(recipe)
    trainer(0)
    state = trainer.state_dict()
    learned = sum(1 for critic in trainer.critics.values() for _ in critic.head.parameters())
    assert len(state["optimizer_d"]["state"]) == learned
    assert list(state["features_view"]) == ["mixing.scales"]
    before = trainer.critics[FEATURES].head.state_dict()
    assert state["features"].keys() == before.keys()


def test_the_frozen_network_sees_each_updates_images_once(
    recipe: Recipe, trainer_of: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(recipe)
    view = trainer.critics[FEATURES].view
    assert view is not None
    calls = []
    view.register_forward_hook(lambda *_: calls.append(1))
    for step in range(3):
        trainer(step)
    assert len(calls) == 2 * 3  # of real and of generated images


@pytest.mark.parametrize("changes", [{"discriminator": "none"}, {"discriminator": "none", "loss": "hinge"}])
def test_g_learns_from_features_alone(changes: dict[str, str], recipe: Recipe, trainer_of: TrainerOf) -> None:
    trainer = trainer_of(recipe.with_overrides({**changes, "moments_weight": 0.0}))
    assert list(trainer.critics) == [FEATURES]
    before = [parameter.clone() for parameter in trainer.generator.parameters()]
    figures = figures_of(trainer, 0)
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.generator.parameters(), strict=True)]
    assert all(moved) and 0 <= figures["d_real"] <= 1


def test_moments_count_once_their_averages_are_of_enough_images(recipe: Recipe, trainer_of: TrainerOf) -> None:
    """From the third batch of 8 on, as two are the half-life; until then G's losses are those of a trainer without."""
    with_moments, without = (trainer_of(recipe.with_overrides({"moments_weight": weight})) for weight in (1.0, 0.0))
    first, second = ([figures_of(trainer, step) for step in range(3)] for trainer in (with_moments, without))
    assert [each["loss_g"] for each in first[:2]] == [each["loss_g"] for each in second[:2]]
    assert first[2]["loss_g"] > second[2]["loss_g"]


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    def go(kimg: float, run: Path, checkpoint: Path | None = None) -> object:
        run.mkdir(exist_ok=True)
        training_loop(
            recipe.with_overrides({"kimg": kimg, "checkpoint_every": 1.0}),
            tiny_dataset,
            run,
            device=CPU,
            precision=torch.float32,
            ranks=Ranks(),
            checkpoint=None if checkpoint is None else load_checkpoint(checkpoint),
        )
        return load_checkpoint(checkpoint_files(run)[0])["trainer"]

    whole = go(0.048, tmp_path / "whole")
    go(0.024, tmp_path / "parts")
    parts = go(0.048, tmp_path / "parts", checkpoint_files(tmp_path / "parts")[0])
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_a_compiled_trainer_is_the_eager_one(
    recipe: Recipe, trainer_of: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in test_step: without the C++ compiler."""
    eager = trainer_of(recipe)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: None)
    compiled = trainer_of(recipe.with_overrides({"compile": True}))
    ours, theirs = (figures_of(trainer, 0) for trainer in (compiled, eager))
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_pooled_features_are_the_taps_means(recipe: Recipe, trainer_of: TrainerOf) -> None:
    view = trainer_of(recipe).critics[FEATURES].view
    assert view is not None
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    expected = torch.cat([features.mean((2, 3)) for features in view.tapped(images)], 1)
    assert view(images).pooled.shape == (2, pooled_dims("efficientnet_lite0"))
    torch.testing.assert_close(view(images).pooled, expected)


def test_an_image_of_nan_is_not_seen_as_a_face(recipe: Recipe, trainer_of: TrainerOf) -> None:
    view = trainer_of(recipe).critics[FEATURES].view
    assert view is not None
    images = torch.zeros(2, 3, 16, 16)
    images[1, 0, 3, 3] = torch.nan
    seen = view(images)
    for part in (*seen.maps, seen.pooled):
        assert part[0].isfinite().all() and part[1].isnan().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"discriminator": "none", "features": "", "moments_weight": 0.0}, "nothing judges the generator"),
        ({"features": ""}, "sets moments_weight but has no features to match"),
        ({"features": "vgg16"}, "has features = 'vgg16', which must be one of"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(changes: dict[str, object], words: str, recipe: Recipe) -> None:
    with pytest.raises(InputError, match=words):
        recipe.with_overrides(changes)
