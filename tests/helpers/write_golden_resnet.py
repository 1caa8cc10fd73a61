"""Write golden_resnet.json with PyTorch: python tests/write_golden_resnet.py."""

import json
from pathlib import Path

from helpers.torch_resnet import outputs_of

PATH = Path(__file__).parent / "golden_resnet.json"

if __name__ == "__main__":
    if not PATH.exists():
        PATH.write_text("{}")  # test_pretrained reads it when it is imported
    from test_pretrained import images, weights_of

    golden = {str(depth): outputs_of(depth, weights_of(depth), images()).round(6).tolist() for depth in (18, 50)}
    PATH.write_text(json.dumps(golden) + "\n")
