"""Resolution tiers: the canvas that a picture is put on, what of it is picture, and the vision tokens of a clip.

Source: `_ACTION_RESOLUTION_BINS` of diffusers' pipeline_cosmos3_omni.py, which a test holds this against. A tier is not
the height in pixels; nothing is scaled up.
"""

import math
from collections.abc import Sequence

from xperience.common.evidence import Part

Size = tuple[int, int]
# (height, width) of each canvas.
CANVASES: dict[int, tuple[Size, ...]] = {
    256: ((256, 256), (256, 320), (320, 256), (192, 320), (320, 192)),
    480: ((640, 640), (544, 736), (736, 544), (480, 832), (832, 480)),
    704: ((960, 960), (832, 1088), (1088, 832), (704, 1280), (1280, 704)),
    720: ((960, 960), (832, 1104), (1104, 832), (720, 1280), (1280, 720)),
}
# A token is 32 × 32 pixels of four frames; the first frame has tokens of its own.
TOKEN_PIXELS, TOKEN_FRAMES = 32, 4
LATENT_PIXELS = 16


class TierSize(Part):
    """Of one size of pictures: (height, width) in pixels, and the tokens of a clip by its number of frames."""

    canvas: Size
    content: Size
    vision_tokens: dict[int, int]


def vision_tokens(frames: int, height: int, width: int) -> int:
    """Of a clip: latent frames × ⌈height / 32⌉ × ⌈width / 32⌉."""
    of_frame = math.ceil(height / TOKEN_PIXELS) * math.ceil(width / TOKEN_PIXELS)
    return (1 + (frames - 1) // TOKEN_FRAMES) * of_frame


def tier_size(tier: int, height: int, width: int, frames: Sequence[int]) -> TierSize:
    """The canvas of the nearest aspect; the picture in it, padded, whose latents alone become tokens."""
    # diffusers first makes the sides multiples of 16.
    height, width = (max(side // LATENT_PIXELS, 1) * LATENT_PIXELS for side in (height, width))
    canvas = min(CANVASES[tier], key=lambda size: abs(size[0] / size[1] - height / width))
    scale = min(canvas[0] / height, canvas[1] / width, 1.0)
    content = max(1, int(scale * height + 0.5)), max(1, int(scale * width + 0.5))
    kept = [max(side // LATENT_PIXELS, 1) * LATENT_PIXELS for side in content]
    tokens = {count: vision_tokens(count, kept[0], kept[1]) for count in frames}
    return TierSize(canvas=canvas, content=content, vision_tokens=tokens)
