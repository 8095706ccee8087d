"""Turn a settings model into the flags and variables of a typer command."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from xperience.common.errors import UsageError
from xperience.common.settings import Settings


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def variables_of(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that a setting is read from, first one first."""
    return [f"XPERIENCE_{name.upper()}", *_extra(field).get("env", [])]


def flag_of(name: str, field: FieldInfo) -> str:
    """The flag of a setting."""
    return str(_extra(field).get("flag") or f"--{name.replace('_', '-')}")


def option_of(name: str, field: FieldInfo) -> inspect.Parameter:
    """One typer option with the field's type, default and meaning."""
    flag = flag_of(name, field)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag,
        envvar=variables_of(name, field),
        help=field.description,
        rich_help_panel=_extra(field).get("group") or "Options",
    )
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[field.annotation, option]
    )


def command(
    app: typer.Typer, name: str, model: type[Settings]
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register `function(settings)` as a command whose flags are the fields of `model`."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(**values: Any) -> None:
            try:
                settings = model.model_validate(values)
            except ValidationError as error:
                first = error.errors()[0]
                name_of_field = str(first["loc"][0])
                flag = flag_of(name_of_field, model.model_fields[name_of_field])
                raise UsageError("bad value", where=flag, why=first["msg"], fix=f"See `{name} --help`.") from error
            function(settings)

        parameters = [option_of(field_name, field) for field_name, field in model.model_fields.items()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, help=inspect.getdoc(function))(run)
        return function

    return register
