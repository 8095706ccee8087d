"""`xperience demo`."""

from xperience.common.errors import ConfigurationError
from xperience.common.settings.demo import DemoSettings


def demo(settings: DemoSettings) -> None:
    """The whole way on this machine: 16 synthetic episodes, one of them unusable, over a kill -9 to passed gates."""
    try:
        from xperience.standin.demo import run_demo
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "the demo needs more than the relay", why=f"{error.name} is not installed",
            fix="Use `make demo` in a checkout, or pip install 'xperience[standin]'.",
        ) from error  # fmt: skip
    run_demo(settings.keep, with_training=settings.train)
