"""The progress line."""

import io

from flaxmark.system.progress import Progress, format_seconds


def test_progress_for_people() -> None:
    assert [format_seconds(s) for s in (0, 42.4, 185, 7620)] == ["0s", "42s", "3m05s", "2h07m"]
    stream = io.StringIO()
    progress = Progress(10, 0, 32, stream)
    progress.step("not shown in a log file")
    progress.line("epoch 1/2")
    assert stream.getvalue().startswith("epoch 1/2  ")
    assert "images/s" in stream.getvalue()
    assert "left\n" in stream.getvalue()
