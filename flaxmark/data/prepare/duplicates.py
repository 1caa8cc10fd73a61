"""Faces that are in a data set twice, or on both sides of a split."""

import dataclasses
import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flaxmark.data.entries import HELD_OUT, KNOWN_COPY, SAME_FACE, FaceEntry, Problem
from flaxmark.data.readers.ibug_300w import known_copies
from flaxmark.faces.missing import count_missing, present

# In the official lists of HELEN: two of its faces are training faces, one is a test face.
KNOWN_SHARED = "helen/296814969"
# Mean distance of two annotations of a face, relative to its size: two annotators differ by less, two faces by more.
SAME_WITHIN = 0.05


def remove_duplicates(
    entries: list[FaceEntry], root: Path, by_content_only: bool
) -> tuple[list[FaceEntry], list[Problem]]:
    """Leave out repeated faces, and training faces of a photograph in the validation or a test split.

    Byte-identical images are one photograph, whatever their names, and two annotations of a face are one. Copies that
    300-W is known for are reported as such. Call it before a validation split is taken from the training faces.

    Args:
        entries: All faces.
        root: The data set's folder.
        by_content_only: Ignore names, where `photograph` identifies a person.

    Returns:
        The remaining faces in their order, and what was left out.
    """
    contents = _repeated_contents(entries, root)
    entries = _join_photographs(entries, contents)
    # Held-out faces come first: of two faces that cannot both stay, the training face goes, and of two in training or
    # two held-out ones that with fewer points.
    missing = [count_missing(entry.landmarks_px) for entry in entries]
    ordered = sorted(range(len(entries)), key=lambda i: (entries[i].split == "train", missing[i]))
    seen: dict[str, list[FaceEntry]] = defaultdict(list)
    held_out: dict[str, list[str]] = defaultdict(list)
    kept: set[int] = set()
    problems: list[Problem] = []
    for i in ordered:
        entry = entries[i]
        content = contents.get(entry.file, entry.file)
        photograph = content if by_content_only else entry.photograph
        same = next((other for other in seen[content] if _same_face(entry.landmarks_px, other.landmarks_px)), None)
        if same is not None:
            problems.append(Problem(entry.file, SAME_FACE, f"same face of the same image as in {same.file}"))
            continue
        seen[content].append(entry)
        if entry.split != "train":
            held_out[photograph].append(entry.file)
        elif photograph in held_out:
            problems.append(_shared(entry.file, photograph, held_out[photograph]))
            if photograph != KNOWN_SHARED:
                continue
        kept.add(i)
    return [entries[i] for i in sorted(kept)], problems


def _shared(file: str, photograph: str, held_out: list[str]) -> Problem:
    """The note about a training face of a photograph that held-out files show, too."""
    if all(known_copies(file, other) for other in held_out):
        return Problem(file, KNOWN_COPY, f"also {held_out[0]}; left out", known=True)
    known = photograph == KNOWN_SHARED
    fate = "kept, as in the official lists" if known else "left out"
    return Problem(file, HELD_OUT, f"also {held_out[0]}; {fate}", known)


def _same_face(first: Float[np.ndarray, "points 2"], second: Float[np.ndarray, "points 2"]) -> bool:
    """Whether two annotations of an image are of one face, by the points that both have; pixels."""
    both = present(first) & present(second)
    if not both.any():
        return False
    size = np.ptp(first[present(first)], axis=0).max()
    return bool(np.linalg.norm(first[both] - second[both], axis=1).mean() <= SAME_WITHIN * size)


def _repeated_contents(entries: list[FaceEntry], root: Path) -> dict[str, str]:
    """File -> hash of its content, for files that share their size with another."""
    by_size: dict[int, set[str]] = defaultdict(set)
    for file in {entry.file for entry in entries}:
        by_size[(root / file).stat().st_size].add(file)
    same_size = (file for files in by_size.values() if len(files) > 1 for file in files)
    return {file: _hash_file(root / file) for file in same_size}


def _hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _join_photographs(entries: list[FaceEntry], contents: dict[str, str]) -> list[FaceEntry]:
    """Give photographs that share a byte-identical image the same name: the first in order."""
    parent: dict[str, str] = {}

    def first(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    photograph_of: dict[str, str] = {}
    for entry in entries:
        content = contents.get(entry.file, entry.file)
        earlier = photograph_of.setdefault(content, entry.photograph)
        low, high = sorted((first(earlier), first(entry.photograph)))
        if low != high:
            parent[high] = low
    return [dataclasses.replace(entry, photograph=first(entry.photograph)) for entry in entries]
