"""A sheet of drawn faces with their 68 points: flaxmark draw --out sheet.jpg."""

from flaxmark.cli.flags import Parser
from flaxmark.errors import ConfigError
from flaxmark.system.files import new_file


def main(arguments: list[str]) -> None:
    """Draw the sheet: plain in the upper rows, with points in the lower ones."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", required=True, help="new image file")
    parser.add_argument("--faces", type=int, default=64, help="how many, a multiple of 16")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first face")
    parser.add_argument("--size", type=int, default=128, help="side of a face, pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parsed = parser.parse_args(arguments)
    out = new_file(parsed.out, parsed.overwrite, (".png", ".jpg", ".jpeg"))
    if parsed.faces < 16 or parsed.faces % 16:
        raise ConfigError(f"--faces {parsed.faces}: must be a multiple of 16")
    if not 32 <= parsed.size <= 2048:
        raise ConfigError(f"--size {parsed.size}: must be in [32, 2048] pixels")
    if parsed.seed < 0:
        raise ConfigError(f"--seed {parsed.seed}: must be at least 0")

    import numpy as np
    from PIL import Image, ImageDraw

    from flaxmark.data.drawn import draw_face

    tiles = []
    for index in range(parsed.faces):
        image, points = draw_face(parsed.seed + index, parsed.size)
        tile = Image.fromarray(image)
        if index >= parsed.faces // 2:
            pen = ImageDraw.Draw(tile)
            for x, y in points:
                pen.ellipse((x - 1, y - 1, x + 1, y + 1), fill="#56B4E9")
        tiles.append(np.asarray(tile))
    rows = [np.concatenate(tiles[start : start + 16], axis=1) for start in range(0, len(tiles), 16)]
    assert out is not None  # --out is required
    Image.fromarray(np.concatenate(rows)).save(out, quality=88)
