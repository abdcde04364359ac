"""Record the files of a container that are neither read as images nor litter, so that a command can report them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from facegen import console
from facegen.data.decode import suffixes
from facegen.data.image_names import PLACEHOLDER, suffix_of
from facegen.file_kinds import kind_of
from facegen.printable import printable

_PICTURES = (
    ".heic .heif .hif .avif .jxl .webp .jp2 .j2k .jpx .tif .tiff .svg .svgz .eps .ai .xcf .kra .exr .hdr .dng .cr2 "
    ".cr3 .crw .nef .nrw .arw .sr2 .srf .raf .orf .rw2 .pef .srw .3fr .iiq .x3f .rwl .kdc .dcr .mrw .erf .raw "
    ".tga .ico .icns .psd .pcx .dds .qoi .sgi .fits .fit .xpm .xbm .ras "
    ".mp4 .m4v .mov .avi .mkv .webm .wmv .flv .mpg .mpeg .3gp .mts"
)
_ARCHIVES = (
    ".zip .z01 .7z .rar .tar .tgz .tbz2 .txz .tzst .tar.gz .tar.bz2 .tar.xz .tar.zst .tar.lz4 .zip.001 .7z.001 "
    ".tar.001 .parquet .arrow .h5 .hdf5 .tfrecord .tfrecords .mdb .lmdb"
)
_OTHER = (
    ".txt .md .rst .csv .tsv .json .jsonl .xml .yml .yaml .toml .ini .cfg .log .html .htm .css .js .py .ipynb .sh .bat "
    ".pdf .doc .docx .odt .xls .xlsx .ods .ppt .pptx .odp .rtf .tex .bib .epub .npy .npz .mat .pkl .pickle .pt .pth "
    ".ckpt .safetensors .onnx .pb .keras .db .sqlite .lnk .url .webloc .torrent .sha256 .md5 .lock .xmp .aae .jar .whl "
    ".apk .exe .dll .so .dylib .mp3 .wav .m4a .gz .bz2 .xz .zst"
)
#: Endings of pictures that may not be readable: of phones, the web, drawings, raw photographs and films.
PICTURE_SUFFIXES = frozenset(_PICTURES.split())
#: Endings of archives, of parts of archives, and of tables that may hold images.
_IS_ARCHIVE = re.compile(rf"({'|'.join(map(re.escape, _ARCHIVES.split()))}|\.part0*1\.rar)$", re.IGNORECASE)
#: Endings of files that are certainly neither. Their contents are not examined.
_OTHER_SUFFIXES = frozenset(_OTHER.split())
#: Annotations that belong to images: CelebA's, and the one in StyleGAN's archives.
_COMPANION = re.compile(r"(^|/)((list_\w+|identity_celeba)\.(txt|csv)|dataset\.json)$", re.IGNORECASE)
#: Maximum number of files to examine, per ending and in total.
_LOOKS_PER_SUFFIX, _LOOKS = 200, 1000
#: Maximum length of an ending. A longer one is part of a name with a dot.
_LONGEST_SUFFIX = 16
#: Maximum number of endings and of names in a sentence.
_SHOWN = 5
#: Maximum number of endings that a manifest lists by themselves.
_LISTED = 50


@dataclass
class PassedOver:
    """The files that were left out of a container.

    Attributes:
        suffixes: Number of files per suffix, in lower case with its dot; ``""`` for files without one.
        archives: Names of those that are archives.
        pictures: Names of those that hold an image by their first bytes, or by a suffix that Pillow does not read.
        misnamed: Names of those pictures that would be read under another name.
        nowhere: Links that lead nowhere, with the reason. Links with an image's name count as unreadable images
            instead.
        loops: Links to a folder that holds them.
        incomplete: Reasons why images may be missing: absent shards or parts, or an unpacking that stopped early.
            Each is a sentence.
        hidden: Files with an image's name that a leading dot hides; they are litter.
        special: Named pipes, sockets and devices with an image's name.
        replaced: Number of images that a later entry of the same name in the archive replaced.
        twins: Number of images whose name equals another one except for its Unicode normal form. All of them are read.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    archives: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    nowhere: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    replaced: int = 0
    twins: int = 0
    _looks: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Number of files that were left out."""
        return sum(self.suffixes.values())

    def add(self, name: str, head: Callable[[], bytes]) -> None:
        """Count the file called ``name``.

        Annotations that belong to the images are not counted.

        Args:
            head: A function that returns the file's first bytes, or none if they cannot be read. It is called if the
                name does not say what the file is, and only for some files of each suffix.
        """
        if _COMPANION.search(name):
            return
        suffix = _counted_suffix(name)
        self.suffixes[suffix] += 1
        if suffix in PICTURE_SUFFIXES - suffixes():
            self.pictures.append(name)
        elif _IS_ARCHIVE.search(name):
            self.archives.append(name)
        elif suffix not in _OTHER_SUFFIXES and self._looks[suffix] < _LOOKS_PER_SUFFIX and self._looks.total() < _LOOKS:
            self._looks[suffix] += 1
            self._look(name, head())

    def drop(self, name: str) -> None:
        """Uncount a file, because an image's name turned out to lead to it."""
        if _COMPANION.search(name):
            return
        suffix = _counted_suffix(name)
        self.suffixes[suffix] -= 1
        if not self.suffixes[suffix]:
            del self.suffixes[suffix]
        for names in (self.archives, self.pictures, self.misnamed):
            if name in names:
                names.remove(name)

    def _look(self, name: str, head: bytes) -> None:
        kind = kind_of(head)
        if kind is None:
            return
        if kind.family == "image":
            self.pictures.append(name)
            if kind.remedy is None:
                self.misnamed.append(name)
        elif kind.family in ("archive", "arrays"):
            self.archives.append(name)

    def inventory(self) -> str | None:
        """Return the files in words: ``"12 .heic, 3 .txt and 1 without a suffix"``; None if there are none."""
        if not self.suffixes:
            return None
        kinds = self._kinds()
        separate = kinds if len(kinds) == _SHOWN + 1 else kinds[:_SHOWN]
        shown = [f"{count:,} {printable(suffix) or 'without a suffix'}" for suffix, count in separate]
        if rest := kinds[len(separate) :]:
            shown.append(f"{sum(count for _, count in rest):,} others")
        return _joined(shown)

    def _kinds(self) -> list[tuple[str, int]]:
        return sorted(self.suffixes.items(), key=lambda kind: (-kind[1], not kind[0], kind[0]))

    def to_json(self) -> dict[str, int]:
        """Return the number of files per suffix, most frequent first, with rare suffixes summed as ``"others"``.

        Images that a leading dot hides are counted as ``"hidden"``.
        """
        kinds = self._kinds()
        listed = dict(kinds[:_LISTED])
        rest = sum(count for _, count in kinds[_LISTED:])
        return listed | ({"others": rest} if rest else {}) | ({"hidden": len(self.hidden)} if self.hidden else {})

    def say_remark(self, path: Path, taken: int) -> None:
        """Say what was left out of ``path`` beside its ``taken`` images, if it is only texts and the like."""
        if self.suffixes and not self.pictures and not self.archives:
            console.info(
                f"Beside {_images(taken)}, {printable(str(path))} holds {self.inventory()}, which are left out."
            )

    def warnings(self, path: Path, taken: int) -> tuple[str, ...]:
        """Return sentences about what may be missed of ``path``, from which ``taken`` images are read."""
        return tuple(self._warnings(printable(str(path)), taken))

    def _warnings(self, path: str, taken: int) -> Iterator[str]:
        if self.pictures or self.archives:
            total = taken + self.total
            found = f"{taken:,} of {total:,} files in {path} {'is' if taken == 1 else 'are'} read as images"
            yield " ".join([f"{found}. Left out: {self.inventory()}.", *self.remedies()])
        yield from self.incomplete
        yield from self.links(path)
        if self.replaced:
            others = (
                "is left out, because a later one has the same name"
                if self.replaced == 1
                else "are left out, because later ones have the same names"
            )
            yield f"{_images(self.replaced)} in {path} {others}: an archive that is unpacked keeps the last."
        if self.twins:
            yield (
                f"{_images(self.twins)} in {path} may be duplicates: their names differ from others only in the "
                "Unicode normal form, as when a folder was copied from macOS and from another system. All are read."
            )

    def links(self, path: str) -> Iterator[str]:
        """Yield sentences about files that look like images and are not."""
        if self.hidden:
            are = (
                "is left out because its name begins"
                if len(self.hidden) == 1
                else "are left out because their names begin"
            )
            yield f"{_images(len(self.hidden))} in {path} {are} with a dot: {_some(self.hidden)}."
            if any(name.lower().endswith(PLACEHOLDER) for name in self.hidden):
                yield f"iCloud removed the files ending in {PLACEHOLDER} from this disk. Download them in the Finder."
        if self.special:
            yield f"Named pipes, sockets and devices in {path} are left out: {_some(self.special)}."
        if self.nowhere:
            yield f"Links in {path} that lead nowhere are left out: {_some(self.nowhere)}."
        if self.loops:
            yield f"Links in {path} to a folder that holds them are not followed: {_some(self.loops)}."

    def remedies(self) -> Iterator[str]:
        """Yield sentences that say how to get pictures and archives read."""
        misnamed = {_counted_suffix(name): name for name in reversed(self.misnamed)}
        convert = sorted({_counted_suffix(name) for name in self.pictures} - misnamed.keys())
        if convert:
            yield f"To include the {_joined(_suffixes(convert))}, convert them to PNG or JPEG."
        if misnamed:
            example = printable(self.misnamed[0])
            kinds = _joined(_suffixes(sorted(misnamed)))
            yield f"To include the {kinds}, end their names in .jpg or .png: {example}, for example, holds an image."
        if self.archives:
            yield f"To read an archive, name it or unpack it: {_some(self.archives)}."


def _counted_suffix(name: str) -> str:
    suffix = suffix_of(name)
    return suffix if len(suffix) <= _LONGEST_SUFFIX else ""


def _suffixes(kinds: Iterable[str]) -> list[str]:
    return [printable(suffix) or "files without a suffix" for suffix in kinds]


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _some(names: list[str]) -> str:
    shown = [printable(name) for name in names[:_SHOWN]]
    return _joined([*shown, f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else shown)


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
