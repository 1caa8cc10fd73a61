"""Write golden_resnet.json with PyTorch: cd tests && python -m helpers.write_golden_resnet."""

import json

from helpers.torch_resnet import outputs_of
from helpers.torch_weights import GOLDEN_OUTPUTS, images, weights_of

if __name__ == "__main__":
    golden = {str(depth): outputs_of(depth, weights_of(depth), images()).round(6).tolist() for depth in (18, 50)}
    GOLDEN_OUTPUTS.write_text(json.dumps(golden) + "\n")
