"""Train, evaluate and predict on drawn faces; `make demo` runs this."""

import sys
from pathlib import Path

from flaxmark.cli.main import run_main

WORKDIR = Path("runs/demo")


def main(arguments: list[str]) -> None:
    """Train unless that is done, predict the landmarks of a new drawn face, and list what was written."""
    from PIL import Image

    from flaxmark.config.files import load_config
    from flaxmark.data.drawn import draw_face
    from flaxmark.errors import ConfigError
    from flaxmark.evaluation.metrics import nme
    from flaxmark.faces.crop import landmark_box
    from flaxmark.inference.files.image_files import save_image
    from flaxmark.inference.overlay import draw
    from flaxmark.inference.predictor import Predictor
    from flaxmark.training.loop import train

    if arguments and arguments != ["--debug"]:
        raise ConfigError(f"{arguments[0]}: the demo takes no arguments; flaxmark train does")
    train(load_config("quickstart"), WORKDIR)
    # A seed of its own, far from those of the training faces.
    image, landmarks = draw_face(seed=987_654_331, size=320)
    Image.fromarray(image).save(WORKDIR / "photo.png")
    box = landmark_box(landmarks).round()
    (face,) = Predictor(WORKDIR).predict(WORKDIR / "photo.png", box)
    save_image(draw(image, face), WORKDIR / "prediction.png")
    print(f"a new face, predicted with NME {nme(face.landmarks, landmarks):.2f} %\n")
    print("look at:")
    for name, content in {
        "table.md": "errors of the best checkpoint beside the mean face",
        "test.png": "test faces, ground truth and prediction",
        "curves.png": "loss and NME over the epochs",
        "prediction.png": "landmarks of the new face (photo.png)",
    }.items():
        print(f"  {WORKDIR / name!s:<28} {content}")
    numbers = " ".join(f"{value:.0f}" for value in box)
    example = f"--workdir {WORKDIR} {WORKDIR / 'photo.png'} --boxes {numbers} --draw out.png"
    print(f"\nand try: {sys.executable} -m flaxmark predict {example}")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
