"""Logs: structlog to stderr as JSON or text; stdout is left to results."""

import logging
import sys

import structlog


def configure_log(log_format: str, level: str = "info") -> None:
    """`log_format` is json or text; one line per event, with time, level and event name."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up at each line: a live progress display puts its own stderr in place to print above itself.
        logger_factory=lambda *_arguments: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_log() -> structlog.typing.FilteringBoundLogger:
    """The project's logger: `get_log().info("file_verified", path=…)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log
