"""Form of a request, made from the dataclasses of the settings, so that options are declared once."""

from dataclasses import MISSING, Field, fields
from typing import Any

from docstring_parser import parse
from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as FormField

from humanlrm.results import FORMAT_NAMES, check_formats
from humanlrm.settings import Completion, PhotoOptions, Settings


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _form_fields(kind: type, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Names, types, defaults and descriptions of a settings dataclass."""
    described = {entry.arg_name: entry.description for entry in parse(kind.__doc__ or "").params}

    def default(entry: "Field[Any]") -> Any:
        return entry.default if entry.default is not MISSING else entry.default_factory()  # pyright: ignore

    return {
        entry.name: (entry.type, FormField(default(entry), description=described.get(entry.name)))
        for entry in fields(kind)
        if not names or entry.name in names
    }


PhotoForm = create_model(
    "PhotoForm",
    __base__=_Form,
    photo=(UploadFile, FormField(description="JPEG, PNG, WebP, TIFF...; at most 20 MB and 80 megapixels.")),
    formats=(str, FormField("glb", description=f"mesh formats, comma-separated: {', '.join(FORMAT_NAMES)}.")),
    **_form_fields(PhotoOptions, ("everyone", "preview", "walk", "turntable")),
    **_form_fields(Settings),
    **_form_fields(Completion),
)


def options_of(form: BaseModel) -> PhotoOptions:
    """The options of a form.

    Raises:
        ValueError: an impossible value.
    """
    values = {name: getattr(form, name) for name in type(form).model_fields if name != "photo"}
    options = PhotoOptions.from_flat(values | {"formats": tuple(values["formats"].replace(" ", "").split(","))})
    check_formats(options)
    return options
