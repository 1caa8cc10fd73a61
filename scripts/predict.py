"""Landmarks of the faces of a picture, drawn and as JSON.

python scripts/predict.py --workdir runs/x photo.jpg --boxes 120 80 260 230 --out out.png
"""

import argparse
import json
import re

from flaxmark.command import new_file, run_command
from flaxmark.config import ConfigError


def main(arguments: list[str]) -> None:
    """Print JSON, and draw where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", help="picture file")
    parser.add_argument("--workdir", required=True, help="folder of a run of scripts/train.py")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        "--boxes",
        type=float,
        nargs="+",
        metavar="PX",
        help="left top right bottom of each face, tight around it, pixels",
    )
    boxes.add_argument("--pts", help="take the box from the landmarks of this .pts file")
    boxes.add_argument("--crop", action="store_true", help="the picture is the crop itself")
    parser.add_argument("--out", help="draw the landmarks into this new picture file")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    # As argparse does not know it: -1e6 is a number, too.
    parser._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
    parsed = parser.parse_args(arguments)
    out = new_file(parsed.out, parsed.overwrite, (".png", ".jpg", ".jpeg", ".pdf", ".svg"))

    import numpy as np

    from flaxmark.data.pictures import read_picture
    from flaxmark.data.pts import read_pts
    from flaxmark.geometry import landmark_box
    from flaxmark.inference import Boxes, Predictor

    predictor = Predictor(parsed.workdir)
    chosen: Boxes | None = None
    if parsed.crop:
        chosen = "image"
    elif parsed.pts:
        chosen = landmark_box(read_pts(parsed.pts, predictor.markup.num_points))
    elif parsed.boxes:
        if len(parsed.boxes) % 4:
            raise ConfigError(f"--boxes: {len(parsed.boxes)} numbers; give left top right bottom for each face")
        chosen = np.reshape(parsed.boxes, (-1, 4))
    else:
        raise ConfigError("no face box: give --boxes LEFT TOP RIGHT BOTTOM, --pts FILE, or --crop")
    faces = predictor.predict(parsed.picture, chosen)
    listed = [
        {"box": face.box.tolist(), "landmarks": face.landmarks.round(3).tolist()}
        | ({} if face.sigma is None else {"sigma": face.sigma.round(3).tolist()})
        for face in faces
    ]
    print(json.dumps({"picture": parsed.picture, "terms": predictor.metadata["terms"], "faces": listed}))
    if out is not None:
        from flaxmark.plotting import draw_landmarks

        draw_landmarks(read_picture(parsed.picture), faces, out)


if __name__ == "__main__":
    run_command(main)
