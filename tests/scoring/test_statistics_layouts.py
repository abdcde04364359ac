"""Statistics in the layouts of other programs, and files that hold none."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.scoring.reference import floor_of, open_reference, reference_of_statistics
from facegen.scoring.statistics_layouts import holds_statistics, open_statistics, refuse_statistics

D = 12
FEATURES = np.random.default_rng(0).normal(size=(40, D)).astype(np.float32)
MU, SIGMA = FEATURES.mean(0, dtype=np.float64), np.cov(FEATURES.astype(np.float64), rowvar=False)
PICTURES = np.zeros((5, 8, 8, 3), np.uint8)

Write = Callable[[Path], Path]


def npz(name: str = "stats.npz", **arrays: object) -> Write:
    def write(folder: Path) -> Path:
        with (folder / name).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return folder / name

    return write


def npy(asked: str, **arrays: object) -> Write:
    """Each array as a ``.npy`` of its own, with - for _; ``asked`` is what is named."""

    def write(folder: Path) -> Path:
        for name, array in arrays.items():
            np.save(folder / f"{name.replace('_', '-')}.npy", array)  # type: ignore[arg-type]
        return folder / asked

    return write


def torch_file(value: object, old: bool = False, name: str = "stats.pt") -> Write:
    def write(folder: Path) -> Path:
        torch.save(value, folder / name, _use_new_zipfile_serialization=not old)
        return folder / name

    return write


LAYOUTS = {
    "pytorch-fid": npz(mu=MU, sigma=SIGMA),
    "upper-case suffix": npz("STATS.NPZ", mu=MU, sigma=SIGMA),
    "no suffix": npz("stats", mu=MU, sigma=SIGMA),
    "row vector": npz(mu=MU[None], sigma=SIGMA),
    "column vector": npz(mu=MU[:, None], sigma=SIGMA[None]),
    "ADM": npz(arr_0=PICTURES, mu=MU, sigma=SIGMA, mu_s=np.zeros(7), sigma_s=np.eye(7)),
    "mean and cov": npz(mean=MU, cov=SIGMA),
    "m and s": npz(m=MU, s=SIGMA),
    "upper case": npz(MU=MU, SIGMA=SIGMA),
    "of two programs": npz(mu=MU, cov=SIGMA),
    "with a word before": npz(act_mu=MU, act_sigma=SIGMA),
    "in the plural": npz(mus=MU, sigmas=SIGMA),
    "float32": npz(mu=MU.astype(np.float32), sigma=SIGMA.astype(np.float32)),
    "long double": npz(mu=MU.astype(np.longdouble), sigma=SIGMA.astype(np.longdouble)),
    "big-endian": npz(mu=MU.astype(">f8"), sigma=SIGMA.astype(">f4")),
    "Fortran order": npz(mu=MU, sigma=np.asfortranarray(SIGMA)),
    "folder of mu and sigma": npy("", mu=MU, sigma=SIGMA),
    "folder of mean and cov": npy("", mean=MU, cov=SIGMA),
    "one of a pair": npy("sigma.npy", mu=MU, sigma=SIGMA),
    "one of a named pair": npy("celeba-mean.npy", celeba_mean=MU, celeba_cov=SIGMA),
    "folder of a named pair": npy("", celeba_mean=MU, celeba_cov=SIGMA),
    "pair in upper case": npy("Mu.npy", Mu=MU, Sigma=SIGMA),
    "torch-fidelity under another name": torch_file({"mu": MU, "sigma": SIGMA}, name="stats.safetensors"),
    "torch-fidelity": torch_file({"mu": MU, "sigma": SIGMA}),
    "tensors": torch_file({"mu": torch.from_numpy(MU), "sigma": torch.from_numpy(SIGMA)}),
    "tensors of an old torch": torch_file({"mean": torch.from_numpy(MU), "cov": torch.from_numpy(SIGMA)}, old=True),
    "features as .npy": npy("train.npy", train=FEATURES),
    "score_sde": npz(pool_3=FEATURES, logits=np.zeros((40, 5), np.float32)),
    "features as a tensor": torch_file(torch.from_numpy(FEATURES)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_for_what_it_holds(layout: str, tiny: FeatureExtractor, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path)
    assert holds_statistics(path)
    found = open_statistics(path).statistics(tiny)
    np.testing.assert_allclose(found.mu, MU, atol=1e-6)
    np.testing.assert_allclose(found.sigma, SIGMA, atol=1e-6)
    assert found.n == (40 if "features" in layout or layout == "score_sde" else None)


def test_tables_and_archives_are_images_under_whatever_name(tmp_path: Path) -> None:
    for head in (b"PAR1", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b\x08"):
        (tmp_path / "faces.npz").write_bytes(head + bytes(range(256)))
        assert not holds_statistics(tmp_path / "faces.npz")


@pytest.mark.parametrize("layout", ["pytorch-fid", "one of a pair", "torch-fidelity"])
def test_float64_is_read_to_the_last_bit(layout: str, tiny: FeatureExtractor, tmp_path: Path) -> None:
    found = open_statistics(LAYOUTS[layout](tmp_path)).statistics(tiny)
    assert (found.mu == MU).all() and (found.sigma == SIGMA).all()


def folder_of_pictures(folder: Path) -> Path:
    npy("", mu=MU, sigma=SIGMA)(folder)
    Image.fromarray(PICTURES[0]).save(folder / "1.png")
    return folder


def zip_of_pictures(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "faces.npz", "w") as archive:
        archive.writestr("1.jpg", b"")
    return folder / "faces.npz"


@pytest.mark.parametrize(
    "write",
    [
        npz(arr_0=PICTURES),
        npz(images=PICTURES, mean=np.zeros(3)),
        npy("faces.npy", faces=PICTURES),
        folder_of_pictures,
        zip_of_pictures,
    ],
    ids=["ADM's samples", "images and their mean", ".npy", "folder with statistics beside", "zip called .npz"],
)
def test_images_are_not_taken_for_statistics(write: Write, tmp_path: Path) -> None:
    assert not holds_statistics(write(tmp_path))


def test_images_beside_statistics_are_not_read(tiny: FeatureExtractor, tmp_path: Path) -> None:
    """They are damaged here, so that reading them would raise; nor are they hashed."""
    path = npz(arr_0=np.zeros((5, 64, 64, 3), np.uint8), mu=MU, sigma=SIGMA)(tmp_path)
    whole = open_statistics(path).sha256
    damage(path, 50_000)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() == "arr_0.npy"
    found = open_reference(path, tiny)
    assert (found.sha256, found.statistics.n) == (whole, None)


def damage(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.write_bytes(data)
    return path


def test_features_as_a_reference_have_a_floor(tiny: FeatureExtractor, tmp_path: Path) -> None:
    found = open_reference(LAYOUTS["features as .npy"](tmp_path), tiny)
    floor = floor_of(found, tiny, 10)
    assert floor is not None and floor.reference_n == 30


def sigma_with(row: int, column: int, value: float) -> np.ndarray:
    sigma = SIGMA.copy()
    sigma[row, column] = sigma[column, row] = value
    return sigma


def pickled(folder: Path) -> Path:
    (folder / "stats.pkl").write_bytes(pickle.dumps({"mu": MU, "sigma": SIGMA}))
    return folder / "stats.pkl"


def pickled_npy(folder: Path) -> Path:
    np.save(folder / "stats.npy", np.array({"mu": MU, "sigma": SIGMA}), allow_pickle=True)
    return folder / "stats.npy"


def short_npy(folder: Path) -> Path:
    path = npy("train.npy", train=FEATURES)(folder)
    path.write_bytes(path.read_bytes()[:-9])
    return path


def text(words: str) -> Write:
    def write(folder: Path) -> Path:
        (folder / "stats.npz").write_text(words)
        return folder / "stats.npz"

    return write


def scripted(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "stats.npz", "w") as archive:  # as torch.jit.save names its members
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"archive/{name}", b"")
    return folder / "stats.npz"


def short_npz(folder: Path) -> Path:
    path = npz(mu=MU, sigma=SIGMA)(folder)
    path.write_bytes(path.read_bytes()[:-99])
    return path


def several(folder: Path) -> Path:
    with (folder / "features.npy").open("wb") as file:
        np.save(file, FEATURES[:30])
        np.save(file, FEATURES[30:])
    return folder / "features.npy"


def claiming(shape: tuple[int, ...], zeros: int = 0) -> Write:
    """An ``.npz`` whose sigma's header says ``shape``, with fewer bytes behind it."""

    def write(folder: Path) -> Path:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(npz(mu=MU)(folder), "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("sigma.npy", header.getvalue() + bytes(zeros))
        return folder / "stats.npz"

    return write


def encrypted(folder: Path) -> Path:
    path = npz(mu=MU, sigma=SIGMA)(folder)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\1\2")
    data[6] |= 1
    data[directory + 8] |= 1
    path.write_bytes(data)
    return path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "stats.npz")
    return folder / "stats.npz"


def endless_header(folder: Path) -> Path:
    """A header of version 2 that says it has 4 GB."""
    with zipfile.ZipFile(npz(mu=MU)(folder), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sigma.npy", b"\x93NUMPY\2\0" + b"\xff" * 4 + bytes(1 << 16))
    return folder / "stats.npz"


NONE = {
    "negative variances": (npz(mu=MU, sigma=-np.eye(D)), "negative variances on its diagonal, down to -1"),
    "indefinite": (npz(mu=MU, sigma=sigma_with(0, 1, 7)), "eigenvalues from -.* none below zero"),
    "no variance but a covariance": (npz(mu=MU, sigma=np.eye(D)[::-1] * (1 - np.eye(D))), "eigenvalues from -1 to 1"),
    "not symmetric": (npz(mu=MU, sigma=np.triu(SIGMA)), "not symmetric"),
    "NaN": (npz(mu=MU, sigma=sigma_with(2, 3, np.nan)), "sigma holds NaN"),
    "infinity": (npz(mu=MU, sigma=sigma_with(4, 4, np.inf)), "sigma holds infinity"),
    "too large a mean": (npz(mu=MU + 1e200, sigma=SIGMA), r"mu reaches 1\.0e\+200"),
    "too large a covariance": (npz(mu=MU, sigma=SIGMA * 1e300), "sigma reaches"),
    "beyond float64": (npz(mu=MU, sigma=SIGMA * np.longdouble("1e4000")), "sigma holds infinity"),
    "swapped": (npz(mu=SIGMA, sigma=MU), "swapped"),
    "variances alone": (npz(mu=MU, sigma=np.diag(SIGMA)), "variances alone"),
    "two means": (npz(mu=np.stack([MU, MU]), sigma=SIGMA), "do not belong together"),
    "a covariance of other features": (npz(mu=MU, sigma=SIGMA[:-1, :-1]), "do not belong together"),
    "half precision": (npz(mu=MU, sigma=SIGMA.astype(np.float16)), "three digits"),
    "complex": (npz(mu=MU, sigma=SIGMA.astype(complex)), "not real numbers.*the real part"),
    "text": (npz(mu=MU, sigma=SIGMA.astype(str)), "not real numbers"),
    "n of 1": (npz(mu=MU, sigma=SIGMA, n=1), "n in .* is 1, not a number of images"),
    "n of 2.5": (npz(mu=MU, sigma=SIGMA, n=2.5), "is 2.5, not a number of images"),
    "n in words": (npz(mu=MU, sigma=SIGMA, n="many"), "is many, not a number of images"),
    "another extractor": (npz(mu=MU, sigma=SIGMA, extractor="big"), "its extractor is big, not tiny"),
    "Inception's dims": (npz(mu=np.zeros(64), sigma=np.eye(64)), "add --extractor inception --dims 64"),
    "features of other dims": (npy("a.npy", a=np.zeros((9, 64), np.float32)), "--extractor inception --dims 64"),
    "features with NaN": (npy("a.npy", a=np.where(FEATURES > 2, np.nan, FEATURES)), "hold NaN"),
    "features of one image": (npz(features=FEATURES[:1]), "at least 2 images"),
    "flattened images": (npy("a.npy", a=np.zeros((9, D), np.uint8)), "neither features nor images"),
    "a mean alone": (npy("mu.npy", mu=MU), "a mean without its covariance.*sigma.npy"),
    "a covariance alone": (npy("cov.npy", cov=SIGMA), "a covariance without its mean.*mu.npy"),
    "a covariance whose rounding differs": (npy("cov.npy", cov=SIGMA + np.triu(SIGMA) * 1e-5), "a covariance without"),
    "half a pair": (npz(mean=MU), "lacks cov"),
    "a matrix that is no features": (npz(inverse=SIGMA), rf"lacks mu and sigma: it holds inverse float64 \[{D}, {D}\]"),
    "two pairs": (npz(mu_real=MU, sigma_real=SIGMA, mu_fake=MU, sigma_fake=SIGMA), "several pairs.*mu_fake float64"),
    "a web page": (text("<!DOCTYPE html><html></html>"), "it is an HTML page.*download again"),
    "a pointer": (text("version https://git-lfs.github.com/spec/v1"), "it is a Git LFS pointer.*git lfs pull"),
    "a TorchScript module": (scripted, "is a TorchScript module, not statistics"),
    "StyleGAN's pickle": (pickled, "Python pickle, which facegen does not load.*get_mean_cov.*savez"),
    "a pickle in .npy": (pickled_npy, "pickled Python object"),
    "a pickle in .pt": (torch_file({"mu": np.random.default_rng(0)}), "pickled Python objects"),
    "a state dict": (torch_file({"weight": torch.zeros(3)}), "lacks mu and sigma"),
    "a damaged .npz": (lambda folder: damage(npz(mu=MU, sigma=SIGMA)(folder), 900), "not an .npz file of plain arrays"),
    "a .npz cut short": (short_npz, r"cut short and lacks its end\. Save, download or copy it again"),
    "several arrays in one .npy": (several, r"goes on for \d[\d,]* bytes after its array float\d\d \[30, "),
    "a .npy cut short": (short_npy, "not a whole .npy file"),
    "a claim beyond the file": (claiming((10**9, 10**9)), r"claims an array sigma float64 \[1000000000, 1000000000\]"),
    "a claim of packed zeros": (claiming((16_000, 16_000), zeros=1 << 20), "of 2,048,000,000 bytes, in a file of"),
    "a claim that lies": (claiming((64, 64), zeros=1 << 12), r"sigma has 4,224 bytes, not 32,896"),
    "an encrypted member": (encrypted, "encrypted"),
    "a header without an end": (endless_header, "not an .npz file of plain arrays"),
    "a long word": (npz(mu=MU, sigma=SIGMA, extractor=np.zeros(9)), r"extractor in .* is float64 \[9\], not a word"),
    "an expanded tensor": (torch_file({"mu": torch.zeros(1).expand(10**9), "sigma": torch.zeros(1)}), "lacks mu"),
    "a tensor without values": (torch_file({"mu": torch.zeros(3, device="meta")}), "lacks mu and sigma"),
    "a pipe": (pipe, "not a file of statistics but a pipe"),
    ".npz called .npy": (npz("stats.npy", mu=MU), "lacks sigma"),
}


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_statistics_is_named_for_what_it_is(kind: str, tiny: FeatureExtractor, tmp_path: Path) -> None:
    write, words = NONE[kind]
    path = write(tmp_path)
    assert holds_statistics(path)
    with pytest.raises(InputError, match=words) as caught:
        open_statistics(path).statistics(tiny)
    assert path.name in str(caught.value)


def test_dims_that_the_extractor_offers_are_named_in_the_remedy(tiny: FeatureExtractor, tmp_path: Path) -> None:
    path = npz(mu=np.zeros(64), sigma=np.eye(64))(tmp_path)
    with pytest.raises(InputError, match="If Inception made them, add --dims 64"):
        open_statistics(path).statistics(replace(tiny, name="inception-custom"))


def test_a_pickle_is_not_run(tiny: FeatureExtractor, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    for name, write in (("a.pkl", pickle.dumps), ("b.npy", pickle.dumps)):
        (tmp_path / name).write_bytes(write(Trap()))
        with pytest.raises(InputError):
            open_statistics(tmp_path / name)
    with pytest.raises(InputError):
        open_statistics(torch_file({"mu": Trap()})(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_images_are_asked_for_where_statistics_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stats\.npz holds statistics, and --train needs the images"):
        refuse_statistics(LAYOUTS["pytorch-fid"](tmp_path), "--train")


def test_what_is_hashed_is_what_is_read(tiny: FeatureExtractor, tmp_path: Path) -> None:
    """Another file renamed onto statistics changes nothing of those that are open."""
    for kind in (npz(mu=MU, sigma=SIGMA), npz("acts.npz", features=FEATURES), npy("features.npy", features=FEATURES)):
        path = kind(tmp_path)
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        found = open_statistics(path)
        other = tmp_path / "other"
        other.write_bytes(b"another")
        other.replace(path)
        assert found.sha256 == expected and np.isfinite(found.statistics(tiny).sigma).all()


def test_statistics_that_change_while_they_are_read_are_refused(tmp_path: Path) -> None:
    path = npz(mu=MU, sigma=SIGMA)(tmp_path)
    found = open_statistics(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(InputError, match="it changed while it was read"):
        _ = found.sha256


def test_arrays_beside_statistics_that_are_none_of_ours_are_left_out(tiny: FeatureExtractor, tmp_path: Path) -> None:
    odd = {"sizes": np.full((2, 3), np.nan), "sign": 1, "detail": np.zeros((2, 2)), "detail_n": MU, "losses": MU}
    assert reference_of_statistics(open_statistics(npz(mu=MU, sigma=SIGMA, **odd)(tmp_path)), tiny).properties is None
