"""Clips whose video is made of their actions: what is learnt of them can be told from what is not.

Latents jump one way or the other with the sign of the action; prompt and first frame say nothing about it.
"""

import torch

from xperience.cosmos3_nano.flow import MODES, Example, domain_id_of
from xperience.cosmos3_nano.post_training.clips import ClipFact

WIDTH, SIDE = 9, 4


class DrivenClips:
    """`count` clips in all three modes, each of a session of its own."""

    tier = 256

    def __init__(self, pipeline, split, count):
        self.content_sha256 = f"driven-{split}-{count}"
        self.domain_id, self.pipeline, self.count = domain_id_of("camera_pose"), pipeline, count
        self.first = {"train": 0, "val": 10_000}[split]
        self.facts = [
            ClipFact(f"{split}-{number}-{mode}", f"{split}-{number}", f"{split}-{number}", mode)
            for mode in MODES
            for number in range(count)
        ]

    def example(self, number, *, actions_of=None):
        mode = self.facts[number].mode
        latents, actions = self._made(number % self.count)
        if actions_of is not None:
            actions = self._made(actions_of % self.count)[1]
        tokens, _ = self.pipeline.tokenize_prompt(
            "Go on.", num_frames=17, height=64, width=64, fps=10.0, use_system_prompt=False, action_mode=mode,
            action_view_point="ego_view",
        )  # fmt: skip
        return Example(mode, self.domain_id, WIDTH, latents, actions, tokens, 10.0)

    def _made(self, number):
        drawn = torch.Generator().manual_seed(self.first + number)
        sign = 1.0 if number % 4 < 2 else -1.0
        actions = torch.zeros(16, 64)
        actions[:, :WIDTH] = 0.8 * sign + 0.2 * (torch.rand(16, WIDTH, generator=drawn) * 2 - 1)
        first = torch.randn(48, 1, SIDE, SIDE, generator=drawn) * 0.3
        way = torch.randn(48, 1, 1, 1, generator=torch.Generator().manual_seed(5)) * 1.5
        return torch.cat([first, first + sign * way.expand(48, 4, SIDE, SIDE)], 1)[None], actions
