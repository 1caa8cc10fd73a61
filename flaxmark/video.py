"""Frames of videos and cameras, and videos of drawings, by PyAV."""

import importlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from flaxmark.config import ConfigError

MISSING = "PyAV is not installed: pip install 'flaxmark[video]'"


def _load_av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ConfigError(MISSING) from error


def read_frames(path: str | Path, max_megapixels: float = 64.0) -> Iterator[tuple[float, np.ndarray]]:
    """Decode a video, one frame after another.

    Args:
        path: A file in any format that PyAV knows.
        max_megapixels: Larger frames are refused.

    Yields:
        Seconds from its start, rising, and uint8 `[height, width, 3]` RGB, turned as players show it.

    Raises:
        ConfigError: No such file, no video, too large, or damaged: after the frames before the damage.
    """
    av = _load_av()
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    yield from _decode(av, str(path), {}, str(path), max_megapixels)


def frame_rate(path: str | Path) -> float:
    """How many frames a second a video has.

    Args:
        path: A file in any format that PyAV knows.

    Returns:
        On average; 25 where it does not say, or is no video.
    """
    av = _load_av()
    try:
        with av.open(str(path)) as container:
            return float(container.streams.video[0].average_rate or 25)
    except (av.FFmpegError, IndexError):
        return 25.0


def read_camera(index: int) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a camera, until the caller stops; Linux only.

    Args:
        index: 0 for /dev/video0.

    Yields:
        As `read_frames`.

    Raises:
        ConfigError: No such camera, or it cannot be opened.
    """
    av = _load_av()
    device = Path(f"/dev/video{index}")
    if not device.exists():
        raise ConfigError(f"--camera {index}: there is no {device}")
    yield from _decode(av, str(device), {"format": "v4l2"}, f"--camera {index}", 64.0)


def _decode(
    av: Any, source: str, options: dict[str, str], name: str, max_megapixels: float
) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of the first video stream."""
    last = -1.0
    try:
        with av.open(source, mode="r", **options) as container:
            if not container.streams.video:
                raise ConfigError(f"{name}: has no pictures in it, only {len(container.streams)} other streams")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or 25)
            for frame in container.decode(stream):
                if frame.width * frame.height > max_megapixels * 1e6:
                    raise ConfigError(f"{name}: frames of {frame.width} x {frame.height}, above {max_megapixels:g} MP")
                # Some files say no time, or the same one twice.
                seconds = last + 1 / rate if frame.time is None or frame.time <= last else float(frame.time)
                seconds = max(0.0, seconds)
                last = seconds
                yield seconds, _upright(frame.to_ndarray(format="rgb24"), frame.rotation)
    except av.FFmpegError as error:
        raise ConfigError(f"{name}: {error.strerror or error}; not a video, or damaged") from error


def _upright(picture: np.ndarray, rotation: int) -> np.ndarray:
    """Turn a frame as its display matrix says: `rotation` degrees counter-clockwise."""
    return np.ascontiguousarray(np.rot90(picture, round(rotation / 90) % 4))


class VideoWriter:
    """Writes H.264 in MP4 under a temporary name until it is complete; use it as a context manager."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_second: float) -> None:
        """Open the file.

        Args:
            path: `.mp4`, replaced if it exists.
            size: Width and height, pixels; an odd last row or column is left out, which H.264 cannot hold.
            frames_per_second: Of the video.

        Raises:
            ConfigError: PyAV is not installed.
        """
        self._av = _load_av()
        self._path, self._temporary = path, path.with_name(f".{path.stem}.tmp{path.suffix}")
        self._container = self._av.open(str(self._temporary), mode="w")
        rate = Fraction(frames_per_second).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20"})
        self._stream.width, self._stream.height = (max(2, side // 2 * 2) for side in size)
        self._stream.pix_fmt = "yuv420p"

    def write(self, picture: np.ndarray) -> None:
        """Add a frame.

        Args:
            picture: uint8 `[height, width, 3]`, RGB, of the video's size.
        """
        cut = np.ascontiguousarray(picture[: self._stream.height, : self._stream.width])
        for packet in self._stream.encode(self._av.VideoFrame.from_ndarray(cut, format="rgb24")):
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, also when the user has stopped; of a failure nothing is left."""
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)
