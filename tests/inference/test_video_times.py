"""Videos that are written again: the times of all frames, the length, and the sound."""

import itertools
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flaxmark.inference.video.frames import read_frames, video_format
from flaxmark.inference.video.writing import VideoWriter

av = pytest.importorskip("av")

# Seconds of frames that come as they like, within four seconds.
UNEVEN = (0, 0.1, 0.13, 0.5, 0.52, 1.0, 2.0, 2.1, 3.9)
EVEN = tuple(number / 25 for number in range(50))


def write(
    path: Path,
    codec: str,
    clock: int,
    times: Sequence[float],
    *,
    rate: int = 30,
    start: float = 0.0,
    sound: str | None = None,
    sound_start: float = 0.0,
    sound_rate: int = 44100,
    sound_seconds: float = 4.0,
) -> Path:
    """A video with frames at given times after `start`, and a tone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"bf": "2"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, clock)
        options = {"strict": "-2"}  # for Vorbis
        layout = "stereo" if sound == "vorbis" else "mono"
        audio: Any = sound and container.add_stream(sound, rate=sound_rate, layout=layout, options=options)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * number % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round((time + start) * clock), Fraction(1, clock)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio:
            wave = np.sin(np.arange(int(sound_seconds * sound_rate)) * (880 * math.pi / sound_rate))
            tone = av.AudioFrame.from_ndarray(0.5 * wave[None].astype(np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.time_base = sound_rate, Fraction(1, sound_rate)
            tone.pts = round(sound_start * sound_rate)
            size = audio.codec_context.frame_size or 1024
            fitting = av.AudioResampler(audio.codec_context.format.name, layout, sound_rate, size)
            for piece in [*fitting.resample(tone), *fitting.resample(None)]:
                container.mux(audio.encode(piece))
            container.mux(audio.encode())
    return path


def again(path: Path) -> tuple[Path, str]:
    """Write a video again, as it is drawn; its path, and the note about its sound."""
    out = path.with_name("again.mp4")
    with VideoWriter(out, (64, 48), video_format(path)) as writer:
        for seconds, frame in read_frames(path):
            writer.write(frame, seconds)
    return out, writer.note


def times(path: Path) -> np.ndarray:
    return np.array([seconds for seconds, _ in read_frames(path)])


def length(path: Path) -> float:
    """Seconds that the file names as its own length."""
    with av.open(str(path)) as container:
        return float(Fraction(container.duration, av.time_base))


def sound(path: Path) -> tuple[str, float, float, bytes]:
    """Codec, seconds from the first frame to the start and to the end, and samples of the sound as played."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        last = frames[-1]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=-1)
        end = float(last.time - first + last.samples / last.sample_rate)
        return stream.codec_context.codec.canonical_name, float(frames[0].time - first), end, samples.tobytes()


# Name of the file, codec, ticks of its clock per second.
CLOCKS = {
    "matroska": ("x.mkv", "libx264", 1000),
    "a clock of milliseconds": ("x.webm", "libvpx", 1000),
    "mp4": ("x.mp4", "libx264", 12_800),
    "mov": ("x.mov", "mpeg4", 600),
    "microseconds": ("x.mp4", "libx264", 1_000_000),
}


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("start", [0.0, 10.0])
def test_frames_keep_their_own_times(tmp_path: Path, kind: str, start: float) -> None:
    name, codec, clock = CLOCKS[kind]
    source = write(tmp_path / name, codec, clock, UNEVEN, rate=1000 if name == "x.webm" else 30, start=start)
    out, note = again(source)
    np.testing.assert_allclose(times(source), UNEVEN, atol=1e-3)
    np.testing.assert_allclose(times(out), times(source), atol=1e-9)
    with av.open(str(out)) as container:
        assert container.duration / av.time_base >= 3.9
        assert container.streams.video[0].start_time == 0
    assert note == ""


def test_the_last_frame_is_shown_as_long_as_in_the_source(tmp_path: Path) -> None:
    source = write(tmp_path / "x.mkv", "mpeg4", 1000, UNEVEN, rate=4)
    out, _ = again(source)
    assert length(out) == pytest.approx(length(source), abs=2e-3)
    assert length(out) == pytest.approx(3.9 + 1 / 4, abs=2e-3)


def test_other_encoders_have_coarser_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "x.ts", "mpeg2video", 25, EVEN[:10], rate=25)  # transport streams count 1/90,000 s
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    np.testing.assert_allclose(times(again(source)[0]), EVEN[:10], atol=1e-4)


SOUNDS = {
    "aac": ("x.mp4", "libx264", "aac", "aac", 44100),
    "opus": ("x.webm", "libvpx", "libopus", "opus", 48000),
    "mp3": ("x.avi", "mpeg4", "libmp3lame", "mp3", 44100),
    "flac": ("x.mkv", "libx264", "flac", "flac", 44100),
    "pcm": ("x.mkv", "libx264", "pcm_s16le", "aac", 22050),
    "vorbis": ("x.webm", "libvpx", "vorbis", "aac", 44100),
}


@pytest.mark.parametrize("kind", SOUNDS)
def test_sound_is_kept(tmp_path: Path, kind: str) -> None:
    name, codec, encoder, expected, rate = SOUNDS[kind]
    if encoder not in av.codecs_available:
        pytest.skip(f"this PyAV has no {encoder}")
    frames = EVEN if name.endswith("avi") else UNEVEN
    source = write(
        tmp_path / name, codec, 25 if name.endswith("avi") else 1000, frames, rate=25, sound=encoder, sound_rate=rate
    )
    out, note = again(source)
    assert note == ""
    np.testing.assert_allclose(times(out), times(source), atol=1e-9)
    before, after = sound(source), sound(out)
    assert after[0] == expected
    assert after[1:3] == pytest.approx(before[1:3], abs=0.06)
    if before[0] == expected != "opus":  # packet by packet; .mp4 tells players to cut off what Opus adds
        assert before[3] == after[3]
    assert length(out) == pytest.approx(length(source), abs=0.03)


@pytest.mark.parametrize(("start", "sound_start"), [(0.5, 0.0), (10.0, 10.5), (3.0, 3.0)])
def test_sound_stays_where_it_was(tmp_path: Path, start: float, sound_start: float) -> None:
    source = write(
        tmp_path / "x.mkv", "libx264", 1000, UNEVEN, start=start, sound="flac", sound_start=sound_start, sound_seconds=6
    )
    out, _ = again(source)
    np.testing.assert_allclose(times(out), UNEVEN, atol=1e-3)
    before, after = sound(source), sound(out)
    assert before[1] == pytest.approx(sound_start - start, abs=2e-3)
    assert after[1:3] == pytest.approx(before[1:3], abs=2e-3)
    assert after[3] == before[3]


def test_sound_that_cannot_be_kept_is_left_out_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "x.mkv", "libx264", 1000, UNEVEN, sound="pcm_s16le")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no encoder")

    monkeypatch.setattr(av, "AudioResampler", refuse)
    out, note = again(source)
    assert str(source) in note
    assert "\n" not in note
    np.testing.assert_allclose(times(out), UNEVEN, atol=1e-3)


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    out, _ = again(path)
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_files_that_store_no_times_have_frames_at_steps(tmp_path: Path) -> None:
    """AVI has none, so those of frames that are stored in another order are made up, and some come twice."""
    source = write(tmp_path / "x.avi", "libx264", 25, EVEN, rate=25)
    assert np.diff(times(source)).min() > 0.02
    np.testing.assert_allclose(times(again(source)[0]), times(source), atol=1e-6)


@pytest.mark.parametrize(("a", "b", "c", "d"), [(0, 1, -1, 0), (-1, 0, 0, -1)])
def test_turned_videos_are_upright_with_their_sound(tmp_path: Path, a: int, b: int, c: int, d: int) -> None:
    source = write(tmp_path / "x.mp4", "libx264", 600, UNEVEN, sound="aac")

    def stored(*matrix: int) -> bytes:
        a, b, c, d = (number << 16 for number in matrix)
        return struct.pack(">6i", a, b, 0, c, d, 0)

    content = source.read_bytes()
    start = content.index(stored(1, 0, 0, 1), content.index(b"tkhd"))
    source.write_bytes(content[:start] + stored(a, b, c, d) + content[start + 24 :])
    out = tmp_path / "again.mp4"
    frames = list(read_frames(source))
    with VideoWriter(out, frames[0][1].shape[1::-1], video_format(source)) as writer:
        for seconds, frame in frames:
            writer.write(frame, seconds)
    written = list(read_frames(out))
    assert written[0][1].shape == ((64, 48, 3) if b else (48, 64, 3))
    np.testing.assert_allclose([time for time, _ in written], [time for time, _ in frames], atol=1e-9)
    assert sound(out)[3] == sound(source)[3]


def test_sound_ends_with_the_frames_of_an_interrupted_video(tmp_path: Path) -> None:
    source = write(tmp_path / "x.mkv", "libx264", 1000, EVEN, sound="flac")
    out = tmp_path / "again.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(out, (64, 48), video_format(source)) as writer:
        for seconds, frame in itertools.islice(read_frames(source), 25):
            writer.write(frame, seconds)
        raise KeyboardInterrupt
    assert len(times(out)) == 25
    assert 0.7 < sound(out)[2] < 1.2
