import struct
from pathlib import Path

import numpy as np
import pytest

from flaxmark.errors import ConfigError, ImageError, MissingPackageError, StorageError
from flaxmark.inference.files.inputs import VIDEO_SUFFIXES
from flaxmark.inference.video.frames import VideoFormat, read_camera, read_frames, video_format
from flaxmark.inference.video.writing import VideoWriter

av = pytest.importorskip("av")
COUNT = 12


def image(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A bright square on grey that moves to the right; the upper left corner is red."""
    frame = np.full((height, width, 3), 90, np.uint8)
    frame[16:32, 4 + 3 * number : 20 + 3 * number] = 230
    frame[:10, :10] = (200, 30, 30)
    return frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, (64, 48)) as writer:
        for number in range(COUNT):
            writer.write(image(number), number / 25)
    return path


def test_frames_come_back_in_time_and_as_they_were(clip: Path) -> None:
    frames = list(read_frames(clip))
    assert [round(seconds * 25) for seconds, _ in frames] == list(range(COUNT))
    for number, (_, frame) in enumerate(frames):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - image(number)).mean() < 6  # of the codec
    assert clip.suffix in VIDEO_SUFFIXES
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]


# How phones are held: matrix (a, b, c, d) of the file, shape of the frame on the screen, where its red corner is then.
HELD = {
    "upright": ((1, 0, 0, 1), (48, 64), (4, 4)),
    "a quarter clockwise": ((0, 1, -1, 0), (64, 48), (4, 43)),
    "upside down": ((-1, 0, 0, -1), (48, 64), (43, 59)),
    "a quarter counter-clockwise": ((0, -1, 1, 0), (64, 48), (59, 4)),
    "mirrored": ((-1, 0, 0, 1), (48, 64), (4, 59)),
    "mirrored and turned": ((0, 1, 1, 0), (64, 48), (4, 4)),
}


@pytest.mark.parametrize("held", HELD)
def test_frames_are_turned_as_players_show_them(clip: Path, tmp_path: Path, held: str) -> None:
    """The display matrix is in the track's header: a, b, u, c, d, v, x, y, w in 16.16 bits, u, v, w in 2.30."""

    def stored(a: int, b: int, c: int, d: int) -> bytes:
        return struct.pack(">6i", a << 16, b << 16, 0, c << 16, d << 16, 0)

    matrix, shape, corner = HELD[held]
    content = clip.read_bytes()
    start = content.index(stored(1, 0, 0, 1), content.index(b"tkhd"))
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content[:start] + stored(*matrix) + content[start + 24 :])
    _, frame = next(read_frames(turned))
    assert frame.shape == (*shape, 3)
    assert frame.flags.c_contiguous
    red = frame[..., 0].astype(int) - frame[..., 1] > 60
    np.testing.assert_allclose(np.argwhere(red).mean(axis=0), corner, atol=2)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mov", "mpeg4"),
        (".m4v", "mpeg4"),
        (".mkv", "mpeg4"),
        (".avi", "mpeg4"),
        (".webm", "libvpx"),
        (".mpg", "mpeg1video"),
        (".mpeg", "mpeg2video"),
        (".ogv", "libvpx"),
        (".wmv", "wmv2"),
        (".ts", "mpeg2video"),
    ],
)
def test_all_kinds_of_videos_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg writes no {codec}")
    monkeypatch.chdir(tmp_path)
    name = f"12:30{suffix}"  # no protocol
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(COUNT):
            for packet in stream.encode(av.VideoFrame.from_ndarray(image(number), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    assert [frame.shape for _, frame in read_frames(name)] == [(48, 64, 3)] * COUNT
    assert video_format(name).frame_rate == pytest.approx(25)


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile '{clip}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{clip}</BaseURL></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={clip}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_playlists_are_refused(tmp_path: Path, clip: Path, kind: str, name: str) -> None:
    """FFmpeg would open whatever they name."""
    (tmp_path / name).write_text(PLAYLISTS[kind].format(clip=clip))
    with pytest.raises(ImageError) as caught:
        next(read_frames(tmp_path / name))
    assert caught.value.file == tmp_path / name
    assert video_format(tmp_path / name) == VideoFormat()


def test_cameras_are_asked_for_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none; FFmpeg's message shows that it tried to open the device."""
    monkeypatch.setattr("flaxmark.inference.video.frames.Path.exists", lambda _: True)
    with pytest.raises(ImageError, match="No such file") as caught:
        next(read_camera(97))
    assert (caught.value.field, caught.value.value) == ("camera", 97)


def test_colours_are_named(clip: Path) -> None:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (6, 1)  # SMPTE 170M, limited range


def test_an_odd_size_loses_its_last_row(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "odd.mp4", (65, 49)) as writer:
        writer.write(image(0, 65, 49), 0.0)
    ((seconds, frame),) = read_frames(tmp_path / "odd.mp4")
    assert (seconds, frame.shape) == (0, (48, 64, 3))


def test_an_error_leaves_nothing_and_an_interrupt_keeps_the_frames(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), VideoWriter(tmp_path / "x.mp4", (64, 48)) as writer:
        writer.write(image(0), 0.0)
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "x.mp4", (64, 48)) as writer:
        writer.write(image(0), 0.0)
        raise KeyboardInterrupt
    assert len(list(read_frames(tmp_path / "x.mp4"))) == 1


def test_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "x.mp4", tmp_path / "x.text"):
        with pytest.raises(StorageError) as caught:
            VideoWriter(path, (64, 48))
        assert caught.value.file == path
        assert "\n" not in str(caught.value)
    with VideoWriter(tmp_path / "x.mp4", (64, 48)):
        pass  # a video without frames is not written
    assert list(tmp_path.iterdir()) == []


def test_without_x264_another_codec_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    with VideoWriter(tmp_path / "x.mp4", (64, 48)) as writer:
        writer.write(image(0), 0.0)
        writer.write(image(1, 128, 96), 0.04)  # of another size: scaled
    frames = [frame for _, frame in read_frames(tmp_path / "x.mp4")]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2
    assert np.abs(frames[0].astype(int) - image(0)).mean() < 6


def test_a_file_that_is_not_a_video_is_one_line(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(ImageError) as missing:
        next(read_frames(tmp_path / "no.mp4"))
    assert missing.value.file == tmp_path / "no.mp4"
    text = tmp_path / "text.mp4"
    text.write_text("not a video at all\n" * 50)
    with pytest.raises(ImageError) as caught:
        next(read_frames(text))
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError):
        next(read_frames(clip, max_megapixels=0.001))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:-400])  # its index is at the end
    with pytest.raises(ImageError):
        list(read_frames(cut))
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 44100
        for packet in [*stream.encode(silence), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(ImageError):
        next(read_frames(sound))
    with pytest.raises(ConfigError) as camera:
        next(read_camera(97))
    assert (camera.value.field, camera.value.value) == ("camera", 97)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """A video with its index before its 40 noisy images, and first byte and size of each packet."""
    path = tmp_path_factory.mktemp("streamed") / "streamed.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with av.open(str(path)) as container:
        return path, [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("damage", ["cut short", "zeros", "noise"])
def test_frames_before_a_damage_come_first(
    streamed: tuple[Path, list[tuple[int, int]]], tmp_path: Path, damage: str
) -> None:
    path, packets = streamed
    content = bytearray(path.read_bytes())
    start = packets[24][0] + packets[24][1] // 2  # packets lie in the file as they are decoded
    bad = {"zeros": bytes(3000), "noise": np.random.default_rng(1).bytes(3000)}.get(damage)
    content[start : None if bad is None else start + len(bad)] = bad or b""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    frames, whole = [], dict(read_frames(path))
    with pytest.raises(ImageError):
        frames.extend(read_frames(broken))  # keeps the frames before
    assert 20 <= len(frames) <= 24  # decoders hold back a few until they know their order
    for seconds, frame in frames[:20]:
        np.testing.assert_array_equal(frame, whole[seconds])


@pytest.mark.parametrize("kept", [0.45, 0.8])
def test_a_matroska_file_that_is_cut_short_says_so(tmp_path: Path, kept: float) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    noise = np.random.default_rng(0)
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(250):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(read_frames(whole))) == 250
    cut.write_bytes(whole.read_bytes()[: int(kept * whole.stat().st_size)])
    count = 0
    with pytest.raises(ImageError) as caught:
        for _ in read_frames(cut):
            count += 1
    assert caught.value.file == cut
    assert 0 < count < 250


def test_time_starts_at_the_first_frame(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "x.ts", (64, 48)) as writer:
        for number in range(COUNT):
            writer.write(image(number), 2 + number / 25)
    with av.open(str(tmp_path / "x.ts")) as container:
        assert container.streams.video[0].start_time > 0
    assert [round(seconds * 25, 3) for seconds, _ in read_frames(tmp_path / "x.ts")] == list(range(COUNT))


def test_without_pyav_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("flaxmark.inference.video.frames.importlib.import_module", missing)
    with pytest.raises(MissingPackageError, match=r"pip install 'flaxmark\[video\]'"):
        next(read_frames(tmp_path / "x.mp4"))
