"""Animations: a sequence of images as GIF or MP4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.errors import EnvironmentProblem, in_words
from facegen.files import atomic_path
from facegen.pictures.contact_sheet import DRAWN_BY

Pixels = npt.NDArray[np.uint8]
#: A GIF stores durations in hundredths of a second.
GIF_UNIT = 10


def save_gif(path: Path, images: Iterable[Pixels], milliseconds: int | Sequence[int]) -> None:
    """Write uint8 [H, W, 3] images as a GIF that repeats forever. Each frame has a palette of its own.

    Args:
        images: At least one image.
        milliseconds: How long each image is shown, or one duration for all. It is rounded to hundredths of a second.
    """
    frames = (Image.fromarray(image).quantize(dither=Image.Dither.NONE) for image in images)
    first = next(frames)
    with atomic_path(path) as temporary:
        first.save(
            temporary, "GIF", save_all=True, append_images=frames, duration=milliseconds, loop=0, comment=DRAWN_BY
        )


def require_video(path: Path) -> None:
    """Check before the work that an MP4 can be written here.

    Raises:
        EnvironmentProblem: PyAV is not installed, or its FFmpeg has no H.264 encoder.
    """
    if "libx264" not in _pyav(path).codecs_available:
        raise EnvironmentProblem(
            f"{path} needs the H.264 encoder libx264, which this PyAV lacks.",
            "Install PyAV's own wheel (pip install --force-reinstall av), or name a .gif.",
        )


def save_mp4(path: Path, frames: Iterable[tuple[Pixels, int]], fps: int) -> None:
    """Write uint8 [H, W, 3] images, each for a number of frames, as MP4: H.264 in yuv420p, index first.

    Every browser and PowerPoint can play this format. An odd side gets one more row or column, a copy of the last one.

    Raises:
        EnvironmentProblem: As :func:`require_video`, or FFmpeg fails.
    """
    av = _pyav(path)
    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                container.metadata["comment"] = DRAWN_BY.decode()
                _encode(container, av, frames, fps)
        except av.FFmpegError as problem:
            if isinstance(problem, OSError) and problem.errno:  # for example a full disk, which has its own message
                raise OSError(problem.errno, problem.strerror, str(path)) from problem
            raise EnvironmentProblem(
                f"FFmpeg cannot write {path}: {in_words(problem)}.", "Name a .gif, or try another version of PyAV."
            ) from problem


def _encode(container: Any, av: Any, frames: Iterable[tuple[Pixels, int]], fps: int) -> None:
    stream, shown = None, 0
    for image, count in frames:
        even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge")
        if stream is None:
            # Faces are small and smooth. A low quantiser costs little and avoids visible blocks.
            stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "medium"})
            stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
            # Below 720 lines, players assume the older television colours unless the file names others.
            stream.codec_context.colorspace, stream.codec_context.color_range = 5, 1
            stream.codec_context.color_primaries, stream.codec_context.color_trc = 1, 13
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame.pts, frame.time_base = shown, Fraction(1, fps)
            shown += 1
            container.mux(stream.encode(frame))
    if stream is not None:
        container.mux(stream.encode())


def _pyav(path: Path) -> Any:
    try:
        import av
    except ImportError as problem:
        raise EnvironmentProblem(
            f"{path} needs PyAV, which is not installed.", "Install it, or name a .gif: pip install 'facegen[video]'"
        ) from problem
    return av
