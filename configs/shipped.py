"""The model that comes with flaxmark: the weights of config `shipped_64px`, trained further at 112 px.

It also predicts the expected error (sigma) of each point, and whether the point is seen. Its head looks again at the
points that it found.

Result: NME 2.32 % on 500 drawn test faces (mean face 25.3 %) and, packed, 4.33 % on 176 validation
faces of 300-W (mean face 18.2 %; docs/results/model_card.md).
Time: 289 minutes, and 45 for drawing the faces: 2 cores (AMD EPYC), JAX 0.12.0.1, 2026-11-29. The weights
were trained in parts, most of them with a dense head; the last 18 epochs, three hours, trained this network.

flaxmark train --config shipped_64px
flaxmark train --config shipped
flaxmark pack --workdir runs/shipped --out flaxmark/inference/weights/resnet18_drawn.safetensors --overwrite
"""

import dataclasses

from flaxmark.config import Config, RefinedHead
from flaxmark.config.recipes import strong


def get_config() -> Config:
    """12 epochs on 40,000 drawn faces, as cameras with noise, other colours and JPEG compression show them."""
    config = strong(18, "nll")
    augment = dataclasses.replace(config.data.augment, temperature=0.15, grey=0.1, noise=0.04, jpeg=0.6)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            name="drawn_faces",
            drawn_train=40_000,
            drawn_validation=500,
            image_size=112,
            augment=augment,
        ),
        model=dataclasses.replace(
            config.model, sigma=True, head=RefinedHead("weighted", visible=True), init_from="runs/shipped_64px"
        ),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-3, warmup_steps=100),
        train=dataclasses.replace(config.train, epochs=12, batch_size=16, visible_weight=1.0),
    )
