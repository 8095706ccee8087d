"""`xperience demo`."""

from xperience.common.settings import DemoSettings


def demo(settings: DemoSettings) -> None:
    """The relay on this machine: 16 synthetic episodes to SSH and to S3, with a kill -9 on the way."""
    from xperience.standin.demo import run_demo

    run_demo(settings.keep)
