"""Small trees of drawn faces on disk, as 300-W, dlib's packaging and CSV files are, traps included."""

import dataclasses
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, ImageOps

from flaxmark.data.config import DataConfig
from flaxmark.data.readers.ibug_300w import SUBSETS_300W
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from helpers.images import draw, encode

SHARED = "296814969"  # HELEN's photograph on both sides
FACES = {  # photographs of several faces have their names together
    "afw": [("1051618982_1",), ("134212_1", "134212_2")] + [(f"{n}_1",) for n in range(2001, 2010)],
    "helen/trainset": [(f"{SHARED}_1", f"{SHARED}_2")] + [(f"{n}_1",) for n in range(3001, 3011)],
    "lfpw/trainset": [(f"image_{n:04d}",) for n in range(1, 9)],
    "helen/testset": [(f"{SHARED}_3",), ("4001_1",), ("4002_1",)],
    "lfpw/testset": [(f"image_{n:04d}",) for n in (1, 2)],
    "ibug": [("image_003_1",), ("image_092 _01",), ("image_012",)],
    "300W/01_Indoor": [("indoor_001",), ("indoor_002",)],
    "300W/02_Outdoor": [("outdoor_001",)],
}
GREY = {"lfpw/trainset/image_0002.png", "ibug/image_012.jpg", "300W/01_Indoor/indoor_002.png"}


@dataclasses.dataclass(frozen=True)
class Tree:
    """A folder and the faces in it: file -> float64 [68, 2], 0-based pixels."""

    folder: Path
    faces: dict[str, np.ndarray]


def format_pts(landmarks_px: np.ndarray, style: int) -> bytes:
    """The points in one of the ways that real copies have."""
    lines = [f"{x + 1:.6f} {y + 1:.6f}" for x, y in landmarks_px]
    texts = (
        "version: 1\nn_points:  68\n{\n" + "\n".join(lines) + "\n}\n",
        "version: 1\r\nn_points: 68 \r\n{\r\n" + " \r\n".join(lines) + "\r\n}\r\n",
        "\n".join(lines) + "\n",
        "version: 1  \nn_points:68\n{ \n" + "  \n".join(f"  {line}" for line in lines) + "\n}",
    )
    return texts[style % len(texts)].encode()


def write_official_tree(folder: Path, seed: int = 0) -> Tree:
    """Write every subset of 300-W with a few drawn faces each."""
    faces: dict[str, np.ndarray] = {}
    for subset, photographs in FACES.items():
        (folder / subset).mkdir(parents=True)
        suffix = ".png" if subset.startswith(("lfpw", "300W")) else ".jpg"
        for names in photographs:
            seeds = [seed + 1000 + len(faces) + i for i in range(len(names))]
            images, points = zip(*map(draw, seeds), strict=True)
            for i, (name, landmarks_px) in enumerate(zip(names, points, strict=True)):
                file = f"{subset}/{name}{suffix}"
                side_by_side = Image.fromarray(np.concatenate(images, axis=1))
                side_by_side = side_by_side.convert("L") if file in GREY else side_by_side
                (folder / file).write_bytes(encode(side_by_side, "PNG" if suffix == ".png" else "JPEG"))
                faces[file] = landmarks_px + np.array([i * images[0].shape[1], 0])
                (folder / file).with_suffix(".pts").write_bytes(format_pts(faces[file], len(faces)))
    return Tree(folder, faces)


def write_dlib_packaging(folder: Path, tree: Tree) -> Tree:
    """Package a tree as dlib does: mirrored twins, most official test faces in the training XML, no 300W."""
    elements: dict[str, list[str]] = {"train": [], "test": []}
    faces = {}
    for i, (file, exact) in enumerate(tree.faces.items()):
        if file.startswith("300W"):
            continue
        landmarks_px = faces[file] = np.round(exact)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((tree.folder / file).read_bytes())
        twin = PurePosixPath(file).with_name(f"{PurePosixPath(file).stem}_mirror.jpg").as_posix()
        with Image.open(folder / file) as image:
            width = image.width
            ImageOps.mirror(image).save(folder / twin)
        flipped = landmarks_px[list(IBUG_68.flip_order)] * [-1, 1] + [width - 1, 0]
        target = elements["test" if i % 5 == 0 else "train"]
        target += [image_element(file, landmarks_px), image_element(twin, flipped)]
    for name, lines in elements.items():
        text = "\n".join(["<?xml version='1.0'?>", "<dataset><images>", *lines, "</images></dataset>"])
        (folder / f"labels_ibug_300W_{name}.xml").write_text(text)
    return Tree(folder, faces)


def dlib_box(landmarks_px: np.ndarray) -> tuple[int, int, int, int]:
    """A detector-like box: left, top, width, height."""
    left, top, right, bottom = landmark_box(landmarks_px)
    size = round(max(right - left, bottom - top) / 0.95)
    return round((left + right - size) / 2), round(top - 0.1 * size), size, size


def image_element(file: str, landmarks_px: np.ndarray) -> str:
    left, top, width, height = dlib_box(landmarks_px)
    parts = "".join(f"<part name='{i:02d}' x='{x:.0f}' y='{y:.0f}'/>" for i, (x, y) in enumerate(landmarks_px))
    box = f"<box top='{top}' left='{left}' width='{width}' height='{height}'>{parts}</box>"
    return f"<image file={quoteattr(file)} width='1' height='1'>{box}</image>"


def write_csv_tree(folder: Path, seed: int = 0) -> Tree:
    """Write frames of several people, annotated in one CSV file a folder."""
    faces = {}
    for name, people in (("training", 15), ("test", 3)):
        (folder / name).mkdir(parents=True)
        lines = ["," + ",".join(str(i) for i in range(136))]
        for i in range(2 * people):
            image, landmarks_px = draw(seed + 5000 + len(faces))
            file = f"{name}/Person_{chr(65 + i // 2)}_{i:02d}.jpg"
            (folder / file).write_bytes(encode(image, "JPEG"))
            faces[file] = np.round(landmarks_px)
            lines.append(PurePosixPath(file).name + "," + ",".join(f"{v:.1f}" for v in faces[file].ravel()))
        (folder / f"{name}_frames_keypoints.csv").write_text("\n".join(lines) + "\n")
    return Tree(folder, faces)


def expected_counts(tree: Tree) -> dict[str, int]:
    """Official folder -> its faces in a tree."""
    folders = [PurePosixPath(file).parent.as_posix() for file in tree.faces]
    return {folder: folders.count(folder) for folder in SUBSETS_300W}


def config_of(folder: Path, **changes: object) -> DataConfig:
    """A data config for a folder, prepared beside it."""
    return DataConfig(dir=str(folder), prepared_dir=str(folder.parent / "prepared"), **changes)  # type: ignore[arg-type]
