"""The procedural faces: the same anywhere, all different, and what their labels say they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.data.synthetic import HEIGHT, WIDTH, face_attributes, render_faces
from facegen.data.synthetic.attributes import Face, FacialHair, Glasses, HairColour, HairStyle, sample_face
from facegen.data.synthetic.canvas import Canvas, ellipse
from facegen.data.synthetic.portrait import draw

SEED = 3
MANY = range(48)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return render_faces(SEED, MANY)


@pytest.fixture(scope="module")
def labels() -> dict[str, np.ndarray]:
    """Of enough faces to count them; nothing is drawn for it."""
    return face_attributes(SEED, range(3000))


def plain(**changes: object) -> Face:
    """One fixed sitter, facing the camera, without glasses or beard, on a plain ground; then ``changes``."""
    base = replace(
        sample_face(SEED, 0),
        yaw=0.0,
        roll=0.0,
        glasses=Glasses.NONE,
        facial_hair=FacialHair.NONE,
        hair_style=HairStyle.SHORT,
        bangs=False,
        backdrop=0,
        skin_tone=0.3,
        smile=0.0,
        mouth_open=0.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def changed_box(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the pixels that differ."""
    rows, columns = np.nonzero((first != second).any(axis=2))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_images_are_rgb_bytes_of_celebas_size(faces: np.ndarray) -> None:
    assert faces.dtype == np.uint8
    assert faces.shape == (len(MANY), HEIGHT, WIDTH, 3) == (48, 218, 178, 3)


def test_no_index_gives_no_image() -> None:
    assert render_faces(SEED, []).shape == (0, HEIGHT, WIDTH, 3)


def test_drawn_again_is_drawn_the_same(faces: np.ndarray) -> None:
    np.testing.assert_array_equal(render_faces(SEED, MANY), faces)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.lists(st.sampled_from(MANY), min_size=1, max_size=4))
def test_a_face_does_not_depend_on_its_batch(indices: list[int]) -> None:
    alone = np.concatenate([render_faces(SEED, [index]) for index in indices])
    np.testing.assert_array_equal(render_faces(SEED, indices), alone)


def test_no_two_faces_are_alike(faces: np.ndarray) -> None:
    flat = faces[:, ::6, ::6].reshape(len(faces), -1).astype(np.float64)
    distances = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(axis=2))
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 12  # grey levels, root mean square


def test_another_seed_gives_other_faces(faces: np.ndarray) -> None:
    others = render_faces(SEED + 1, MANY[:8])
    assert np.abs(others.astype(int) - faces[:8]).mean(axis=(1, 2, 3)).min() > 10


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1), (1 << 64, 0), (0, 1 << 64)])
def test_a_seed_or_index_outside_64_bits_is_refused(seed: int, index: int) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 2"):
        render_faces(seed, [index])


def test_the_largest_seed_and_index_are_drawn() -> None:
    assert render_faces((1 << 64) - 1, [(1 << 64) - 1]).std() > 10


def test_levels_are_those_of_photographs(faces: np.ndarray) -> None:
    """Bright and dark enough, and hardly clipped: real CelebA has a mean near 110–130 and 1% of zeros."""
    assert 90 < faces.mean() < 160
    assert faces.reshape(len(faces), -1).std(axis=1).min() > 20
    assert (faces == 0).mean() < 0.02
    assert (faces == 255).mean() < 0.02


def test_the_pupils_are_where_aligned_celeba_has_them() -> None:
    """At about (69, 111) and (108, 111), the darkest part of the eyes of a face that looks at the camera."""
    image = draw(plain(gaze_x=0.0, gaze_y=0.0, pitch=0.0, eye_open=5.5)).mean(axis=2)
    for x in (69, 108):
        eye = image[106:117, x - 9 : x + 10]
        row, column = (np.mean(axis) for axis in np.nonzero(eye < eye.min() + 12))
        assert abs(row + 106 - 111) < 3
        assert abs(column + x - 9 - x) < 2.5


@pytest.mark.parametrize("kind", [Glasses.ROUND, Glasses.SQUARE, Glasses.SUN])
def test_glasses_change_the_eyes_and_nothing_else(kind: Glasses) -> None:
    top, bottom, left, right = changed_box(draw(plain()), draw(plain(glasses=kind)))
    assert top > 90
    assert bottom < 130
    assert left > 40
    assert right < 138


def test_sunglasses_are_dark() -> None:
    lens = np.s_[108:116, 64:74]
    assert draw(plain(glasses=Glasses.SUN))[lens].mean() < 90 < draw(plain(glasses=Glasses.ROUND))[lens].mean()


@pytest.mark.parametrize("kind", [FacialHair.STUBBLE, FacialHair.MOUSTACHE, FacialHair.GOATEE, FacialHair.FULL])
def test_facial_hair_stays_under_the_cheeks_and_darkens(kind: FacialHair) -> None:
    shaven = plain(hair_colour=HairColour.BLACK, hair_shade=0.0, eye_colour=0)
    before, after = draw(shaven), draw(replace(shaven, facial_hair=kind))
    cheeks = np.s_[:, 62:115]  # between the sideburns
    top, *_ = changed_box(before[cheeks], after[cheeks])
    assert top > 118
    assert after[130:185, 50:128].mean() < before[130:185, 50:128].mean()


def test_an_open_smile_shows_teeth() -> None:
    closed = draw(plain(smile=0.9))[146:162, 80:97].min(axis=2)
    open_ = draw(plain(smile=0.9, mouth_open=1.0))[146:162, 80:97].min(axis=2)
    assert open_.max() > closed.max() + 15


def test_hair_colour_is_the_colour_of_the_hair() -> None:
    crown = np.s_[52:62, 75:102]
    tones = {colour: draw(plain(hair_colour=colour, hair_volume=1.0))[crown].mean(axis=(0, 1)) for colour in HairColour}
    brightness = {colour: tone.mean() for colour, tone in tones.items()}
    assert brightness[HairColour.BLACK] < brightness[HairColour.BROWN] < brightness[HairColour.BLOND]
    red, grey = tones[HairColour.RED], tones[HairColour.GREY]
    assert red[0] - red[2] > 50
    assert np.ptp(grey) < 15


def test_long_hair_falls_over_the_shoulders_and_short_hair_does_not() -> None:
    """Beside the chin: the backdrop behind a crop, dark hair behind a fall."""
    dark = plain(hair_colour=HairColour.BLACK, hair_shade=0.0, backdrop_value=0.0)
    beside = np.s_[160:175, 46:52]
    assert draw(replace(dark, hair_style=HairStyle.LONG))[beside].mean() < 70 < draw(dark)[beside].mean()


def test_skin_tone_darkens_the_forehead() -> None:
    levels = [draw(plain(skin_tone=tone))[85:93, 80:98].mean() for tone in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] - levels[-1] > 80


def test_light_comes_from_where_it_is_set() -> None:
    def lit(side: float) -> float:
        image = draw(plain(light_x=side, contrast=1.0)).astype(float)
        return float(image[120:140, 56:70].mean() - image[120:140, 108:122].mean())

    assert lit(-0.8) > 15
    assert lit(0.8) < -15


def test_a_head_that_turns_right_lies_left_of_its_eyes() -> None:
    """The eyes are pinned by the alignment, so the skull behind them moves against the turn."""

    def middle(yaw: float) -> float:
        sitter = plain(yaw=yaw, hair_style=HairStyle.BALD)
        black, white = (draw(replace(sitter, backdrop_value=value)) for value in (0.0, 1.0))
        # Whatever the backdrop does not change is the head.
        return float(np.flatnonzero((black[85] == white[85]).all(axis=1)).mean())

    assert middle(0.3) < middle(0.0) - 4
    assert middle(-0.3) > middle(0.0) + 4


def test_labels_are_arrays_of_the_documented_types(labels: dict[str, np.ndarray]) -> None:
    kinds = {name: array.dtype for name, array in labels.items()}
    flags = ("glasses", "sunglasses", "beard", "moustache", "smile", "mouth_open", "bangs", "lipstick")
    assert kinds == {
        **dict.fromkeys(flags, np.dtype(np.bool_)),
        **dict.fromkeys(("hair_colour", "hair_style"), np.dtype(np.int8)),
        **dict.fromkeys(("skin_tone", "age", "yaw"), np.dtype(np.float32)),
    }
    assert {array.shape for array in labels.values()} == {(3000,)}


def test_labels_do_not_depend_on_the_batch(labels: dict[str, np.ndarray]) -> None:
    part = face_attributes(SEED, [2999, 17])
    for name, array in labels.items():
        np.testing.assert_array_equal(part[name], array[[2999, 17]])


def test_every_label_varies(labels: dict[str, np.ndarray]) -> None:
    """No flag is rarer than 2% or commoner than 70%; every hair colour and style appears."""
    for name, array in labels.items():
        if array.dtype == np.bool_:
            assert 0.02 < array.mean() < 0.7, name
    assert set(labels["hair_colour"]) == set(HairColour)
    assert set(labels["hair_style"]) == set(HairStyle)


def test_attributes_go_together_as_in_life(labels: dict[str, np.ndarray]) -> None:
    old, young = labels["age"] > 0.8, labels["age"] < 0.4
    grey = labels["hair_colour"] == HairColour.GREY
    assert grey[old].mean() > 0.2 > grey[young].mean()
    assert not (labels["beard"] & labels["lipstick"]).any()
    assert not (labels["sunglasses"] & ~labels["glasses"]).any()


def test_an_ellipses_coverage_adds_up_to_its_area() -> None:
    canvas = Canvas(roll=0.05)
    mask = ellipse(canvas.x, canvas.y, 30, 18)
    assert mask.dtype == np.float32
    assert mask.sum() == pytest.approx(np.pi * 30 * 18, rel=0.01)


def test_a_patch_holds_all_that_is_drawn_on_it() -> None:
    """Drawn on its box or on the whole picture, a turned ellipse is the same."""
    boxed, whole = Canvas(roll=0.07), Canvas(roll=0.07)
    boxed.pixels[:] = whole.pixels[:] = 0
    patch = boxed.patch(30, -40, 22, 12)
    patch.paint(ellipse(patch.x, patch.y, 20, 10), (1, 1, 1))
    patch = whole.whole()
    patch.paint(ellipse(patch.x - np.float32(30), patch.y + np.float32(40), 20, 10), (1, 1, 1))
    np.testing.assert_allclose(boxed.pixels, whole.pixels, atol=1e-4)
