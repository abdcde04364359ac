"""Rehearse an autograder in a folder laid out as Gradescope's, within its limits on memory and processor.

    facegen autograder --reference celeba --out autograder.zip
    python scripts/bench/autograder.py autograder.zip submissions/s1234.tar.gz

The script unpacks the zip as Gradescope does, and runs run_autograder unchanged. It does not run setup.sh, which needs
a network and root. The Python that runs this script replaces the virtual environment of setup.sh.

``systemd-run --scope`` keeps the limits if systemd runs. Otherwise this script does: it pauses the processes whenever
they exceed their share of a processor, and ends them if they exceed the memory limit. Memory is the resident set of
all processes, mapped files included, read every 20 ms. The system's own record of the largest process's peak is shown
beside it. Gradescope's 0.75 GB count as 768 MiB, because container limits are binary.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

MEMORY, SHARE, MINUTES = 768, 0.5, 10.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """The memory (MiB) and time (seconds) of a rehearsal, and what kept its limits."""

    limits: str
    code: int
    seconds: float
    processor: float
    peak: float
    anonymous: float
    largest: float
    ended: str | None = None


def lay_out(root: Path, autograder: Path, submission: Path, minutes_late: int) -> None:
    """Lay out ``/autograder`` below ``root``, with the zip and the submission in their places."""
    source, uploaded = root / "source", root / "submission"
    with zipfile.ZipFile(autograder) as archive:
        archive.extractall(source)
    for name in ("run_autograder", "setup.sh"):
        (source / name).chmod(0o755)
    shutil.copy(source / "run_autograder", root)
    uploaded.mkdir()
    (root / "results").mkdir()
    shutil.copy(submission, uploaded)
    metadata = {
        "id": 1,
        "created_at": f"2026-05-01T12:{minutes_late:02d}:00.000000+02:00",
        "assignment": {"due_date": "2026-05-01T12:00:00.000000+02:00", "id": 1, "total_points": "20.0"},
        "users": [{"email": "student@example.com", "id": 1, "name": "Student User", "sid": "20231234"}],
        "previous_submissions": [],
    }
    (root / "submission_metadata.json").write_text(json.dumps(metadata))


def rehearse(root: Path, memory: float, share: float, minutes: float) -> Run:
    """Run ``run_autograder`` within the limits."""
    environment = {**os.environ, "AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    # setup.sh installs no extras, so the OpenCV of this Python is hidden.
    (root / "source" / "cv2.py").write_text('raise ImportError("setup.sh does not install it")\n')
    command, limits = [str(root / "run_autograder")], "this script"
    if _systemd_runs():
        scope = ["systemd-run", "--scope", "--quiet", "-p", f"MemoryMax={int(memory * 2**20)}", "-p", "MemorySwapMax=0"]
        command, limits = [*scope, "-p", f"CPUQuota={share:.0%}", *command], "systemd-run"
    begun = time.monotonic()
    with (root / "results" / "stdout").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    run = Run(limits, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    stopped = False
    while child.poll() is None:
        seconds = time.monotonic() - begun
        resident, anonymous, used = _used_by(child.pid)
        run.peak, run.anonymous = max(run.peak, resident), max(run.anonymous, anonymous)
        run.processor = max(run.processor, used)
        if resident > memory or seconds > 60 * minutes:
            run.ended = f"more than {memory:g} MiB" if resident > memory else f"more than {minutes:g} minutes"
            os.killpg(child.pid, signal.SIGKILL)
            break
        over = limits == "this script" and used > share * seconds
        if over != stopped:
            os.killpg(child.pid, signal.SIGSTOP if over else signal.SIGCONT)
            stopped = over
        time.sleep(0.02)
    run.code, run.seconds = child.wait(), time.monotonic() - begun
    run.largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return run


def _systemd_runs() -> bool:
    return shutil.which("systemd-run") is not None and Path("/run/systemd/system").is_dir()


def _used_by(session: int) -> tuple[float, float, float]:
    """Return the use of all processes of a session: resident MiB, MiB of these in no file, and processor seconds."""
    resident = anonymous = ticks = 0.0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except (OSError, ValueError):  # the process has just ended
            continue
        ticks += sum(map(int, fields[11:15]))  # its own and those of its children that have ended
        resident += int(status.get("VmRSS", "0").split()[0]) * 1024
        anonymous += int(status.get("RssAnon", "0").split()[0]) * 1024
    return resident / 2**20, anonymous / 2**20, ticks / _TICK


def table(run: Run, memory: float, share: float, minutes: float) -> str:
    rows = [
        ("peak, all processes", f"{run.peak:.0f} MiB", f"{memory:g} MiB"),
        ("of these in no file", f"{run.anonymous:.0f} MiB", ""),
        ("peak of the largest, by the system", f"{run.largest:.0f} MiB", ""),
        ("time", f"{run.seconds / 60:.1f} minutes", f"{minutes:g} minutes"),
        ("of a processor", f"{run.processor:.0f} s", f"{share:g} processors"),
    ]
    lines = ["| what | measured | allowed |", "|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", f"Limits kept by {run.limits}; exit code {run.code}."])


def require_results(root: Path) -> dict[str, object]:
    """Return the content of results.json. Raise SystemExit if it is not that of a graded submission."""
    results = json.loads((root / "results" / "results.json").read_text())
    if "score" not in results:
        raise SystemExit(f"No grade: {json.dumps(results, indent=2)}\n{(root / 'results' / 'stdout').read_text()}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("autograder", type=Path)
    parser.add_argument("submission", type=Path)
    parser.add_argument("--root", type=Path, help="folder that replaces /autograder; default: a temporary one")
    parser.add_argument("--memory", type=float, default=MEMORY, help="MiB")
    parser.add_argument("--share", type=float, default=SHARE, help="share of a processor")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--late", type=int, default=0, help="minutes after the deadline")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = (words.root or Path(folder) / "autograder").absolute()
        root.mkdir(parents=True)
        lay_out(root, words.autograder, words.submission, words.late)
        run = rehearse(root, words.memory, words.share, words.minutes)
        print(table(run, words.memory, words.share, words.minutes))
        if run.ended is not None:
            raise SystemExit(f"Ended: it took {run.ended}.\n{(root / 'results' / 'stdout').read_text()}")
        results = require_results(root)
        print(f"\nresults.json: {json.dumps(results, indent=2, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
