"""Sample: generates images with a run's generator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as endlessly
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from facegen import console
from facegen.data.litter import came_by_itself
from facegen.data.origin import Origin, png_info
from facegen.device import choose_device, placed
from facegen.errors import InputError
from facegen.files import StrPath, atomic_folder, require_folder_place, require_place
from facegen.gan.generators import CHUNK, image_chunks, to_uint8
from facegen.gan.latents import LATENTS
from facegen.gan.losses import LOSSES
from facegen.gan.rejection import BURN_IN, BURN_IN_SEED, Rejection
from facegen.notebook.cards import card, facts, picture_file
from facegen.pictures.contact_sheet import contact_sheet, is_foreign, save_png
from facegen.pretrained import GENERATOR, generator_path, require_whole
from facegen.training.checkpoint import TRAINER, checkpoint_files, load_checkpoint
from facegen.training.networks import PIXELS, discriminator_of_recipe
from facegen.training.recipe import recipe_from_dict
from facegen.training.saved_generator import BEST, LAST, SavedGenerator, load_generator

PREVIEW, GRID = 64, "grid.png"


@dataclass(frozen=True)
class SampleResult:
    """Generated images.

    Attributes:
        images: Their folder.
        grid: A PNG with the first images as a preview.
        n: Number of images.
        generator: The .safetensors file that generated them.
        origin: What they record about themselves: how they were sampled, and what the generator was trained against.
    """

    images: Path
    grid: Path
    n: int
    generator: Path
    origin: Origin

    def _repr_html_(self) -> str | None:
        found = {"generator": self.generator, "sampled by": self.origin.sampling}
        found |= {"trained against": self.origin.trained_against}
        shown = picture_file(self.grid, "the first of the images")
        return card(f"{self.n:,} images in {self.images}", facts(found), shown)


def sample(
    run: StrPath,
    images: StrPath,
    *,
    n: int = 1000,
    seed: int = 0,
    truncation: float = 1.0,
    latents: str = "normal",
    rejection: bool = False,
    batch: int = 256,
    device: str = "auto",
) -> SampleResult:
    """Generate ``n`` images as ``0001.png`` … in the folder ``images``, and a preview ``grid.png`` beside it.

    Anything other than plain sampling (independent normal latents, no rejection) is recorded in a PNG text chunk. If
    the generator was trained against a frozen network, another chunk names it. ``facegen fid`` shows both beside the
    score.

    Args:
        run: A run folder (its best generator, or the last one if none was scored) or a .safetensors file.
            :func:`facegen.pretrained.generator_path` gives the one that ships with facegen.
        images: The folder to write to. Earlier samples in it are replaced.
        n: Number of images.
        seed: Image i depends on (seed, i), the generator and the device's arithmetic, but not on ``n`` or ``batch``.
        truncation: Factor on the latents. Below 1, faces are more typical and less varied.
        latents: ``"normal"``, or ``"sobol"`` for quasi-random ones.
        rejection: Keep only candidates that the run's discriminator finds likely
            (:class:`facegen.gan.rejection.Rejection`). The candidates are the images that would be generated without
            it. The discriminator is that of the newest checkpoint, in eval mode, so that a logit depends on its image
            alone.
        batch: Number of latents per batch, rounded up to whole chunks. It does not change the images.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        InputError: ``run`` has no generator; ``images`` or the preview's place holds something that facegen did not
            make; or there is no discriminator for rejection, or its logit is not a density ratio.
    """
    run, images = Path(run), Path(images)
    if n < 1 or batch < 1:
        raise InputError(f"Cannot sample {n} images in batches of {batch}.", "Both must be at least 1.")
    require_truncation(truncation)
    if latents not in LATENTS:
        raise InputError(f"There are no {latents!r} latents.", f"Use one of: {', '.join(LATENTS)}.")
    path = generator_of(run)
    require_folder_place(images)
    grid = images.absolute().parent / GRID if images.name in ("", "..") else images.with_name(GRID)
    _require_replaceable(images, grid)
    _require_own_preview(grid, images)
    saved = load_generator(path)
    if run.is_dir() and path.name == BEST:
        _warn_of_another_run(path, saved)
    if path.resolve() == generator_path():
        console.info(
            f"This generator ships with facegen: {saved.recipe.name}, {saved.kimg:g} kimg of CelebA, for "
            "non-commercial research only. Use its images to try things out, and do not hand them in as your own."
        )
    chosen = choose_device(device)
    network = placed(saved.network, chosen)
    discriminator = placed(_discriminator_of(run, saved), chosen) if rejection else None
    digits = max(4, len(str(n)))
    held = -(-batch // CHUNK) * CHUNK

    def chunks(kind: str, seed: int) -> Iterator[Tensor]:
        """Yield the generator's images of latents 0, 1, …, endlessly: float [CHUNK, 3, S, S] in [−1, 1]."""
        for first in endlessly(0, held):
            yield from image_chunks(network, LATENTS[kind](seed, first, held, saved.recipe.latent_dim).mul_(truncation))

    preview: list[npt.NDArray[np.uint8]] = []
    with atomic_folder(images) as folder, console.progress("Sampling", n) as bar, torch.no_grad():
        pictures, acceptance = _pictures(chunks(latents, seed)), None
        if discriminator is not None:
            others = islice(chunks("normal", BURN_IN_SEED), BURN_IN // CHUNK)
            rejecting = Rejection(np.concatenate([_logits(discriminator, chunk) for chunk in others]), seed)
            pictures, acceptance = _kept(chunks(latents, seed), discriminator, rejecting), rejecting.acceptance
        origin = Origin(_sampling(truncation, latents, acceptance), saved.trained_against)
        info = png_info(origin)
        for number, image in enumerate(islice(pictures, n), 1):
            Image.fromarray(image).save(folder / f"{number:0{digits}d}.png", pnginfo=info)
            bar.advance()
            preview += [image] * (len(preview) < PREVIEW)
        # Before the folder is renamed: images without a preview could be photographs, and would never be replaced.
        save_png(grid, contact_sheet(np.stack(preview)))
    how = "" if origin.sampling is None else f" by {origin.sampling}"
    against = "" if origin.trained_against is None else f", trained against {origin.trained_against}"
    console.info(
        f"Sampled {n:,} images{how} from {path.name} ({saved.recipe.name}, {saved.kimg:g} kimg{against}); "
        f"preview: {grid}."
    )
    return SampleResult(images, grid, n, path, origin)


def _pictures(chunks: Iterator[Tensor]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images one by one, uint8 [S, S, 3]."""
    for chunk in chunks:
        yield from to_uint8(chunk).cpu().numpy()


def _logits(discriminator: nn.Module, images: Tensor) -> npt.NDArray[np.float64]:
    logits: Tensor = discriminator(images)
    return logits.cpu().double().numpy()


def _kept(chunks: Iterator[Tensor], discriminator: nn.Module, rejection: Rejection) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images that are not rejected."""
    for chunk in chunks:
        yield from to_uint8(chunk).cpu().numpy()[rejection.keep(_logits(discriminator, chunk))]


def _discriminator_of(run: Path, saved: SavedGenerator) -> nn.Module:
    """Load the discriminator of a run's newest checkpoint, in eval mode on the CPU."""
    files = checkpoint_files(run)
    if run.resolve() == generator_path():
        raise InputError(
            "--rejection needs a discriminator, but facegen ships a generator only.",
            "Leave it out, or name a run folder with checkpoints.",
        )
    if not files:
        what = "has no checkpoint" if run.is_dir() else "is a generator alone"
        raise InputError(f"--rejection needs a discriminator, and {run} {what}.", "Name a run folder with checkpoints.")
    state = load_checkpoint(files[0])
    recipe = recipe_from_dict(state["recipe"], f"The recipe in {files[0]}")
    if not recipe.sees_pixels:
        raise InputError(
            f"--rejection needs a discriminator of pixels, and the recipe {recipe.name} has none.",
            "Sample without it.",
        )
    if not LOSSES[recipe.loss].log_ratio:
        fit = ", ".join(name for name, loss in LOSSES.items() if loss.log_ratio)
        raise InputError(
            f"--rejection needs a logit that is a density ratio, which the loss {recipe.loss} does not give.",
            f"Train with one of: {fit}.",
        )
    kimg = state["images_seen"] / 1000
    if f"{kimg:g}" != f"{saved.kimg:g}":  # a generator records six digits
        console.warn(
            f"The discriminator is that of {kimg:g} kimg, but the generator is that of {saved.kimg:g} kimg. The "
            "discriminator never saw this generator's images, so its logits are less reliable."
        )
    network = discriminator_of_recipe(recipe, saved.size)
    try:
        network.load_state_dict(state[TRAINER][PIXELS])
    except (KeyError, TypeError, RuntimeError) as problem:
        first_line = str(problem).partition("\n")[0].rstrip(".:")
        raise InputError(f"The checkpoint {files[0]} does not fit its own recipe: {first_line}.") from problem
    return network.eval()


def _sampling(truncation: float, latents: str, acceptance: float | None) -> str | None:
    """Describe in ASCII how images are sampled. None for plain sampling."""
    parts = []
    if acceptance is not None:
        parts.append(f"discriminator rejection, {acceptance:.0%} accepted")
    if truncation != 1:
        parts.append(f"truncation {truncation:g}")
    if latents != "normal":
        parts.append(f"{latents.capitalize()} latents")
    return "; ".join(parts) or None


def require_truncation(truncation: float) -> None:
    """Raise InputError for a factor on the latents that cannot give faces."""
    if not 0 <= truncation <= 10:
        raise InputError(f"A truncation of {truncation} cannot give faces.", "Use 1.0, or a little less.")


def generator_of(run: Path) -> Path:
    """Return the generator file of a run: the best by score, else the last. A .safetensors file is returned as it is.

    Raises:
        EnvironmentProblem: The generator that ships with facegen is damaged. Its hash is stored elsewhere.
    """
    if not run.is_dir():
        if run.resolve() == generator_path():
            require_whole(GENERATOR)
        return run
    for name in (BEST, LAST):
        if (run / name).is_file():
            return run / name
    raise InputError(f"The run {run} has no generator yet: neither {BEST} nor {LAST}.", "Train it longer.")


def _warn_of_another_run(best: Path, saved: SavedGenerator) -> None:
    """Warn if the best generator was copied in from another run."""
    last = best.with_name(LAST)
    if not last.is_file():
        return
    try:
        other = load_generator(last)
    except InputError:  # the last generator is not the one to sample from
        return
    ours, theirs = other.recipe.learned_fields(), saved.recipe.learned_fields()
    differing = [name for name in ours if ours[name] != theirs[name]]
    if saved.dataset_sha256 != other.dataset_sha256:
        differing.insert(0, "dataset")
    if differing:
        console.warn(
            f"{best} and {LAST} beside it belong to different runs: they differ in {', '.join(differing[:5])}. "
            f"To sample from the latter, name {last}."
        )


def _require_replaceable(images: Path, grid: Path) -> None:
    """Require that the folder holds only earlier samples. Anything else may be the user's own."""
    if not images.exists():
        return
    if not images.is_dir():
        raise InputError(f"{images} is a file.", "Name a folder for the images.")
    names = (entry.name for entry in images.iterdir() if not re.fullmatch(r"\d{4,}\.png", entry.name))
    foreign = next((name for name in names if not came_by_itself(name)), None)
    if foreign is not None:
        raise InputError(f"The folder {images} holds {foreign}, which is not a sample.", "Name another folder.")
    if not grid.exists() and any(images.glob("*.png")):  # photographs can have names such as 000001.png too
        raise InputError(
            f"The folder {images} holds images, but no {GRID} beside it shows that they are samples.",
            "Name another folder, or delete that one.",
        )


def _require_own_preview(grid: Path, images: Path) -> None:
    """Require that facegen made the preview. Old previews carry no mark, but show the images in the folder."""
    require_place(grid)
    if is_foreign(grid) and not _shows(grid, images):
        raise InputError(
            f"{grid} exists, but facegen did not make it, so it is not replaced.",
            "Move it, or name a folder for the images elsewhere.",
        )


def _shows(grid: Path, images: Path) -> bool:
    """Return whether the PNG is the contact sheet of the first samples in the folder."""
    try:
        first = sorted(images.glob("*.png"), key=lambda path: (len(path.name), path.name))[:PREVIEW]
        sheet = contact_sheet(np.stack([np.asarray(Image.open(path, formats=["PNG"])) for path in first]))
        return np.array_equal(np.asarray(Image.open(grid, formats=["PNG"])), sheet)
    except Exception:  # noqa: BLE001  anybody's files, which may be anything
        return False
