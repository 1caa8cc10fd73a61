"""metrics.jsonl and TensorBoard's files."""

from pathlib import Path

import tensorflow as tf
from tensorboardX.proto.event_pb2 import Event, SessionLog

from flaxmark.storage.metric_log import MetricWriter, read_metrics


def test_a_resumed_writer_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    writer = MetricWriter(tmp_path, 0)
    for step in (1, 2, 3):
        writer.write("train", step, {"loss": step / 2})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # cut off by a crash
    writer = MetricWriter(tmp_path, 2)
    writer.write("train", 3, {"loss": 9.0})
    writer.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(1, 0.5), (2, 1.0), (3, 9.0)]
    newest = max((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    # TensorFlow looks at the checksums.
    start, restart, scalars, *_ = map(Event.FromString, tf.data.TFRecordDataset(str(newest)).as_numpy_iterator())
    assert start.file_version == "brain.Event:2"
    assert (restart.step, restart.session_log.status) == (3, SessionLog.START)
    assert (scalars.step, scalars.summary.value[0].tag) == (3, "train/loss")
    assert scalars.summary.value[0].simple_value == 9.0
