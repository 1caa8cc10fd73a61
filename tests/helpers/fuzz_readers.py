"""Readers of strangers' files under coverage-guided fuzzing (atheris, which is not among the packages of `dev`).

TMPDIR=/dev/shm python tests/helpers/fuzz_readers.py pts -max_total_time=3600 -rss_limit_mb=4000 -timeout=20

Finds are left in the working folder as crash-*, timeout-* and oom-*. Kinds: see TARGETS. The words of the seeds are
given to the fuzzer as its dictionary: by flipping bytes alone it would hardly find the name of a field.
"""

import io
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from PIL import Image

with atheris.instrument_imports(include=["flaxmark", "PIL"]):
    from flaxmark.config.config import Config
    from flaxmark.data.images import FORMATS, read_image
    from flaxmark.data.readers.coco import read_coco_folder
    from flaxmark.data.readers.csv_files import read_csv_folder
    from flaxmark.data.readers.dlib import XML_NAMES, read_dlib
    from flaxmark.data.readers.pts import read_pts
    from flaxmark.errors import ConfigError, FlaxmarkError
    from flaxmark.faces.markup_files import load_markup
    from flaxmark.models.weight_files import read_tensors
    from flaxmark.schema import from_dict, to_dict
    from flaxmark.storage.packed import load_packed
    from flaxmark.tools.compared_systems import read_predictions

ODD_WORDS = [*b"null true -1 1e999 NaN [] {} &a; ../ C:\\ \0 \xef\xbb\xbf".split(), b"<!ENTITY a 'b'>"]
NAMES = ("afw/a.jpg", "a.png", "a;b.png")  # images that are there: readers look no further than a missing one
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
    "annotations": [{"id": 1, "image_id": 1, "keypoints": [1, 2, 2] * 5, "bbox": [0, 0, 9, 9]}],
    "categories": [{"id": 1, "keypoints": ["a"] * 5}],
}
WHOLE_BODY = {
    "images": [{"id": 1, "coco_url": "http://images/a.png", "width": 8, "height": 8}],
    "annotations": [
        {
            "image_id": 1,
            "iscrowd": 0,
            "face_valid": True,
            "face_box": [0, 0, 9, 9],
            "face_kpts": [1, 2, 2, 3, 4, 0] * 34,
        }
    ],
}
MARKUP = {
    "name": "six", "num_points": 6, "flip_order": [1, 0, 2, 4, 3, 5], "interocular": [0, 1],
    "parts": {"eyes": [0, 1], "nose": [2], "mouth": [3, 4], "chin": [5]}, "outlines": [[0, 2, 1], [3, 4]],
}  # fmt: skip


def _encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(stream, kind)
    return stream.getvalue()


def _xml(count: int) -> bytes:
    parts = "".join(f"<part name='{number:02d}' x='{number}' y='2'/>" for number in range(count))
    box = f"<box top='1' left='1' width='70' height='5'>{parts}</box>"
    return f"<dataset><images><image file='{NAMES[0]}'>{box}</image></images></dataset>".encode()


def _words(seeds: list[bytes]) -> str:
    """A libFuzzer dictionary of the names and numbers that seeds are made of."""
    found = {word for seed in seeds for word in re.findall(rb"[\w.]{2,40}", seed)}
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in [*sorted(found), *ODD_WORDS])
    return "".join(f'"{word}"\n' for word in escaped)


def _read_config(path: Path) -> None:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    from_dict(content, Config)


def _read_markup(path: Path) -> None:
    try:
        load_markup(path)
    except ValueError as error:  # which the command line takes for its user's mistake
        raise ConfigError(str(error)) from error


# Kind -> name of the file, its reader, and where fuzzing starts.
TARGETS: dict[str, tuple[str, Callable[[Path], object], list[bytes]]] = {
    "image": ("a.jpg", read_image, [_encoded(kind) for kind in FORMATS]),
    "pts": ("a.pts", lambda path: read_pts(path, 5), [b"version: 1\nn_points:  5\n{\n" + b"1.5 2\n" * 5 + b"}\n"]),
    "xml": (
        XML_NAMES[0],
        lambda path: read_dlib(path.parent),
        [_xml(1), _xml(68)],
    ),
    "csv": (
        "a.csv",
        lambda path: read_csv_folder(path.parent, 2, None, None, None),
        [
            b"file,x0,y0,x1,y1\na.png,1,2,3,4\n", b'"a;b.png";1;2;3;4\n',
            b",x_left_eye,x_right_eye,y_left_eye,y_right_eye,image\n0,1,,-1,nan,/b/a.png\n",
        ],
    ),
    "coco": ("a.json", lambda path: read_coco_folder(path.parent, 5, None, None, None), [json.dumps(COCO).encode()]),
    "body": (
        "a.json",
        lambda path: read_coco_folder(path.parent, 68, None, None, None, needs_box=True),
        [json.dumps(WHOLE_BODY).encode()],
    ),
    "markup": ("m.json", _read_markup, [json.dumps(MARKUP).encode()]),
    "config": (
        "c.json",
        _read_config,
        [b'{"data": {"image_size": 64}, "model": {"depth": 18}}', json.dumps(to_dict(Config())).encode()],
    ),
    "predictions": ("p.json", read_predictions, [b'{"a.png": [[1, 2], [3, 4]]}']),
    "packed": ("w.safetensors", load_packed, [b'\x08\0\0\0\0\0\0\0{"a":{}}']),
    "weights": ("w.safetensors", read_tensors, [b'\x08\0\0\0\0\0\0\0{"a":{}}']),
}  # fmt: skip


def main() -> None:
    """Fuzz the kind that is named; everything after it is libFuzzer's."""
    kind = sys.argv.pop(1)
    name, read, seeds = TARGETS[kind]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    (FOLDER / "words").write_text(_words(seeds))
    (FOLDER / "in" / "afw").mkdir(parents=True)
    for image in NAMES:
        (FOLDER / "in" / image).write_bytes(_encoded("PNG"))
    path = FOLDER / "in" / name

    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except FlaxmarkError as error:
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error!r}") from error

    atheris.Setup([*sys.argv, f"-dict={FOLDER / 'words'}", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
