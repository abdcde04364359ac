#!/usr/bin/env python
"""Feed every parser of facegen with altered files, as damage and malice make them: a table of executions and findings.

    python scripts/bench/fuzz.py                               # all targets, 60 seconds each
    python scripts/bench/fuzz.py --target submission_tar --seconds 600 --seed 7
    python scripts/bench/fuzz.py --target zip --input findings/zip/0-ZeroDivisionError.bin    # one input again

A parser may only end in an error of facegen. It may raise no other exception, and use no more than 5 seconds of
processor time or 1 GiB of memory over what it used before. It may write no file outside its folder, start no program,
read no pickle, and open no connection. An input that breaks a rule is saved to --out, made smaller if that is quick,
with its traceback beside it.

If atheris is installed (pip install atheris), it chooses inputs by the code of facegen that they reach. Without it, or
with --engine own, inputs that end in a new place are altered further. Either way the alterations know the format of
the file: see fuzz_mutations.py. Each target runs in its own process, which is restarted if an input ends it. The
script runs on Linux.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS_OF_PROCESSOR, MEMORY = 5.0, 1 << 30
#: Seconds without a new input after which a process counts as stuck.
STUCK = 40.0
#: Address space that an input may claim. It is limited because others use the machine too.
ADDRESSES = 4 << 30
RESTARTS = 20
#: Number of inputs that are kept to be altered further.
POOL = 400
#: Exit code with which libFuzzer ends a process that a signal was about to end.
_OF_LIBFUZZER = 77
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events that are never an answer to a file.
_FORBIDDEN = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pickle.find_class"}
    | {"socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "webbrowser.open"}
)
#: Audit events whose first argument is a path that changes.
_CHANGES = frozenset(
    {
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.truncate",
        "shutil.rmtree",
    }
)


class TooSlow(BaseException):
    """An input took more than its share of processor time."""


class Escaped(BaseException):
    """An input touched a file outside the folder, started a program, or the like."""


@dataclass(frozen=True)
class Finding:
    """The fault of an input. ``kind`` and ``place`` identify it; ``text`` has the traceback."""

    kind: str
    place: str
    text: str


class Examiner:
    """Run a target's check on inputs one at a time, and report forbidden behaviour."""

    def __init__(self, target: Any, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._root = str(folder.resolve())
        self._watching = False
        self.reached: set[tuple[str, str]] = set()
        tempfile.tempdir = str(folder)
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, _too_slow)

    def examine(self, data: bytes) -> tuple[Finding | None, bool]:
        """Return the finding, or None, and whether the check ended in a place where none ended before."""
        before = _peak_memory()
        self._watching = True
        signal.setitimer(signal.ITIMER_PROF, SECONDS_OF_PROCESSOR)
        try:
            self._target.check(data, self._folder)
            ended: BaseException | None = None
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - that is what is looked for
            ended = problem
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._watching = False
        kind, place = ("", "") if ended is None else (type(ended).__name__, _place(ended))
        new = (kind, place) not in self.reached
        self.reached.add((kind, place))
        if ended is not None and not isinstance(ended, self._target.expected):
            return Finding(kind, place, "".join(traceback.format_exception(ended)[-40:])[-20_000:]), new
        grown = _peak_memory() - before
        if grown > MEMORY:
            return Finding("Memory", place, f"{grown / 2**30:.2f} GiB more than before"), new
        return None, new

    def _audit(self, event: str, words: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in _FORBIDDEN:
            raise Escaped(f"{event} {words!r}"[:300])
        if event == "open":
            path, _, flags = words
            if isinstance(path, int) or not flags or not flags & _WRITES:
                return
        elif event in _CHANGES:
            path = words[0]
        else:
            return
        if isinstance(path, int) or os.fspath(path) in ("/dev/null", b"/dev/null"):
            return
        if not os.path.realpath(os.fsdecode(path)).startswith(self._root):
            raise Escaped(f"{event} of {path!r}"[:300])


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow(f"more than {SECONDS_OF_PROCESSOR:g} seconds of processor time")


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _place(problem: BaseException) -> str:
    """Return where an exception was raised: the last line of facegen's code, and the last line of all."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if f"{os.sep}facegen{os.sep}" in frame.filename]
    lines = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (own[-1:] + frames[-1:])]
    return " ".join(dict.fromkeys(lines))


class Session:
    """The work of a process on one target. It counts executions, and saves each kind and place of finding once."""

    def __init__(self, name: str, out: Path, seed: int, seconds: float) -> None:
        from fuzz_targets import TARGETS

        self.target = TARGETS[name]
        self.out = out
        self.work = Path(tempfile.mkdtemp(dir=out, prefix="work-"))
        os.chdir(self.work)
        self.seeds = self.target.seeds(self.work)
        self.examiner = Examiner(self.target, self.work)
        self.random = random.Random(f"{name} {seed}")
        self.ends = time.monotonic() + seconds
        self.executions, self.known = 0, {path.stem.partition("-")[2] for path in out.glob("*.txt")}
        self._current = (out / "current").open("wb", buffering=0)
        self._said = 0.0

    def run(self, data: bytes) -> bool:
        """Run one input, and return whether it ended in a new place. End the process when its time is over."""
        self._current.seek(0)
        self._current.truncate()
        self._current.write(data)
        finding, new = self.examiner.examine(data)
        self.executions += 1
        if finding is not None:
            self._keep(finding, data)
        if time.monotonic() - self._said > 1 or time.monotonic() > self.ends:
            (self.out / "executions").write_text(str(self.executions))
            self._said = time.monotonic()
        if time.monotonic() > self.ends:
            shutil.rmtree(self.work, ignore_errors=True)
            os._exit(0)  # without it, libFuzzer would report and go on
        return new

    def altered(self, random_: random.Random, data: bytes) -> bytes:
        """Return an input to try next."""
        if random_.randrange(20) == 0:
            from fuzz_mutations import spliced

            data = spliced(random_, data, self.seeds)
        else:
            data = self.target.mutate(random_, data)
        return self.target.repair(data) if random_.randrange(8) else data

    def _keep(self, finding: Finding, data: bytes) -> None:
        key = f"{finding.kind}-{finding.place}".replace(" ", "-").replace(":", "-")
        if key in self.known:
            return
        self.known.add(key)
        stem = f"{len(self.known) - 1}-{key}"
        small = data if finding.kind in ("TooSlow", "Memory") else self._smaller(finding, data)
        (self.out / f"{stem}.bin").write_bytes(small)
        (self.out / f"{stem}.txt").write_text(f"{len(small)} bytes\n{finding.text}", encoding="utf-8", errors="replace")

    def _smaller(self, finding: Finding, data: bytes) -> bytes:
        """Cut spans out of ``data`` while the finding stays, for at most five seconds, and return the rest."""
        until, width = time.monotonic() + 5, len(data) // 2
        while width and time.monotonic() < until:
            at = 0
            while at < len(data) and time.monotonic() < until:
                less = data[:at] + data[at + width :]
                found, _ = self.examiner.examine(less)
                if found is not None and (found.kind, found.place) == (finding.kind, finding.place):
                    data = less
                else:
                    at += width
            width //= 2
        return data


def own_engine(session: Session) -> None:
    """Alter seeds, and inputs that ended in a new place, until the time is over."""
    pool = list(session.seeds)
    for data in session.seeds:
        session.run(data)
    while True:
        data = session.altered(session.random, session.random.choice(pool))
        if session.run(data) and len(pool) < POOL:
            pool.append(data)


def atheris_engine(session: Session, atheris: Any) -> None:
    """Let libFuzzer choose inputs by the code that they reach."""
    corpus = session.work / "corpus"
    corpus.mkdir()
    for number, data in enumerate(session.seeds):
        (corpus / f"{number}").write_bytes(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random_ = random.Random(seed)
        return (atheris.Mutate(data, most) if random_.randrange(4) == 0 else session.altered(random_, data))[:most]

    words = [sys.argv[0], "-rss_limit_mb=0", "-timeout=600", "-len_control=0", "-max_len=200000", "-verbosity=0"]
    words += [f"-seed={session.random.randrange(1 << 31)}", f"-artifact_prefix={session.work}/", str(corpus)]
    atheris.Setup(words, lambda data: session.run(bytes(data)) and None, custom_mutator=mutate)
    atheris.Fuzz()


def worker(name: str, out: Path, seed: int, seconds: float, engine: str) -> None:
    """Fuzz one target in this process, until it ends."""
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ.update(FACEGEN_OFFLINE="1", FACEGEN_CACHE=str(out / "cache"), NO_COLOR="1")
    atheris = None
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["facegen"]):
            session = Session(name, out, seed, seconds)
    else:
        session = Session(name, out, seed, seconds)
    claimed = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (claimed + ADDRESSES, resource.RLIM_INFINITY))
    if atheris is None:
        own_engine(session)
    else:
        atheris_engine(session, atheris)


@dataclass
class Report:
    """The result of a target."""

    executions: int = 0
    seconds: float = 0.0
    findings: int = 0
    restarts: int = 0


def fuzz(name: str, out: Path, seconds: float, seed: int, engine: str, say: Callable[[str], None]) -> Report:
    """Fuzz a target for a time, in its own processes. An input that ends or blocks a process is a finding."""
    out.mkdir(parents=True, exist_ok=True)
    report, began = Report(), time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 1 and report.restarts < RESTARTS:
        words = [sys.executable, __file__, "--worker", "--target", name, "--out", str(out), "--engine", engine]
        words += ["--seconds", str(left), "--seed", str(seed + report.restarts)]
        for leftover in ("executions", "current"):
            (out / leftover).unlink(missing_ok=True)
        with (out / "stderr").open("wb") as stderr:
            process = subprocess.Popen(words, stdout=stderr, stderr=stderr)
            why = _awaited(process, out / "current")
        with_count = out / "executions"
        report.executions += int(with_count.read_text()) if with_count.is_file() else 0
        if why is None:
            break
        report.restarts += 1
        if not with_count.is_file() or why.startswith("exit"):
            say(f"{name}: fuzzing itself failed ({why}): see {out / 'stderr'}")
            break
        stem = out / f"{len(list(out.glob('*.txt')))}-ended-{why.replace(' ', '-')}"
        shutil.copyfile(out / "current", f"{stem}.bin")
        shutil.copyfile(out / "stderr", f"{stem}.txt")
    for folder in out.glob("work-*"):
        shutil.rmtree(folder, ignore_errors=True)
    report.seconds, report.findings = time.monotonic() - began, len(list(out.glob("*.txt")))
    return report


def _awaited(process: subprocess.Popen[bytes], current: Path) -> str | None:
    """Wait for a process and return how it failed; None if it ended well."""
    began = time.time()
    while process.poll() is None:
        time.sleep(0.25)
        last = current.stat().st_mtime if current.is_file() else began + 60  # torch may take long to import
        if time.time() - max(last, began) > STUCK:
            process.kill()
            process.wait()
            return "stuck"
    code = process.returncode
    if code == _OF_LIBFUZZER:
        return "signal"
    return None if code == 0 else f"signal {-code}" if code < 0 else f"exit {code}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help="parser to fuzz; repeat it for several (all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds per target (60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the alterations (0)")
    parser.add_argument("--out", type=Path, default=Path("findings"), help="folder for saved inputs (findings)")
    parser.add_argument("--engine", choices=("atheris", "own"), help="how inputs are chosen (atheris, if installed)")
    parser.add_argument("--input", type=Path, help="run only this input, and show its traceback")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    out = options.out.resolve()
    engine = options.engine or ("own" if importlib.util.find_spec("atheris") is None else "atheris")
    if options.worker:
        worker(options.target[0], out, options.seed, options.seconds, engine)
    sys.path.insert(0, str(Path(__file__).parent))
    from fuzz_targets import TARGETS

    for name in options.target or ():
        if name not in TARGETS:
            parser.error(f"there is no target {name}: {', '.join(TARGETS)}")
    if options.input is not None:
        if len(options.target or ()) != 1:
            parser.error("--input takes one --target")
        if not options.input.is_file():
            parser.error(f"there is no file {options.input}")
        with tempfile.TemporaryDirectory() as folder:
            target = TARGETS[options.target[0]]
            data = options.input.resolve().read_bytes()
            target.seeds(Path(folder))
            finding, _ = Examiner(target, Path(folder)).examine(data)
            print("It is read, or refused in words." if finding is None else finding.text)
        sys.exit(finding is not None)
    print(f"| target ({engine}) | executions | per second | findings |\n|---|---|---|---|", flush=True)
    total, found = 0, 0
    for name in options.target or TARGETS:
        report = fuzz(
            name, out / name, options.seconds, options.seed, engine, lambda text: print(text, file=sys.stderr)
        )
        pace = report.executions / max(report.seconds, 1e-9)
        print(f"| {name} | {report.executions:,} | {pace:,.0f} | {report.findings} |", flush=True)
        total, found = total + report.executions, found + report.findings
    print(f"| all | {total:,} | | {found} |")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
