"""Turn a settings model into the flags and variables of a typer command."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from xperience.common.errors import UsageError
from xperience.common.settings import Settings


def variables_of(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that a setting is read from, first one first."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    further = extra.get("env")
    return [f"XPERIENCE_{name.upper()}", *(str(item) for item in further or [])]  # type: ignore[union-attr]


def option_of(name: str, field: FieldInfo) -> inspect.Parameter:
    """One typer option with the field's type, default and meaning."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(
        *([f"{flag}/--no-{flag[2:]}"] if field.annotation is bool else [flag]),
        envvar=variables_of(name, field),
        help=field.description,
        rich_help_panel=str(extra.get("group") or "Options"),
    )
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[field.annotation, option]
    )


def command(app: typer.Typer, name: str, model: type[Settings]) -> Callable[[Callable[[Any], None]], None]:
    """Register `function(settings)` as a command whose flags are the fields of `model`."""

    def register(function: Callable[[Any], None]) -> None:
        def run(**values: Any) -> None:
            try:
                settings = model.model_validate(values)
            except ValidationError as error:
                first = error.errors()[0]
                flag = f"--{str(first['loc'][0] if first['loc'] else '').replace('_', '-')}"
                raise UsageError("bad value", where=flag, why=first["msg"], fix=f"See `{name} --help`.") from error
            function(settings)

        parameters = [option_of(field_name, field) for field_name, field in model.model_fields.items()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, help=inspect.getdoc(function))(run)

    return register
