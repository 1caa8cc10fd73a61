"""Writing videos with PyAV: frames at their own times, and the sound of the source."""

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from flaxmark.errors import StorageError
from flaxmark.inference.video.frames import Frame, VideoFormat, load_av
from flaxmark.inference.video.sound import Sound
from flaxmark.system.files import atomic_write

# Without B frames the order of decoding is that of the times, on which the length of the last frame depends.
ENCODERS = {"libx264": ({"crf": "20", "bf": "0"}, 1_000_000), "mpeg4": ({"b": "8M"}, 65_535)}
"""Options and largest denominator of the time base; builds of FFmpeg without GPL code have no x264."""
COMMON_TIME_BASE = Fraction(1, 60_000)
SMPTE_170M, LIMITED = 6, 1  # libavutil/pixfmt.h of FFmpeg
MAX_RATE = 120  # a hint from which the level follows; a clock of milliseconds counts as 1,000 frames per second


class VideoWriter:
    """Context manager that writes an H.264 video, which exists under its name when it is complete.

    Attributes:
        note: One line if the sound of the source could not be kept, else empty; complete when the video is.
    """

    def __init__(self, path: Path, size: tuple[int, int], form: VideoFormat | None = None) -> None:
        """Open an `.mp4` file for frames of `size` (width, height) pixels; an existing file is replaced.

        An odd last row or column is dropped, because H.264 cannot store it. Raises StorageError where no video can be
        written.
        """
        av, form = load_av(), form or VideoFormat()
        self._av = av
        self._replacing = contextlib.ExitStack()
        codec = next(name for name in ENCODERS if name in av.codecs_available)
        options, finest = ENCODERS[codec]
        if not path.parent.is_dir():
            raise StorageError(f"there is no folder {path.parent}", file=path)
        self._temporary = self._replacing.enter_context(atomic_write(path, f".{path.name}.tmp{path.suffix}"))
        try:
            self._container = av.open(str(self._temporary), mode="w")
            rate = Fraction(min(form.frame_rate, MAX_RATE)).limit_denominator(1001)
            self._stream = self._container.add_stream(codec, rate=rate, options=options)
        except (av.FFmpegError, ValueError) as error:
            self._temporary.unlink(missing_ok=True)
            self._replacing.close()
            raise StorageError(f"no video can be written there: {error}", file=path) from error
        self._stream.width, self._stream.height = (max(2, side // 2 * 2) for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._time_base = form.time_base if form.time_base.denominator <= finest else COMMON_TIME_BASE
        self._stream.codec_context.time_base = self._stream.time_base = self._time_base
        self._stream.codec_context.sample_aspect_ratio = form.pixel_aspect
        # RGB is encoded so; players take large videos that do not say it for BT.709, which changes the colours.
        self._stream.codec_context.colorspace, self._stream.codec_context.color_range = SMPTE_170M, LIMITED
        self._sound = Sound(form.source, form.start, self._container) if form.source else None
        self._last, self._step = -1, max(1, round(1 / (form.frame_rate * self._time_base)))
        self.note = ""

    def write(self, image: Frame, seconds: float) -> None:
        """Add an RGB frame at a time after the first one; it is scaled if its size differs from the video's."""
        height, width = (max(2, side // 2 * 2) for side in image.shape[:2])
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        lead = self._sound.lead if self._sound else 0
        frame.pts = self._last = max(self._last + 1, round((seconds + lead) / self._time_base))
        frame.time_base = self._time_base
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        if self._sound:
            self._sound.copy_until(seconds)

    def __enter__(self) -> "VideoWriter":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file, also after KeyboardInterrupt; remove it after an error or without frames."""
        with self._replacing:
            end = self._last + self._step
            if self._sound:
                found = self._sound.finish(complete=kind is None)
                end = end if found is None else max(self._last + 1, round(found / self._time_base))
                self.note = self._sound.note
            for packet in self._stream.encode():
                if packet.pts == self._last:
                    packet.duration = round((end - self._last) * self._time_base / packet.time_base)
                self._container.mux(packet)
            self._container.close()
            if self._last < 0 or (kind is not None and not issubclass(kind, KeyboardInterrupt)):
                self._temporary.unlink(missing_ok=True)
