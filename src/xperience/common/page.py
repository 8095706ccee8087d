"""Pages: one self-contained HTML file from a template of `xperience/pages`."""

from typing import Any

from xperience.common.sizes import human_bytes, human_seconds


def render(template: str, **values: Any) -> str:
    """The page. Everything that is not marked as safe is escaped; a name that is not there is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("xperience", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": human_bytes,
        "duration": human_seconds,
        "percent": lambda share: f"{share:.1%}",
        # For charts alone: our own text, with every name in it escaped.
        "svg": Markup,
    }
    return environment.get_template(template).render(**values)
