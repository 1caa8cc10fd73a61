"""The faces of a run: listed in its workdir, and compared when it resumes."""

import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jax

from flaxmark.config.config import Config
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split
from flaxmark.errors import DataError
from flaxmark.storage.metric_log import METRICS, keep_lines
from flaxmark.storage.remote import saved_checkpoints
from flaxmark.storage.workdir import FACES, TRAIN_FACES
from flaxmark.system.devices import all_agree
from flaxmark.system.files import write_text

SPLITS = ("train", "validation")
NAMED = 3  # faces of a kind in a message

Faces = dict[str, dict[str, list[str]]]
"""Split -> file -> checksums of its faces; no checksums where they are not known."""


def list_faces(prepared: Prepared) -> Faces:
    """The training and validation faces, with a checksum of all that training sees of each."""
    return {split: _checksums(load_split(prepared, split)) for split in SPLITS if split in prepared.counts}


def _checksums(examples: Examples) -> dict[str, list[str]]:
    faces = defaultdict(list)
    rows = zip(examples.files, examples.checksums(), examples.landmarks, examples.crops, strict=True)
    for file, image, landmarks, crop in rows:
        faces[file].append(f"{zlib.crc32(landmarks.tobytes() + crop.tobytes(), image):08x}")
    return {file: sorted(found) for file, found in faces.items()}


def write_faces(workdir: Path, faces: Faces) -> None:
    """List the faces in the workdir, and the files of the training faces once more.

    Evaluation warns about those, and their list can be a data.train_list.
    """
    if jax.process_index() == 0:
        lines = [
            f"{split}\t{checksum}\t{file}\n"
            for split, files in faces.items()
            for file, checksums in files.items()
            for checksum in checksums
        ]
        write_text(workdir / FACES, "".join(lines))
        write_text(workdir / TRAIN_FACES, "\n".join(faces["train"]) + "\n")


def stored_faces(workdir: Path) -> Faces | None:
    """Faces that the run has listed at its last start, or None; earlier versions listed training files only."""
    if (workdir / FACES).is_file():
        faces: Faces = {}
        for line in (workdir / FACES).read_text(encoding="utf-8").split("\n")[:-1]:
            split, checksum, file = line.split("\t", 2)
            faces.setdefault(split, {}).setdefault(file, []).append(checksum)
        return faces
    if (workdir / TRAIN_FACES).is_file():
        names = (workdir / TRAIN_FACES).read_text(encoding="utf-8").splitlines()
        return {"train": {name: [] for name in names}}
    return None


def has_other_faces(workdir: Path, config: Config, faces: Faces) -> bool:
    """Whether a run that resumes goes on with other faces, which its config has to accept; the same on all processes.

    Raises DataError that names the differences where the config does not accept them.
    """
    if not saved_checkpoints(workdir):
        return False
    stored = stored_faces(workdir)
    differing = "; ".join(_differences(stored, faces)) if stored else ""
    if all_agree(not differing):
        return False
    if not config.train.accept_other_data:
        differing = differing or "another process has other faces"
        reason = (
            f"the run in {workdir} was trained on other faces: {differing}. Put them back, give another --workdir, or "
            "accept it with --train.accept-other-data: the best checkpoint is then chosen anew"
        )
        raise DataError(reason, field="data.dir", value=config.data.dir)
    if jax.process_index() == 0:
        print(f"other faces than before: {differing}")
    return True


def _differences(stored: Faces, faces: Faces) -> Iterator[str]:
    """What has changed in each split, with the first names."""
    for split, before in stored.items():
        now = faces.get(split, {})
        known = any(before.values())  # else only which files there were
        counts = [sum(map(len, files.values())) if known else len(files) for files in (before, now)]
        kinds = {
            "gone": [file for file in before if len(now.get(file, [])) < len(before[file]) or file not in now],
            "new": [file for file in now if file not in before or (known and len(now[file]) > len(before[file]))],
            "changed": [
                file
                for file, checksums in before.items()
                if known and len(now.get(file, [])) == len(checksums) and now[file] != checksums
            ],
        }
        text = ", ".join(f"{len(files)} {kind} ({_some(files)})" for kind, files in kinds.items() if files)
        if text:
            yield f"{split} {counts[1]:,} faces instead of {counts[0]:,}: {text}"


def _some(files: list[str]) -> str:
    return ", ".join(files[:NAMED]) + (", .." if len(files) > NAMED else "")


def set_other_faces_aside(workdir: Path) -> None:
    """Move what belongs to the faces before to `other_data/STEP`: lists, validation figures, and older checkpoints.

    The newest checkpoint stays, to go on from; until it is validated anew it has the figures of the faces before.
    """
    if jax.process_index() == 0:
        folders = saved_checkpoints(workdir)
        aside = folders[-1].parent.parent / "other_data" / folders[-1].name
        while aside.exists():
            aside = aside.with_name(aside.name + "_again")
        aside.mkdir(parents=True)
        for folder in folders[:-1]:
            folder.rename(aside / folder.name)
        for name in (METRICS, FACES, TRAIN_FACES):
            if (workdir / name).is_file():
                (aside / name).write_bytes((workdir / name).read_bytes())
        keep_lines(workdir, lambda line: line["kind"] != "validation")
        print(f"what belonged to them is in {os.fspath(aside)}")
    all_agree(True)  # nobody reads the checkpoints before they are moved
