"""The files of a container that are neither taken as images nor litter, so that a command can say so."""

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
#: Endings of pictures that may not be read: telephones', the web's, drawings', raw photographs' and films'.
PICTURE_SUFFIXES = frozenset(_PICTURES.split())
#: Endings of archives, of parts of them, and of tables that may hold images.
_IS_ARCHIVE = re.compile(rf"({'|'.join(map(re.escape, _ARCHIVES.split()))}|\.part0*1\.rar)$", re.IGNORECASE)
#: Endings that say what a file is, and that it is neither: these are not looked into.
_OTHER_SUFFIXES = frozenset(_OTHER.split())
#: Annotations that belong to images: CelebA's, and that of StyleGAN's archives.
_COMPANION = re.compile(r"(^|/)((list_\w+|identity_celeba)\.(txt|csv)|dataset\.json)$", re.IGNORECASE)
#: So many files of one ending are looked into, and so many in all.
_LOOKS_PER_SUFFIX, _LOOKS = 200, 1000
#: A longer ending is none: it is a name with a dot in it.
_LONGEST_SUFFIX = 16
#: So many kinds and names stand in a sentence.
_SHOWN = 5
#: So many endings stand in a manifest by themselves.
_LISTED = 50


@dataclass
class PassedOver:
    """What was left out of a container.

    Attributes:
        suffixes: how many files have each suffix, in lower case with its dot; ``""`` for those without one.
        archives: the names of those that are archives.
        pictures: the names of those that hold an image by their first bytes, or by a suffix that Pillow does not read.
        misnamed: those of the pictures that would be taken under another name.
        nowhere: links that do not end at anything, with why; those with an image's name are images that cannot be read.
        loops: links to a folder that holds them.
        incomplete: why more images may belong to these: shards or parts that are not there, an unpacking cut short.
            Whole sentences.
        hidden: files with an image's name that a dot hides, which are litter.
        special: named pipes, sockets and devices with an image's name.
        replaced: how many images another one of the same name, further on in the archive, was taken for.
        twins: how many images were taken whose name another one has too, but for the normal form of Unicode.
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
        """How many files were left out."""
        return sum(self.suffixes.values())

    def add(self, name: str, head: Callable[[], bytes]) -> None:
        """Count the file called ``name``; ``head`` gives its first bytes, none where they cannot be had.

        Annotations that belong to the images are not counted. ``head`` is called where the name does not say what the
        file is, and then for some files of each suffix only.
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
        """Take a file back that was counted: an image's name leads to it, after all."""
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
        """What there is, in words: ``"12 .heic, 3 .txt and 1 without a suffix"``; None for nothing."""
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
        """How many files of each suffix were left out, the most first; the rarest of very many are ``"others"``.

        Images that a dot hides are ``"hidden"``.
        """
        kinds = self._kinds()
        listed = dict(kinds[:_LISTED])
        rest = sum(count for _, count in kinds[_LISTED:])
        return listed | ({"others": rest} if rest else {}) | ({"hidden": len(self.hidden)} if self.hidden else {})

    def say_remark(self, path: Path, taken: int) -> None:
        """What was left out of ``path``, of which ``taken`` images are taken, where that is only texts and the like."""
        if self.suffixes and not self.pictures and not self.archives:
            console.info(f"Beside {_images(taken)} {printable(str(path))} holds {self.inventory()}; passed over.")

    def warnings(self, path: Path, taken: int) -> tuple[str, ...]:
        """What somebody may miss of ``path``, of which ``taken`` images are taken: whole sentences."""
        return tuple(self._warnings(printable(str(path)), taken))

    def _warnings(self, path: str, taken: int) -> Iterator[str]:
        if self.pictures or self.archives:
            total = taken + self.total
            found = f"Of {total:,} files in {path} {taken:,} {'is' if taken == 1 else 'are'} taken as images"
            yield " ".join([f"{found}; left out: {self.inventory()}.", *self.remedies()])
        yield from self.incomplete
        yield from self.links(path)
        if self.replaced:
            others = "is left out, as a later one has its name" if self.replaced == 1 else "are left out, as later ones"
            names = "" if self.replaced == 1 else " have their names"
            yield f"{_images(self.replaced)} in {path} {others}{names}: an archive that is unpacked keeps the last."
        if self.twins:
            yield (
                f"{_images(self.twins)} in {path} may be there twice: their names differ from others in the normal "
                "form of Unicode alone, as where a folder was copied from macOS and from elsewhere. All are taken."
            )

    def links(self, path: str) -> Iterator[str]:
        """What is no image although it looks like one: sentences."""
        if self.hidden:
            are = "is hidden, as its name begins" if len(self.hidden) == 1 else "are hidden, as their names begin"
            yield f"{_images(len(self.hidden))} in {path} {are} with a dot, and left out: {_some(self.hidden)}."
            if any(name.lower().endswith(PLACEHOLDER) for name in self.hidden):
                yield f"iCloud took those that end in {PLACEHOLDER} off this disk: download them in the Finder."
        if self.special:
            yield f"Named pipes, sockets or devices, left out of {path}: {_some(self.special)}."
        if self.nowhere:
            yield f"Links that lead nowhere, left out of {path}: {_some(self.nowhere)}."
        if self.loops:
            yield f"Links to a folder that holds them, not followed in {path}: {_some(self.loops)}."

    def remedies(self) -> Iterator[str]:
        """What to do so that pictures and archives are taken: sentences."""
        misnamed = {_counted_suffix(name): name for name in reversed(self.misnamed)}
        convert = sorted({_counted_suffix(name) for name in self.pictures} - misnamed.keys())
        if convert:
            yield f"Convert the {_joined(_suffixes(convert))} to PNG or JPEG, to have them taken."
        if misnamed:
            example = printable(self.misnamed[0])
            kinds = _joined(_suffixes(sorted(misnamed)))
            yield f"Let the names of the {kinds} end in .jpg or .png: {example}, for one, is an image by its content."
        if self.archives:
            yield f"Name an archive itself, or unpack it, to have what it holds: {_some(self.archives)}."


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
