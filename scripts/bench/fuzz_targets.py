"""The targets of fuzzing: each parser of facegen, with whole files to begin from, made by facegen's own writers.

A target's check hands bytes to its parser, and uses the result as a stage does. It may only end in the target's
expected exceptions.
"""

from __future__ import annotations

import bz2
import csv
import importlib.util
import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_mutations as mutations
import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image, ImageCms

from facegen.cli import main
from facegen.data.dataset import IMAGES, INDEX, MANIFEST, FaceDataset, new_dataset
from facegen.data.decode import Unreadable, decode
from facegen.data.images import open_images
from facegen.data.origin import origin_of
from facegen.data.partition import parse_partition
from facegen.data.rgb import PreparedRgb, pytorch_fid_rgb
from facegen.errors import FacegenError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.file_kinds import HEAD, kind_of, kind_of_file
from facegen.files import Damaged, fields_sha256, read_arrays, read_sealed_json, write_sealed_json
from facegen.gan.generators import build_generator
from facegen.scoring.score import Score
from facegen.scoring.statistics_layouts import holds_statistics, open_statistics
from facegen.submission.decode import decode_image
from facegen.submission.reader import read_submission
from facegen.submission.rules import Limits, Rejection
from facegen.submission.writer import write_tarball
from facegen.training.checkpoint import load_checkpoint, save_checkpoint
from facegen.training.log import read_log
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict, recipe_names
from facegen.training.saved_generator import load_generator, save_generator
from facegen.weights.state_dicts import read_state_dict

#: Submissions of two images, read by the same rules as those of a thousand.
LIMITS = Limits(count=2, bytes=4 << 20, members=20, member_bytes=1 << 20)
DIMS = 3
EXTRACTOR = FeatureExtractor("tiny", "0" * 64, DIMS, None, torch.device("cpu"))
#: Commands that stop soon because they get no input. The values of a configuration are checked before that.
COMMANDS = (
    ("inspect", "--list"),
    ("inspect", "lenet5", "--json"),
    ("pack", "nowhere", "s1"),
    ("prepare", "nowhere", "out"),
    ("fid", "nowhere", "--reference", "nowhere"),
    ("sample", "nowhere", "out"),
    ("grade", "nowhere", "--reference", "nowhere"),
    ("train", "nowhere", "out"),
    ("interpolate", "nowhere", "out.png"),
    ("watch", "nowhere"),
    ("timelapse", "nowhere", "out.gif"),
)
RUNNER = CliRunner()


class Contradiction(Exception):
    """The result of a parser contradicts itself."""


@dataclass(frozen=True)
class Target:
    """A parser to fuzz.

    Attributes:
        name: Its name for ``--target``.
        seeds: Makes whole files to begin from. It may use a folder, in which the check finds files that go with them.
        check: Reads the bytes, in that folder.
        mutate: Alters a seed.
        repair: Corrects checksums and the like. Most inputs are repaired.
        expected: The exceptions in which a check may end.
    """

    name: str
    seeds: Callable[[Path], list[bytes]]
    check: Callable[[bytes, Path], object]
    mutate: mutations.Mutation
    repair: Callable[[bytes], bytes] = bytes
    expected: tuple[type[BaseException], ...] = (FacegenError,)


def pixels(size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a smooth image, uint8 [size, size, 3], that compresses well."""
    rows, columns = np.mgrid[0:size, 0:size]
    return np.stack([rows * 3 + seed, columns * 2, rows + columns], axis=-1).astype(np.uint8)


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    (Image.fromarray(pixels()) if image is None else image).save(buffer, format, **options)
    return buffer.getvalue()


def picture_files() -> list[bytes]:
    """Return images in every format of photographs, and the modes and metadata that are handled separately."""
    rgb = Image.fromarray(pixels(24))
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [rgb, rgb.transpose(Image.Transpose.ROTATE_90)]
    deep = Image.fromarray((np.arange(576, dtype=np.uint16) * 100).reshape(24, 24))
    return [
        encoded("PNG", rgb),
        encoded("PNG", rgb.convert("RGBA")),
        encoded("PNG", rgb.convert("P"), transparency=3),
        encoded("PNG", deep),
        encoded("PNG", rgb, save_all=True, append_images=frames[1:]),
        encoded("JPEG", rgb, exif=exif, icc_profile=profile, comment=b"made by facegen"),
        encoded("JPEG", rgb.convert("L"), progressive=True),
        encoded("JPEG", rgb.convert("CMYK")),
        encoded("WEBP", rgb, exif=exif),
        encoded("WEBP", rgb, save_all=True, append_images=frames[1:], lossless=True),
        encoded("BMP", rgb),
        encoded("TIFF", rgb, compression="tiff_lzw"),
        encoded("TIFF", deep),
        encoded("GIF", rgb, save_all=True, append_images=frames[1:]),
        encoded("PPM", rgb),
        encoded("ICO", rgb, sizes=[(16, 16)]),
        encoded("TGA", rgb, compression="tga_rle"),
        encoded("JPEG2000", rgb),
        encoded("PCX", rgb),
        encoded("DDS", rgb),
    ]


def _is_decoded(data: bytes, folder: Path) -> None:
    for to_rgb in (PreparedRgb(), PreparedRgb(upright=True, srgb=True), pytorch_fid_rgb):
        image = decode(data, to_rgb).image
        if image.mode != "RGB":
            raise Contradiction(f"the mode is {image.mode}")
        np.asarray(image)
    origin_of(data)


def _is_submitted(name: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        image = decode_image(data, name, LIMITS)
        if image.shape != (64, 64, 3) or image.dtype != np.uint8:
            raise Contradiction(f"it is {image.dtype} {image.shape}")
        origin_of(data)

    return check


def _submission(folder: Path) -> list[bytes]:
    """Return the tar of a submission, and one with what systems add: a folder, litter, extended headers, a JPEG."""
    names = []
    for number in range(2):
        names.append(folder / f"{number}.png")
        names[-1].write_bytes(encoded("PNG", Image.fromarray(pixels(seed=number))))
    write_tarball({path.name: path for path in names}, folder / "s.tar.gz")
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as tar:
        _add(tar, "faces", b"", tarfile.DIRTYPE)
        _add(tar, "faces/._1.png", b"x")
        _add(tar, "faces/é" + "x" * 120 + ".png", names[0].read_bytes())
        _add(tar, "faces/2.jpg", encoded("JPEG"))
    gnu = io.BytesIO()
    with tarfile.open(fileobj=gnu, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number, path in enumerate(names):
            _add(tar, f"{'x' * 110}{number}.png", path.read_bytes())
    with tarfile.open(folder / "s.tar.gz") as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    own = io.BytesIO()
    with tarfile.open(fileobj=own, mode="w") as tar:
        for name, data in members:
            _add(tar, name, data)
    return [own.getvalue(), plain.getvalue(), gnu.getvalue()]


def _add(tar: tarfile.TarFile, name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.type = len(data), kind
    tar.addfile(header, io.BytesIO(data))


def _is_graded(data: bytes, folder: Path) -> None:
    path = folder / "s1.tar.gz"
    path.write_bytes(data)
    submission = read_submission(path, limits=LIMITS)
    if submission.images.shape != (2, 64, 64, 3) or len(submission.names) != 2:
        raise Contradiction(f"it holds {submission.images.shape}")


def _is_graded_tar(data: bytes, folder: Path) -> None:
    _is_graded(mutations.gzipped(data), folder)


def _tars(folder: Path) -> list[bytes]:
    links = io.BytesIO()
    with tarfile.open(fileobj=links, mode="w") as tar:
        _add(tar, "a/1.png", encoded("PNG", Image.fromarray(pixels(8))))
        link = tarfile.TarInfo("a/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "1.png"
        tar.addfile(link)
        hard = tarfile.TarInfo("3.png")
        hard.type, hard.linkname = tarfile.LNKTYPE, "a/1.png"
        tar.addfile(hard)
        _add(tar, "list_eval_partition.txt", b"1.png 0\n2.png 1\n")
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        _add(tar, "images.zip", _zips(folder)[0])
    return [links.getvalue(), inner.getvalue(), _submission(folder)[1]]


def _zips(folder: Path) -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for number in range(2):
                archive.writestr(f"faces/{number}.png", encoded("PNG", Image.fromarray(pixels(8, number))))
            link = zipfile.ZipInfo("faces/2.png")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "1.png")
            archive.writestr("__MACOSX/._x", b"x")
        found.append(buffer.getvalue())
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("images.tar", _with_one_image())
    return [*found, outer.getvalue()]


def _with_one_image() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "1.png", encoded("PNG", Image.fromarray(pixels(8))))
    return buffer.getvalue()


def _are_images(suffix: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        path = folder / f"images{suffix}"
        path.write_bytes(data)
        images = open_images(path)
        for _, image in images:
            if image.dtype != np.uint8 or image.ndim != 3:
                raise Contradiction(f"it is {image.dtype} {image.shape}")
        assert len(images.sha256) == 64

    return check


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _hdf5(folder: Path) -> list[bytes]:
    import h5py

    path = folder / "seed.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.stack([pixels(8), pixels(8, 1)])
    with h5py.File(folder / "other.h5", "w") as file:
        cells = [np.frombuffer(encoded("PNG", Image.fromarray(pixels(8))), np.uint8)]
        file.create_dataset("jpg", (1,), h5py.vlen_dtype(np.uint8))[0] = cells[0]
    return [path.read_bytes(), (folder / "other.h5").read_bytes()]


def _parquet(folder: Path) -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    cells = [
        {"bytes": encoded("PNG", Image.fromarray(pixels(8, number))), "path": f"{number}.png"} for number in (0, 1)
    ]
    parquet.write_table(pa.table({"image": cells, "label": [0, 1]}), folder / "seed.parquet")
    return [(folder / "seed.parquet").read_bytes()]


def _statistics(folder: Path) -> list[bytes]:
    mu, sigma = np.arange(DIMS) * 0.5, np.eye(DIMS)
    torch.save({"mu": torch.tensor(mu), "sigma": torch.tensor(sigma)}, folder / "seed.pt")
    text = {"extractor": np.array("tiny"), "weights_sha256": np.array("0" * 64)}
    return [
        _npz(mu=mu, sigma=sigma, n=np.array(10), **text),
        _npz(mu=mu, sigma=sigma),
        _npz(pool_3=np.ones((5, DIMS), np.float32)),
        _npy(np.linspace(0, 1, 5 * DIMS, dtype=np.float32).reshape(5, DIMS)),
        (folder / "seed.pt").read_bytes(),
    ]


def _are_statistics(data: bytes, folder: Path) -> None:
    path = folder / "reference.npz"
    path.write_bytes(data)
    holds_statistics(path)
    found = open_statistics(path)
    statistics = found.statistics(EXTRACTOR)
    if statistics.mu.shape != (DIMS,) or not np.isfinite(statistics.sigma).all():
        raise Contradiction("the statistics are no numbers")
    found.features(np.arange(2))
    assert len(found.sha256) == 64 and found.dims > 0


@cache
def _recipe() -> Recipe:
    return load_recipe("quick").with_overrides({"generator_width": 2, "latent_dim": 4, "discriminator_width": 2})


def _generator(folder: Path) -> list[bytes]:
    recipe = _recipe()
    network = build_generator(recipe.generator, latent_dim=recipe.latent_dim, width=recipe.generator_width, size=16)
    path = folder / "seed.safetensors"
    save_generator(path, network, recipe, size=16, dataset="0" * 64, images_seen=1000, score=None)
    return [path.read_bytes()]


def _is_generator(data: bytes, folder: Path) -> None:
    path = folder / "g.safetensors"
    path.write_bytes(data)
    load_generator(path)


def _checkpoint(folder: Path) -> list[bytes]:
    state = {"images_seen": 1000, "recipe": _recipe().to_dict(), "trainer": {"g": {"w": torch.ones(3)}, "step": 4}}
    of_the_run = {"dataset_sha256": "", "seconds": 0.0, "best": None}
    return [save_checkpoint(folder, {**state, **of_the_run}).read_bytes()]


def _is_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "checkpoints" / "kimg-000002.000.pt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    load_checkpoint(path)


def _state_dicts(folder: Path) -> list[bytes]:
    tensors = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2)}
    torch.save(tensors, folder / "new.pt")
    torch.save(tensors, folder / "old.pt", _use_new_zipfile_serialization=False)
    return [(folder / "new.pt").read_bytes(), (folder / "old.pt").read_bytes(), _generator(folder)[0]]


def _are_weights(data: bytes, folder: Path) -> None:
    path = folder / "weights.pth"
    path.write_bytes(data)
    read_state_dict(path)


def _recipes(folder: Path) -> list[bytes]:
    return [load_recipe(name).to_toml().encode() for name in recipe_names()]


def _is_recipe(data: bytes, folder: Path) -> None:
    path = folder / "recipe.toml"
    path.write_bytes(data)
    recipe = load_recipe(path)
    recipe.at("generator_lr", 500)
    path.write_text(recipe.to_toml(), encoding="utf-8")
    if load_recipe(path) != recipe:
        raise Contradiction("the recipe reads back as another")


def _is_recipe_of_json(data: bytes, folder: Path) -> None:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        json.dumps(recipe_from_dict(values, "x").to_dict(), allow_nan=False)


def _configs(folder: Path) -> list[bytes]:
    return [
        b'[prepare]\nsize = 64\nlimit = 10\nworkers = 1\nsplit = "train"\ncrop = 148\nstrict = true\npreview = "p"\n',
        b'[train]\nrecipe = "quick"\nkimg = 1.5\nbatch = 8\nseed = 1\ndevice = "cpu"\nresume = true\nfid-every = 10\n',
        b'[sample]\nn = 10\nseed = 1\ntruncation = 0.7\nbatch = 4\n[pack]\nout = "packed"\n[inspect]\nlist = true\n',
        b'[fid]\nreference = "r.npz"\ndims = 2048\ntarget = 20.0\nall-metrics = true\njson = true\n[grade]\n'
        b'force = true\nreference = "r"\nout = "g"\n[inspect]\ninput = [3, 64, 64]\nbatch = 1\nwidth = 64\n',
    ]


def _is_config(data: bytes, folder: Path) -> None:
    (folder / "config.toml").write_bytes(data)
    words = COMMANDS[sum(data) % len(COMMANDS)]
    outcome = RUNNER.invoke(main, ["--config", str(folder / "config.toml"), *words], prog_name="facegen")
    if outcome.exit_code not in (0, 1, 2):
        said = outcome.stderr.strip().splitlines()[-1:]
        raise Contradiction(f"exit code {outcome.exit_code} of {words[0]}: {''.join(said)[:150]}")


def _dataset(folder: Path) -> Path:
    path = folder / "dataset"
    if not path.exists():
        with new_dataset(path, 4) as writer:
            names = ["1.png", 'a "b", c.png', "é.png"]
            writer.append(np.stack([pixels(4, n) for n in range(3)]), names, ["train", "valid", "test"])
            writer.finish({"source": {"kind": "folder", "path": "x"}, "crop": 178, "skipped": []})
    return path


def _file_of_dataset(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(_dataset(folder) / name).read_bytes()]


def _is_dataset(name: str) -> Callable[[bytes, Path], None]:
    def check(data: bytes, folder: Path) -> None:
        (_dataset(folder) / name).write_bytes(data)
        dataset = FaceDataset.open(folder / "dataset")
        images = open_images(folder / "dataset")
        assert len(dataset.sha256) == 64
        assert dataset.images.shape[1:] == (4, 4, 3)
        list(images)
        assert images.crop is None or images.crop
        assert len(images.splits) == len(dataset) and len(dataset.training_rows())

    return check


def _resealed(data: bytes) -> bytes:
    """Return a manifest whose hash matches its own fields again."""
    try:
        fields = dict(json.loads(data))
        fields["manifest_sha256"] = fields_sha256({k: v for k, v in fields.items() if k != "manifest_sha256"})
    except (ValueError, TypeError, RecursionError):
        return data
    return json.dumps(fields).encode()


def _partitions(folder: Path) -> list[bytes]:
    table = io.StringIO()
    csv.writer(table).writerows([["image_id", "partition"], ["000001.jpg", 0], ["000002.jpg", 1], ["a, b.jpg", 2]])
    plain = b"000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"
    return [plain, table.getvalue().encode(), plain.decode().encode("utf-16"), b"0\t1.jpg\ttrain\n1\t2.jpg\tval\n"]


def _is_partition(data: bytes, folder: Path) -> None:
    found = parse_partition(data, "the partition").match(["000001.jpg", "x/000002.png", "3.jpg"])
    assert found.known <= 3


def _logs(folder: Path) -> list[bytes]:
    tick = {"kimg": 1.0, "loss_d": 0.5, "loss_g": None, "fid": 20.0, "images_per_sec": 100}
    return [b"".join(json.dumps({**tick, "kimg": k}).encode() + b"\n" for k in range(1, 4))]


def _is_log(data: bytes, folder: Path) -> None:
    (folder / "log.jsonl").write_bytes(data)
    for tick in read_log(folder):
        float(tick["kimg"])


def _sealed(folder: Path) -> list[bytes]:
    write_sealed_json(folder / "sealed.json", {"a": [1, 2], "b": {"c": "d"}, "x": 0.5})
    return [(folder / "sealed.json").read_bytes()]


def _is_sealed(data: bytes, folder: Path) -> None:
    (folder / "sealed.json").write_bytes(data)
    read_sealed_json(folder / "sealed.json")


def _scores(folder: Path) -> list[bytes]:
    score = Score(
        "fid", 20.5, 1000, 2048, "tiny", "0" * 64, 5000, "0" * 64, 20.0, False, 3.5, 0.1, (3.4, 3.6), (19.0, 22.0)
    )
    return [json.dumps(replace(score, warnings=("x",), metrics={"kid": 0.1}).to_json()).encode()]


def _is_score(data: bytes, folder: Path) -> None:
    Score.from_json(json.loads(data))


def _is_cache(data: bytes, folder: Path) -> None:
    (folder / "cache.npz").write_bytes(data)
    read_arrays(folder / "cache.npz")


def _heads(folder: Path) -> list[bytes]:
    texts = [
        b"<!doctype html><p>",
        b'{"error": "x"}',
        b"version https://git-lfs.github.com/spec/v1\n",
        b"d8:announce3:",
    ]
    kinds = [
        struct.pack("<Q", 64) + b'{"a"',
        b"\x80\4\x95",
        b"\x08\x07\x12\x07pytorch",
        b"x" * 257 + b"ustar",
        b"\0" * 600,
    ]
    return [*texts, *kinds, *_zips(folder), *_state_dicts(folder), *picture_files()]


def _is_kind(data: bytes, folder: Path) -> None:
    kind_of(data[:HEAD])
    (folder / "file.bin").write_bytes(data)
    kind_of_file(folder / "file.bin")


_PNG_OR_BYTES = mutations.one_of(mutations.in_pixels, mutations.in_pixels, mutations.of_bytes)
_OF_ZIP = mutations.one_of(
    mutations.of_members(_PNG_OR_BYTES),
    mutations.of_fields(b"PK\1\2", b"PK\3\4", reach=46),
    mutations.of_fields(b"PK\5\6", reach=22),
    mutations.of_bytes,
)
_OF_ARRAYS = mutations.one_of(
    mutations.of_npy,
    mutations.of_members(mutations.of_npy),
    mutations.of_fields(b"PK\1\2", b"PK\3\4"),
    mutations.of_bytes,
)
_OF_TORCH = mutations.one_of(
    mutations.of_safetensors,
    mutations.of_members(mutations.of_bytes),
    mutations.of_fields(b"PK\1\2"),
    mutations.of_bytes,
)

_ALL = (
    Target("submission_tar", _submission, _is_graded_tar, mutations.of_tar, mutations.with_tar_sums, (Rejection,)),
    Target(
        "submission_gzip",
        lambda folder: [mutations.gzipped(tar) + tail for tar in _submission(folder) for tail in (b"", b"\0" * 600)],
        _is_graded,
        mutations.of_bytes,
        expected=(Rejection,),
    ),
    Target(
        "submission_png",
        lambda folder: [encoded("PNG"), *picture_files()[:5]],
        _is_submitted("1.png"),
        mutations.in_pixels,
        expected=(Rejection,),
    ),
    Target(
        "submission_jpeg",
        lambda folder: [encoded("JPEG"), encoded("JPEG", progressive=True), *picture_files()[5:8]],
        _is_submitted("1.jpg"),
        mutations.one_of(mutations.of_bytes, mutations.of_fields(b"\xff", reach=12)),
        expected=(Rejection,),
    ),
    Target("picture", lambda folder: picture_files(), _is_decoded, _PNG_OR_BYTES, expected=(Unreadable,)),
    Target("zip", _zips, _are_images(".zip"), _OF_ZIP),
    Target("tar", _tars, _are_images(".tar"), mutations.of_tar, mutations.with_tar_sums),
    Target(
        "compressed_tar",
        lambda folder: [way(_with_one_image()) for way in (mutations.gzipped, bz2.compress, lzma.compress)],
        _are_images(".tar.gz"),
        mutations.of_bytes,
    ),
    Target(
        "arrays",
        lambda folder: [_npy(np.stack([pixels(8)] * 2)), _npz(images=np.stack([pixels(8)] * 2), labels=np.arange(2))],
        _are_images(".npz"),
        _OF_ARRAYS,
    ),
    Target("hdf5", _hdf5, _are_images(".h5"), mutations.of_bytes),
    Target("parquet", _parquet, _are_images(".parquet"), mutations.of_bytes),
    Target("statistics", _statistics, _are_statistics, _OF_ARRAYS),
    Target("generator", _generator, _is_generator, mutations.of_safetensors),
    Target("checkpoint", _checkpoint, _is_checkpoint, _OF_TORCH),
    Target("state_dict", _state_dicts, _are_weights, _OF_TORCH),
    Target("recipe", _recipes, _is_recipe, mutations.of_toml),
    Target(
        "recipe_json", lambda folder: [json.dumps(_recipe().to_dict()).encode()], _is_recipe_of_json, mutations.of_json
    ),
    Target("config", _configs, _is_config, mutations.of_toml),
    Target("manifest", _file_of_dataset(MANIFEST), _is_dataset(MANIFEST), mutations.of_json, _resealed),
    Target("index", _file_of_dataset(INDEX), _is_dataset(INDEX), mutations.of_table),
    Target("images_npy", _file_of_dataset(IMAGES), _is_dataset(IMAGES), mutations.of_npy),
    Target("partition", _partitions, _is_partition, mutations.of_table),
    Target("log", _logs, _is_log, mutations.one_of(mutations.of_json, mutations.of_table)),
    Target("sealed", _sealed, _is_sealed, mutations.of_json, expected=(Damaged,)),
    Target("score", _scores, _is_score, mutations.of_json, expected=(ValueError, RecursionError)),
    Target("cache", lambda folder: _statistics(folder)[:2], _is_cache, _OF_ARRAYS, expected=(Damaged,)),
    Target("kind", _heads, _is_kind, mutations.of_bytes),
)
#: Targets that need a package that may not be installed.
_NEEDS = {"hdf5": "h5py", "parquet": "pyarrow"}
TARGETS = {
    target.name: target
    for target in _ALL
    if target.name not in _NEEDS or importlib.util.find_spec(_NEEDS[target.name]) is not None
}
