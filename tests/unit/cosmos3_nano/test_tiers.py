"""Sizes and token counts per tier; those of 16:9 are the published ones."""

import pytest

from xperience.cosmos3_nano.tiers import tier_size, vision_tokens

WIDE = (1080, 1920)


@pytest.mark.parametrize(
    ("tier", "frames", "tokens"),
    [(256, 17, 300), (480, 17, 1_950), (480, 61, 6_240), (720, 17, 4_600), (480, 189, 18_720), (720, 189, 44_160)],
)
def test_canvases_of_sixteen_to_nine_have_the_published_tokens(tier, frames, tokens):
    assert vision_tokens(frames, *tier_size(tier, *WIDE, frames=()).canvas) == tokens


@pytest.mark.parametrize(
    ("tier", "canvas", "content", "tokens"),
    [(256, (256, 256), (256, 256), 320), (480, (640, 640), (512, 512), 1_280), (720, (960, 960), (512, 512), 1_280)],
)
def test_square_pictures_are_never_scaled_up_and_padding_has_no_tokens(tier, canvas, content, tokens):
    found = tier_size(tier, 512, 512, frames=(17,))
    assert (found.canvas, found.content, found.vision_tokens) == (canvas, content, {17: tokens})
