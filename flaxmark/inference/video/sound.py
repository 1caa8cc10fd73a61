"""The sound of a video, copied into another one while that is written."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from flaxmark.inference.video.frames import OPEN, load_av

# What players understand in .mp4 files; other sound is encoded again.
COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
PRIMING = Fraction(15, 100)  # seconds: encoders put up to so much silence before the start, which players cut off


class _Track:
    """One stream of sound, copied packet by packet, or encoded again as AAC."""

    def __init__(self, av: Any, source: Any, output: Any) -> None:
        self._copied = source.codec_context.codec.canonical_name in COPIED
        if self._copied:
            self._stream = output.add_stream_from_template(source)
        else:
            rate = min(RATES, key=lambda rate: abs(rate - source.codec_context.sample_rate))
            layout = "mono" if source.codec_context.channels == 1 else "stereo"
            self._stream = output.add_stream("aac", rate=rate, layout=layout)
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            self._rate = rate
        self._samples: int | None = None  # end of the last frame
        if source.language:
            self._stream.metadata["language"] = source.language

    def convert(self, packet: Any) -> Iterator[Any]:
        """Packets for the output from one of the source; an empty one, at the end, gives what the encoder holds."""
        if self._copied:
            if packet.dts is not None:
                packet.stream = self._stream
                yield packet
            return
        at_end = packet.dts is None
        for frame in [*packet.decode(), *([None] if at_end else [])]:
            for resampled in self._resampler.resample(frame):
                yield from self._stream.encode(self._timed(resampled))
        if at_end:
            yield from self._stream.encode(None)

    def _timed(self, frame: Any) -> Any:
        """The frame at the end of those before it, because sources may round times; later only after a gap."""
        time = 0 if frame.pts is None else round(frame.pts * frame.time_base * self._rate)
        if self._samples is None or time > self._samples + PRIMING * self._rate:
            self._samples = time
        frame.pts, frame.time_base = self._samples, Fraction(1, self._rate)
        self._samples += frame.samples
        return frame


class Sound:
    """Reads a video a second time, in step with its frames, and copies its sound; nothing is kept in memory.

    Attributes:
        lead: Seconds by which the sound starts before the first frame, and by which the frames are late for it.
        note: One line if sound was left out, else empty.
    """

    def __init__(self, source: Path, start: Fraction, output: Any) -> None:
        """Add the streams to the output, a container of PyAV that has no packet yet.

        `start` is the time of the first frame in seconds.
        """
        self._av, self._source, self._output, self._start = load_av(), source, output, start
        self.lead, self.note = Fraction(0), ""
        self._end: Fraction | None = None
        self._tracks: dict[int, _Track] = {}
        self._next: tuple[Any, Fraction] | None = None
        try:
            self._container = self._av.open(str(source.absolute()), options=OPEN)
        except self._av.FFmpegError as error:
            self._leave_out(error)
            return
        for stream in self._container.streams.audio:
            try:
                self._tracks[stream.index] = _Track(self._av, stream, output)
            except (self._av.FFmpegError, ValueError) as error:
                self._leave_out(error)
                continue
            if stream.start_time is not None:
                gap = start - stream.start_time * stream.time_base
                self.lead = max(self.lead, gap if gap > PRIMING else Fraction(0))
        self._packets = self._read()
        self._next = next(self._packets, None)

    def _leave_out(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        self.note = f"{self._source}: its sound is left out, because it cannot be copied or encoded: {reason}"

    def _read(self) -> Iterator[tuple[Any, Fraction]]:
        """Packets of the sound with their seconds after the first frame, up to damage; None for those of frames."""
        frames = self._container.streams.video[0]
        now = begun = ended = Fraction(0)  # the last frame
        try:
            for packet in self._container.demux(frames, *(self._container.streams[index] for index in self._tracks)):
                if packet.is_corrupt:
                    break
                time = packet.dts if packet.dts is not None else packet.pts
                now = now if time is None else time * packet.time_base - self._start
                if packet.stream.index == frames.index and packet.pts is not None:
                    begun = max(begun, packet.pts * packet.time_base - self._start)
                    ended = max(ended, begun + (packet.duration or 0) * packet.time_base)
                yield packet if packet.stream.index in self._tracks else None, now
        except self._av.FFmpegError:  # reading the frames tells of it
            return
        self._end = self._end_of_frames(begun, ended) or None

    def _end_of_frames(self, begun: Fraction, ended: Fraction) -> Fraction:
        """End of the last frame, from when it begins and, as its packet has it, ends."""
        container, length = self._container, Fraction(self._container.duration or 0, self._av.time_base)
        if "matroska" in container.format.name:  # knows no length of single frames; counts from 0
            whole = length - self._start
        elif "mov" in container.format.name:  # where frames are stored in another order, packets have other lengths
            whole = length + Fraction(container.start_time or 0, self._av.time_base) - self._start
        else:
            return ended
        if whole <= begun:
            return ended
        return min(ended, whole) if self._tracks else whole

    def copy_until(self, seconds: float) -> None:
        """Copy the sound up to a time after the first frame."""
        while self._next is not None and self._next[1] <= seconds:
            packet, _ = self._next
            if packet is not None and packet.stream.index in self._tracks:
                self._copy(packet)
            self._next = next(self._packets, None)

    def _copy(self, packet: Any) -> None:
        """Copy a packet, or leave out the rest of its stream."""
        index = packet.stream.index
        try:
            for converted in self._tracks[index].convert(packet):
                shift = round((self.lead - self._start) / converted.time_base)
                converted.dts = None if converted.dts is None else converted.dts + shift
                converted.pts = None if converted.pts is None else converted.pts + shift
                self._output.mux(converted)
        except (self._av.FFmpegError, ValueError) as error:
            del self._tracks[index]
            self._leave_out(error)

    def finish(self, *, complete: bool) -> Fraction | None:
        """Copy the rest, if the video is `complete`; returns the end of its last frame in seconds, if that is known."""
        if not complete:
            return None
        self.copy_until(float("inf"))
        return None if self._end is None else self._end + self.lead
