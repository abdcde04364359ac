"""Each flag is raised by what it is named after, and by nothing honest."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from facegen.data.transform import resize_and_crop
from facegen.grading import faces
from facegen.grading.fingerprints import KnownFaces, find_matches, fingerprint
from facegen.grading.flags import (
    FLAGS,
    Collections,
    Flag,
    SharedImages,
    SubmittedImages,
    flags_of,
    measured_of,
    rule,
    shared_flags_of,
)
from facegen.metrics.shifted import thumbnails
from facegen.scoring.image_checks import ImageProperties, PropertyCollector
from facegen.scoring.score import Score

Images = npt.NDArray[np.uint8]
Smooth = Callable[..., Images]


def own(images: Images, collections: Collections | None = None, **origin: str) -> dict[str, Flag]:
    """The flags by name of images called 0.png, 1.png …, each with the evidence that the table promises."""
    names = [f"{i}.png" for i in range(len(images))]
    score = Score("fd", 1.0, len(images), 1, "tiny", "0" * 64, 9, "1" * 64, **origin)
    measured, failed = measured_of(images)
    submission = SubmittedImages(images, names, fingerprint(images), score, collections or Collections(), measured)
    flags, broken = flags_of(submission)
    assert not failed
    assert not broken
    for flag in flags:
        assert list(flag.details) == list(FLAGS[flag.name].evidence)
    return {flag.name: flag for flag in flags}


def jpeg(image: Images, quality: int = 75) -> Images:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def blurred(image: Images) -> Images:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1)))


def noisy(image: Images) -> Images:
    return np.clip(image + np.random.default_rng(0).normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def mirrored(image: Images) -> Images:
    return image[:, ::-1]


def same(image: Images) -> Images:
    return image


WAYS = [same, jpeg, blurred, noisy, mirrored]


def test_varied_images_earn_no_flag(smooth: Smooth) -> None:
    assert own(smooth(60)) == {}


@pytest.mark.parametrize(("network", "told"), [("tiny", True), ("tiny (3 of 60 images)", True), ("other", False)])
def test_a_generator_trained_against_a_network_is_told_and_whether_it_measures(
    network: str, told: bool, smooth: Smooth
) -> None:
    (flag,) = own(smooth(60), trained_against=network).values()
    assert (flag.name, flag.details) == ("trained_against", {"trained_against": network})
    assert (network in flag.message, "flatters" in flag.message) == (network == "tiny" or not told, told)


@pytest.mark.parametrize("change", WAYS)
def test_duplicates_are_counted(change: Callable[[Images], Images], smooth: Smooth) -> None:
    images = smooth(30)
    images[20:23] = [change(image) for image in images[:3]]
    flag = own(images)["duplicate_images"]
    assert (flag.details["images"], flag.details["pairs"]) == (6, 3)
    assert flag.details["exact"] == (3 if change is same else 0)
    assert {(e["image"], e["match"]) for e in flag.details["examples"]} == {
        (f"{i}.png", f"{20 + i}.png") for i in range(3)
    }
    assert all(e["mirrored"] == (change is mirrored) for e in flag.details["examples"])


def test_one_near_pair_may_be_chance_and_an_exact_repeat_is_not(smooth: Smooth) -> None:
    images = smooth(30)
    images[20] = jpeg(images[0])
    assert "duplicate_images" not in own(images)
    images[21] = jpeg(images[1])
    assert own(images)["duplicate_images"].details["pairs"] == 2
    images = smooth(30)
    images[20] = images[0]
    assert own(images)["duplicate_images"].details["exact"] == 1


@pytest.mark.parametrize("change", WAYS)
def test_copies_are_found_among_known_faces(change: Callable[[Images], Images], smooth: Smooth) -> None:
    known, images = smooth(50, seed=1), smooth(20, seed=2)
    images[5] = change(known[42])
    faces = KnownFaces(tuple(f"{i:06d}.jpg" for i in range(50)), fingerprint(known))
    flag = own(images, Collections(training=faces))["copied_from_training"]
    (example,) = flag.details["examples"]
    assert (example["image"], example["match"], example["mirrored"]) == ("5.png", "000042.jpg", change is mirrored)
    assert flag.details["exact"] == (change is same)
    assert "1 of 20 images looks the same" in flag.message


def test_strangers_are_no_copies(smooth: Smooth) -> None:
    faces = KnownFaces(("a",) * 50, fingerprint(smooth(50, seed=1)))
    assert own(smooth(60, seed=2), Collections(faces, faces)) == {}


def moved(images: Images, right: int, down: int) -> Images:
    padded = np.pad(images, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[:, 8 - down : 72 - down, 8 - right : 72 - right])


def known_of(images: Images) -> KnownFaces:
    return KnownFaces(tuple(f"{i:06d}.jpg" for i in range(len(images))), fingerprint(images), thumbnails(images))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_shifted_and_darkened_copies_are_found_and_say_how(is_mirrored: bool, smooth: Smooth) -> None:
    known, images = smooth(50, seed=1), smooth(20, seed=2)
    copies = moved(known[40:43], 3, -2) // 2
    images[5:8] = copies[:, :, ::-1] if is_mirrored else copies
    flag = own(images, Collections(reference=known_of(known)))["copied_from_reference"]
    assert (flag.details["images"], flag.details["shifted"], flag.details["exact"]) == (3, 3, 0)
    assert flag.details["mirrored"] == 3 * is_mirrored
    for i, example in enumerate(sorted(flag.details["examples"], key=lambda example: str(example["image"]))):
        assert (example["image"], example["match"]) == (f"{5 + i}.png", f"{40 + i:06d}.jpg")
        assert (example["shift"], example["mirrored"]) == ([3, -2], is_mirrored)
        assert example["correlation"] > 0.88 and example["distance"] > 20
    assert "3 of them differ from the known image by a shift" in flag.message


def test_two_shifted_copies_may_be_chance_and_so_may_many_of_one_image(smooth: Smooth) -> None:
    known, images = smooth(50, seed=1), smooth(20, seed=2)
    images[:2] = moved(known[40:42], 3, -2)
    assert "copied_from_reference" not in own(images, Collections(reference=known_of(known)))
    images[2:10] = moved(known[np.full(8, 40)], 4, 1)
    assert "copied_from_reference" not in own(images, Collections(reference=known_of(known)))
    images[10] = moved(known[7:8], 2, 0)[0]
    assert own(images, Collections(reference=known_of(known)))["copied_from_reference"].details["images"] == 11


def test_near_copies_count_beside_too_few_shifted_ones(smooth: Smooth) -> None:
    known, images = smooth(50, seed=1), smooth(20, seed=2)
    images[0], images[1] = known[3], moved(known[40:41], 3, -2)[0]
    flag = own(images, Collections(training=known_of(known)))["copied_from_training"]
    assert (flag.details["images"], flag.details["shifted"]) == (1, 0)
    assert set(flag.details["examples"][0]) == {"image", "match", "distance", "mirrored"}


def test_a_training_set_that_is_the_reference_is_searched_once(smooth: Smooth, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    search = rule.find_copies
    monkeypatch.setattr(rule, "find_copies", lambda *given: calls.append(1) or search(*given))
    known = known_of(smooth(20, seed=1))
    images = smooth(20, seed=2)
    images[0] = smooth(20, seed=1)[4]
    assert set(own(images, Collections(known, known))) == {"copied_from_reference", "copied_from_training"}
    assert len(calls) == 1


def test_an_exact_copy_wins_over_an_earlier_look_alike(smooth: Smooth) -> None:
    image = smooth(1)
    known = np.concatenate([image ^ 1, image])
    matches = find_matches(fingerprint(image), fingerprint(known))
    assert (matches.row[0], bool(matches.exact[0])) == (1, True)


def test_shared_images_name_the_other_student(smooth: Smooth) -> None:
    images = smooth(5)
    matches = find_matches(fingerprint(images), fingerprint(images[2:]))
    (flag,), broken = shared_flags_of([SharedImages("abcde", "s7", "xyz", matches)])
    assert not broken
    assert flag.name == "shared_with:s7" and list(flag.details) == list(FLAGS["shared_with"].evidence)
    assert [(e["image"], e["match"]) for e in flag.details["examples"]] == [("c", "x"), ("d", "y"), ("e", "z")]


@pytest.mark.parametrize(
    "save",
    [
        lambda tanh: np.clip(tanh * 255, 0, 255),  # torchvision's save_image without normalize
        lambda tanh: np.clip(tanh * 127.5, 0, 255),
        lambda tanh: (tanh * 127.5).astype(np.int64) % 256,  # a cast to uint8
        lambda tanh: (tanh + 3) / 4 * 255,  # denormalised twice
        lambda tanh: (tanh + 1) / 2,  # 0 to 1, cast
        lambda tanh: 100 + 20 * tanh,
    ],
)
def test_normalised_values_are_recognised(save: Callable[[npt.NDArray[np.float64]], Images], smooth: Smooth) -> None:
    tanh = smooth(30) / 127.5 - 1
    assert "not_denormalised" in own(np.asarray(save(tanh)).astype(np.uint8))


def properties_of(images: Images) -> ImageProperties:
    collector = PropertyCollector()
    collector.update(images)
    return collector.properties()


def test_colours_that_were_saved_wrong_are_told_where_the_reference_tells_its_own(
    drawn: tuple[Images, Images],
) -> None:
    first, second = (np.ascontiguousarray(images[:, 55:183:2, 25:153:2]) for images in drawn)
    known = Collections(properties=properties_of(first))
    assert "wrong_colours" not in own(second, known)
    flag = own(second[..., ::-1], known)["wrong_colours"]
    assert flag.details["fault"] == "bgr" and "red and blue" in flag.message
    assert flag.details["means"][2] > flag.details["means"][0]
    without = Collections(properties=replace(properties_of(first), colours=None))
    assert "wrong_colours" not in own(second[..., ::-1], without)
    assert "wrong_colours" not in own(
        second, Collections(properties=properties_of(first // 2))
    )  # the reference has the fault
    dark = np.clip(second.astype(int) * 2 - 255, 0, 255).astype(np.uint8)
    assert "not_denormalised" in own(dark, known) and "wrong_colours" not in own(dark, known)


def test_noise_is_not_called_unnormalised() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    assert "not_denormalised" not in own(noise)


def test_a_collapsed_generator_has_low_diversity(smooth: Smooth) -> None:
    modes = np.repeat(smooth(4), 10, axis=0)
    noise = np.random.default_rng(0).normal(0, 4, modes.shape)
    assert "low_diversity" in own(np.clip(modes + noise, 1, 255).astype(np.uint8))


def test_one_face_with_variations_has_low_diversity(smooth: Smooth) -> None:
    images = np.clip(smooth(1) + (smooth(40, seed=3) - 128.0) * 0.3, 1, 255).astype(np.uint8)
    assert set(own(images)) >= {"low_diversity"}


def test_variations_of_a_few_have_low_diversity(smooth: Smooth) -> None:
    weights = np.random.default_rng(0).normal(size=(300, 20))
    modes = np.random.default_rng(1).normal(size=(40, 20))[np.arange(300) % 40]
    patterns = smooth(20, seed=3) - 128.0

    def drawn(latents: npt.NDArray[np.float64]) -> Images:
        return np.clip(128 + 0.4 * np.tensordot(latents, patterns, axes=1), 0, 255).astype(np.uint8)

    assert "low_diversity" not in own(drawn(weights))
    flag = own(drawn(modes + 0.3 * weights))["low_diversity"]
    assert flag.details["nearest"] < 0.16 and flag.details["median_neighbour_bits"] >= 32
    assert "variations of a few" in flag.message


class TestNoFaces:
    """With measures as a detector gives them: OpenCV is not needed."""

    def flags(self, found: int, share: float | None, smooth: Smooth, looked_at: int = 60) -> dict[str, Flag]:
        images = smooth(60)
        measured = {"no_faces": np.arange(looked_at) < found}
        score = Score("fd", 1.0, 60, 1, "tiny", "0" * 64, 9, "1" * 64)
        names = [f"{i}.png" for i in range(60)]
        given = SubmittedImages(images, names, fingerprint(images), score, Collections(face_share=share), measured)
        return {flag.name: flag for flag in flags_of(given)[0]}

    def test_few_faces_where_the_reference_has_many(self, smooth: Smooth) -> None:
        flag = self.flags(10, 0.9, smooth)["no_faces"]
        assert list(flag.details) == list(FLAGS["no_faces"].evidence)
        assert (flag.details["share"], flag.details["reference_share"], flag.details["looked_at"]) == (0.1667, 0.9, 60)
        assert flag.details["without"] == [f"{i}.png" for i in range(10, 30)]
        assert "No face is found" in flag.message and "not a measure of quality" in flag.message

    @pytest.mark.parametrize(("found", "share", "raised"), [(14, 0.8, True), (15, 0.8, False), (60, 0.8, False)])
    def test_the_edge_is_a_part_of_the_references_share(
        self, found: int, share: float, raised: bool, smooth: Smooth
    ) -> None:
        assert ("no_faces" in self.flags(found, share, smooth)) == raised

    @pytest.mark.parametrize("share", [None, 0.49])
    def test_it_says_nothing_where_the_reference_tells_nothing(self, share: float | None, smooth: Smooth) -> None:
        assert "no_faces" not in self.flags(0, share, smooth)
        assert "no_faces" in self.flags(0, 0.5, smooth)

    def test_without_a_detector_it_is_not_looked_for(self, smooth: Smooth, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faces, "detector", lambda: None)
        assert "no_faces" not in own(smooth(20), Collections(face_share=0.9))
        assert "no_faces" not in self.flags(0, 0.9, smooth, looked_at=0)


def test_real_faces_are_diverse_and_denormalised(celeba: Path) -> None:
    with ZipFile(celeba / "img_align_celeba.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:400]
        opened = (Image.open(io.BytesIO(archive.read(name))) for name in names)
        faces = np.stack([resize_and_crop(image.convert("RGB"), 64) for image in opened])
    assert not set(own(faces)) & {"low_diversity", "not_denormalised"}
