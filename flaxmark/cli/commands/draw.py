"""Draw a sheet of synthetic faces, with their 68 points on the lower half.

Example:
  flaxmark draw --out sheet.jpg
"""

import dataclasses

from flaxmark.cli.flags import RequiredFile, parse_flags, require_flags
from flaxmark.errors import ConfigError
from flaxmark.system.files import new_file


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark draw`."""

    out: RequiredFile = ""
    """New image file: .png or .jpg."""
    faces: int = 64
    """Number of faces, a multiple of 16."""
    seed: int = 0
    """Seed of the first face."""
    size: int = 128
    """Side of a face, pixels."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Draw the sheet: plain in the upper rows, with points in the lower ones."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "draw")
    require_flags(parsed, out="sheet.jpg")
    out = new_file(parsed.out, parsed.overwrite, (".png", ".jpg", ".jpeg"))
    if parsed.faces < 16 or parsed.faces % 16:
        raise ConfigError("must be a multiple of 16", field="faces", value=parsed.faces)
    if not 32 <= parsed.size <= 2048:
        raise ConfigError("must be in [32, 2048] pixels", field="size", value=parsed.size)
    if parsed.seed < 0:
        raise ConfigError("must be at least 0", field="seed", value=parsed.seed)

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
