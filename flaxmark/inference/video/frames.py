"""Reading frames of videos and cameras with PyAV."""

import dataclasses
import importlib
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flaxmark.errors import ConfigError, ImageError, MissingPackageError
from flaxmark.system.reading import VIDEO, kind_of

# Only containers of video; playlists name other files. Paths are absolute, because FFmpeg would take the start of
# `12:30.mp4` for a protocol.
OPEN = {
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,asf,flv,video4linux2",
    "protocol_whitelist": "file",
}

SAME = 1e-6  # seconds between two times that differ by rounding only

Frame = UInt8[np.ndarray, "height width 3"]


def load_av() -> Any:
    """The module of PyAV; MissingPackageError if it is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise MissingPackageError("PyAV is not installed: pip install 'flaxmark[video]'") from error


def read_frames(path: str | Path, max_megapixels: float = 64.0) -> Iterator[tuple[float, Frame]]:
    """Decode a video frame by frame.

    Yields the time in seconds since the first frame, strictly increasing, and the RGB frame, turned and mirrored as
    players show it. Raises ImageError if the file is missing or not a video, if a frame is larger than
    `max_megapixels`, or if it is damaged, after the frames before the damage. Videos that are cut short just end where
    their header does not tell the length.
    """
    av = load_av()
    path = Path(path)
    if not path.is_file():
        raise ImageError("no such file", file=path)
    yield from _decode(av, str(path.absolute()), {}, {"file": path}, max_megapixels)


@dataclasses.dataclass(frozen=True)
class VideoFormat:
    """What a video that is drawn takes over from its source."""

    frame_rate: float = 25.0
    """Average number of frames per second."""
    time_base: Fraction = Fraction(1, 90_000)
    """Seconds per unit of time: the times of all frames are multiples of it."""
    pixel_aspect: Fraction = Fraction(1)
    """Width over height of a pixel on the screen."""
    start: Fraction = Fraction(0)
    """Time of the first frame in the source, in seconds."""
    source: Path | None = None
    """File with the sound; None where there is none."""


def video_format(path: str | Path) -> VideoFormat:
    """Format of a video; the default one if the file is not a video."""
    av = load_av()
    try:
        with av.open(str(Path(path).absolute()), options=OPEN) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            aspect = Fraction(stream.sample_aspect_ratio or 1)
            _, b, *_ = _display_matrix(frame)
            return VideoFormat(
                frame_rate=float(stream.average_rate or 25),
                time_base=stream.time_base,
                pixel_aspect=1 / aspect if b else aspect,
                start=frame.pts * frame.time_base if frame.pts is not None else Fraction(0),
                source=Path(path),
            )
    except (av.FFmpegError, IndexError, StopIteration):
        return VideoFormat()


def read_camera(index: int) -> Iterator[tuple[float, Frame]]:
    """Read frames of a camera (0 is /dev/video0) as `read_frames` does, until the caller stops; Linux only.

    Raises ConfigError if there is no such camera, and ImageError if it cannot be read.
    """
    av = load_av()
    device = Path(f"/dev/video{index}")
    if not device.exists():
        raise ConfigError(f"there is no {device}", field="camera", value=index)
    yield from _decode(av, str(device), {"format": "v4l2"}, {"field": "camera", "value": index}, 64.0)


def _decode(
    av: Any, source: str, options: dict[str, str], about: dict[str, Any], max_megapixels: float
) -> Iterator[tuple[float, Frame]]:
    """Decode the first video stream; `about` is what errors are about."""
    try:
        with av.open(source, mode="r", options=OPEN, **options) as container:
            if not container.streams.video:
                raise ImageError(f"has no video stream, only {len(container.streams)} others", **about)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step = 1 / float(stream.average_rate or 25)
            # Before the decoder allocates memory, and again because frames may change their size.
            _check_size(stream.codec_context, about, max_megapixels)
            start: float | None = None
            last = -step
            for frame in _frames(container, stream, about):
                _check_size(frame, about, max_megapixels)
                start = frame.time if start is None else start
                # Some files have frames without a time, or two with the same.
                seconds = last if frame.time is None or start is None else float(frame.time - start)
                last = seconds if seconds > last + SAME else last + step
                yield last, _upright(frame.to_ndarray(format="rgb24"), _display_matrix(frame))
            if last < 0:
                raise ImageError("no frame can be decoded: cut short, or damaged", **about)
            _check_length(stream, float(start or 0) + last + step, about)
    except av.FFmpegError as error:
        kind = kind_of(about["file"]) if "file" in about else None
        known = kind is not None and kind != VIDEO
        reason = str(kind) if known else f"{error.strerror or error}; not a video, or damaged"
        raise ImageError(reason, **about) from error


def _frames(container: Any, stream: Any, about: dict[str, Any]) -> Iterator[Any]:
    """Decode up to the first damaged packet, which would distort the frames after it."""
    for packet in container.demux(stream):
        if packet.is_corrupt:
            yield from stream.decode(None)  # frames that the decoder still holds
            raise ImageError("damaged from here on, or cut short", **about)
        yield from packet.decode()


def _check_length(stream: Any, seconds: float, about: dict[str, Any]) -> None:
    """Raise ImageError where a Matroska file names the end of its stream and its frames end clearly before.

    Its other signs of an early end are none: FFmpeg takes the file for one that is still being written.
    """
    try:
        hours, minutes, rest = stream.metadata.get("DURATION", "").split(":")
        end = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    except ValueError:
        return
    if seconds < 0.9 * end - 0.5:
        raise ImageError(f"cut short: ends after {seconds:.1f} of {end:.1f} s", **about)


def _check_size(frame: Any, about: dict[str, Any], max_megapixels: float) -> None:
    """Raise ImageError for frames that are too large."""
    if frame.width * frame.height > max_megapixels * 1e6:
        raise ImageError(f"frames of {frame.width} x {frame.height} exceed {max_megapixels:g} megapixels", **about)


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Matrix (a, b, c, d) that maps (x, y) of the stream to (a x + c y, b x + d y) on the screen."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(data))  # libavutil/display.h of FFmpeg: native int32
    return a, b, c, d


def _upright(image: Frame, matrix: tuple[int, int, int, int]) -> Frame:
    """Turn and mirror a frame by its display matrix, to the nearest quarter turn."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image, right, down = image.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
