from pathlib import Path

import numpy as np
import pytest

from flaxmark import video
from flaxmark.config import ConfigError
from flaxmark.inputs import VIDEO_SUFFIXES
from flaxmark.video import VideoWriter, read_camera, read_frames

av = pytest.importorskip("av")
COUNT = 12


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A bright square on grey that moves to the right; the upper left corner is red."""
    frame = np.full((height, width, 3), 90, np.uint8)
    frame[16:32, 4 + 3 * number : 20 + 3 * number] = 230
    frame[:10, :10] = (200, 30, 30)
    return frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, (64, 48), 25) as writer:
        for number in range(COUNT):
            writer.write(picture(number))
    return path


def test_frames_come_back_in_time_and_as_they_were(clip: Path) -> None:
    frames = list(read_frames(clip))
    assert [round(seconds * 25) for seconds, _ in frames] == list(range(COUNT))
    for number, (_, frame) in enumerate(frames):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - picture(number)).mean() < 6  # of the codec
    assert clip.suffix in VIDEO_SUFFIXES
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]


def test_rotation_is_that_of_players() -> None:
    # A display matrix that says 90 degrees counter-clockwise: the upper right corner comes to the upper left.
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[0, 2] = 255
    turned = video._upright(frame, 90)
    assert turned.shape == (3, 2, 3)
    assert turned[0, 0].tolist() == [255] * 3
    assert video._upright(frame, -180)[1, 0].tolist() == [255] * 3
    np.testing.assert_array_equal(video._upright(frame, 0), frame)


def test_an_odd_size_loses_its_last_row(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "odd.mp4", (65, 49), 30) as writer:
        writer.write(picture(0, 65, 49))
    ((seconds, frame),) = read_frames(tmp_path / "odd.mp4")
    assert (seconds, frame.shape) == (0, (48, 64, 3))


def test_of_a_failure_nothing_is_left_and_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), VideoWriter(tmp_path / "x.mp4", (64, 48), 25) as writer:
        writer.write(picture(0))
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "x.mp4", (64, 48), 25) as writer:
        writer.write(picture(0))
        raise KeyboardInterrupt
    assert len(list(read_frames(tmp_path / "x.mp4"))) == 1


def test_what_is_no_video_is_one_line(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        next(read_frames(tmp_path / "no.mp4"))
    text = tmp_path / "text.mp4"
    text.write_text("not a video at all\n" * 50)
    with pytest.raises(ConfigError, match="not a video, or damaged") as caught:
        next(read_frames(text))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"frames of 64 x 48, above 0\.001 MP"):
        next(read_frames(clip, max_megapixels=0.001))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:-400])  # its index is at the end
    with pytest.raises(ConfigError, match="damaged"):
        list(read_frames(cut))
    with pytest.raises(ConfigError, match="there is no /dev/video97"):
        next(read_camera(97))


def test_frames_before_a_damage_come_first(tmp_path: Path) -> None:
    """A transport stream has no index: it can be read up to where it is broken, and to its end."""
    path = tmp_path / "x.ts"
    with VideoWriter(path, (64, 48), 25) as writer:
        for number in range(COUNT):
            writer.write(picture(number))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        count = sum(1 for _ in read_frames(path))
    except ConfigError:
        count = 1
    assert 1 <= count < COUNT


def test_without_pyav_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(video.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'flaxmark\[video\]'"):
        next(read_frames(tmp_path / "x.mp4"))
