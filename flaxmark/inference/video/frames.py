"""Frames of videos and cameras, and videos of drawings, by PyAV."""

import contextlib
import importlib
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from flaxmark.errors import ConfigError
from flaxmark.system.files import atomic_write

# Videos, and nothing that names other files, as playlists do. Paths are given whole: of `12:30.mp4` FFmpeg would take
# what is before the colon for a protocol.
OPEN = {
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,asf,flv,video4linux2",
    "protocol_whitelist": "file",
}

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
        Seconds from its first frame, rising, and uint8 `[height, width, 3]` RGB, turned and mirrored as players show
        it.

    Raises:
        ConfigError: No such file, no video, too large, or damaged: after the frames before the damage. Matroska, WebM
            and transport streams that are cut short just end: nothing in them tells.
    """
    av = _load_av()
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    yield from _decode(av, str(path.absolute()), {}, str(path), max_megapixels)


def frame_rate(path: str | Path) -> float:
    """How many frames a second a video has.

    Args:
        path: A file in any format that PyAV knows.

    Returns:
        On average; 25 where it does not say, or is no video.
    """
    av = _load_av()
    try:
        with av.open(str(Path(path).absolute()), options=OPEN) as container:
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
    try:
        with av.open(source, mode="r", options=OPEN, **options) as container:
            if not container.streams.video:
                raise ConfigError(f"{name}: has no images in it, only {len(container.streams)} other streams")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step = 1 / float(stream.average_rate or 25)
            # Before the decoder makes room for them, and again because frames may change their size.
            _check_size(stream.codec_context, name, max_megapixels)
            start, last = None, -step
            for frame in _frames(container, stream, name):
                _check_size(frame, name, max_megapixels)
                start = frame.time if start is None else start
                # Some files say no time, or the same one twice.
                seconds = last if frame.time is None or start is None else float(frame.time - start)
                last = seconds if seconds > last else last + step
                yield last, _upright(frame.to_ndarray(format="rgb24"), _display_matrix(frame))
    except av.FFmpegError as error:
        raise ConfigError(f"{name}: {error.strerror or error}; not a video, or damaged") from error


def _frames(container: Any, stream: Any, name: str) -> Iterator[Any]:
    """Decode up to the first packet that is not whole, which decoders would smear over the frames after it."""
    for packet in container.demux(stream):
        if packet.is_corrupt:
            yield from stream.decode(None)  # what the decoder still holds
            raise ConfigError(f"{name}: damaged here, or cut short")
        yield from packet.decode()


def _check_size(image: Any, name: str, max_megapixels: float) -> None:
    """Refuse frames that are too large."""
    if image.width * image.height > max_megapixels * 1e6:
        raise ConfigError(f"{name}: frames of {image.width} x {image.height}, above {max_megapixels:g} MP")


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Where the stream's columns and rows go on the screen: (a, b, c, d) sends (x, y) to (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(data))  # FFmpeg's libavutil/display.h: 32 bits each, of the machine
    return a, b, c, d


def _upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Turn and mirror a frame by its display matrix, to the nearest quarter turn."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image, right, down = image.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


class VideoWriter:
    """Writes H.264 in MP4 under a temporary name until it is complete; use it as a context manager."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_second: float) -> None:
        """Open the file.

        Args:
            path: `.mp4`, replaced if it exists.
            size: Width and height, pixels; an odd last row or column is left out, which H.264 cannot hold.
            frames_per_second: Of the video.

        Raises:
            ConfigError: PyAV is not installed, or the file cannot be written.
        """
        av = self._av = _load_av()
        self._replacing = contextlib.ExitStack()
        # Builds of FFmpeg without GPL code have no x264.
        codec, options = ("libx264", {"crf": "20"}) if "libx264" in av.codecs_available else ("mpeg4", {"b": "8M"})
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")
        self._temporary = self._replacing.enter_context(atomic_write(path))
        try:
            self._container = av.open(str(self._temporary), mode="w")
            rate = Fraction(frames_per_second).limit_denominator(1001)
            self._stream = self._container.add_stream(codec, rate=rate, options=options)
        except (av.FFmpegError, ValueError) as error:
            raise ConfigError(f"{path}: no video can be written there: {error}") from error
        self._stream.width, self._stream.height = (max(2, side // 2 * 2) for side in size)
        self._stream.pix_fmt = "yuv420p"

    def write(self, image: np.ndarray) -> None:
        """Add a frame.

        Args:
            image: uint8 `[height, width, 3]`, RGB; scaled to the video's size if it has another.
        """
        height, width = (max(2, side // 2 * 2) for side in image.shape[:2])
        cut = np.ascontiguousarray(image[:height, :width])
        for packet in self._stream.encode(self._av.VideoFrame.from_ndarray(cut, format="rgb24")):
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, also when the user has stopped; of a failure, or of no frames, nothing is left."""
        with self._replacing:
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()
            if kind is not None and not issubclass(kind, KeyboardInterrupt):
                self._temporary.unlink(missing_ok=True)
