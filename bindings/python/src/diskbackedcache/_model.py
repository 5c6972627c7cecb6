"""What can be cached, and how it becomes JSON and an object again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, PydanticUndefinedAnnotation, ValidationError


class CacheableModel(BaseModel):
    """The base of everything that is cached: a frozen Pydantic model with a `schema_version`.

    A subclass gives `schema_version` a default, and a new one whenever its fields change in such a way that what was
    stored before should not be used any more. It is frozen, because the cache hands out one and the same object to
    everyone.
    """

    # NaN and the infinities have no place in strict JSON, but a value must come back as it was put.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants", defer_build=True)


# Pydantic makes the validator of this one when somebody uses it, so that an import does not wait for it; those of
# subclasses at once, as ever, unless they say so themselves.
del CacheableModel.model_config["defer_build"]

ModelT = TypeVar("ModelT", bound=CacheableModel)

MAX_SCHEMA_VERSION_SIZE: Final = 64

_SECRET: Final = b'"**********"'  # what Pydantic makes of SecretStr, SecretBytes and Secret


_schema_version_of: Final = attrgetter("schema_version")


class UndecodableError(Exception):
    """A stored value that is no valid instance of the model (any more)."""


def schema_version(model: type[CacheableModel]) -> str:
    """The default of the model's `schema_version` field. Raises ValueError if there is none that can serve."""
    field = model.model_fields.get("schema_version")
    version = None if field is None else field.get_default(call_default_factory=False)
    if field is None or field.is_required() or field.default_factory is not None:
        raise ValueError(f"Model {model.__name__} must define a default schema_version")
    if not isinstance(version, str):
        raise ValueError(f"Model {model.__name__}: schema_version must be a str, got {type(version).__name__}")
    try:
        size = len(version.encode())
    except UnicodeEncodeError:
        raise ValueError(f"Model {model.__name__}: schema_version must be valid Unicode text") from None
    if not 1 <= size <= MAX_SCHEMA_VERSION_SIZE or "\0" in version:
        raise ValueError(
            f"Model {model.__name__}: schema_version must be 1 to {MAX_SCHEMA_VERSION_SIZE} bytes of UTF-8"
            f" without U+0000, got {version!r}"
        )
    return version


class Codec(Generic[ModelT]):
    """Encodes and decodes the instances of one model.

    Fields go by their own names, both ways, whatever aliases they have: those are for other people's JSON, and the one
    for writing may differ from the one for reading.
    """

    __slots__ = ("_encode", "model", "schema_version", "validate_json")

    def __init__(self, model: type[ModelT]) -> None:
        self.model: Final[type[ModelT]] = model
        if not isinstance(model, type) or not issubclass(model, CacheableModel):
            got = model.__name__ if isinstance(model, type) else type(model).__name__
            raise TypeError(f"model must be a subclass of CacheableModel, got {got}")
        if not model.model_config.get("frozen"):
            raise ValueError(f"Model {model.__name__} must be frozen")
        self.schema_version: Final = schema_version(model)
        try:
            # No-op unless references to classes defined later are still open. What this module calls by their names it
            # must not find, so it gets no names from here.
            model.model_rebuild(_types_namespace={})
        except PydanticUndefinedAnnotation as e:
            raise TypeError(
                f"Model {model.__name__} refers to {e.name!r}, which cannot be found from here;"
                f" call {model.__name__}.model_rebuild() where it can"
            ) from None
        to_json = model.__pydantic_serializer__.to_json
        self._encode = self._encode_with_extra if model.model_config.get("extra") == "allow" else to_json
        self.validate_json = model.__pydantic_validator__.validate_json  # the first half of decode()

    def check(self, value: ModelT) -> None:
        """Raises TypeError or ValueError for what could not come back as it is.

        An instance of a subclass is refused too: it would come back as the model itself, without what it added.
        """
        if type(value) is not self.model:
            raise TypeError(f"Value must be an instance of {self.model.__name__}, got {type(value).__name__}")
        version: object = getattr(value, "schema_version", None)
        if version != self.schema_version:
            raise ValueError(
                f"Value has schema_version {version!r}, but the default of {self.model.__name__}"
                f" is {self.schema_version!r}"
            )

    def are_current(self, values: Collection[ModelT]) -> bool:
        """Are these all instances of exactly the model, of its schema version? Looks at no single one."""
        try:
            return set(map(type, values)) <= {self.model} and set(map(_schema_version_of, values)) <= {self.schema_version}
        except (AttributeError, TypeError):  # no schema_version, or one without a hash
            return False

    def check_many(self, values: Sequence[ModelT]) -> None:
        """The same for a batch, without a look at single values when all is well."""
        if not self.are_current(values):
            for value in values:
                self.check(value)

    def encode(self, value: ModelT) -> bytes:
        """JSON. What Pydantic raises for a field that cannot be serialised is a ValueError and passes through."""
        data = self._encode(value, round_trip=True, by_alias=False)
        if _SECRET in data:
            self._refuse_secrets(data, value)
        return data

    def encode_many(self, values: Sequence[ModelT]) -> tuple[bytes, list[int]]:
        """The same for a batch: all JSON in one block, and the size of each."""
        encode = self._encode
        data = [encode(value, round_trip=True, by_alias=False) for value in values]
        block = b"".join(data)
        if _SECRET in block:
            for one, value in zip(data, values):
                if _SECRET in one:
                    self._refuse_secrets(one, value)
        return block, list(map(len, data))

    def _encode_with_extra(self, value: ModelT, **options: Any) -> bytes:
        """A declared field that came by its alias leaves its name to an extra one; JSON has room for one of them."""
        for name in value.model_extra or ():
            if name in self.model.model_fields:
                raise ValueError(f"Value has both a field and an extra field of the name {name!r}")
        return self.model.__pydantic_serializer__.to_json(value, **options)

    def _refuse_secrets(self, data: bytes, value: ModelT) -> None:
        """Pydantic writes asterisks for a SecretStr, which would come back as a valid object with another secret."""
        # Field by field, without what is not stored: the model may compare in a way of its own.
        stored = [name for name, field in self.model.model_fields.items() if not field.exclude]
        try:
            read = self.decode(data)
            same = read.model_extra == value.model_extra and all(
                getattr(read, name) == getattr(value, name) for name in stored
            )
        except UndecodableError:
            same = False
        if not same:
            raise ValueError(
                f"Value has a secret, which {self.model.__name__} writes as asterisks;"
                " give the field a serializer of its own, or exclude=True and a default"
            )

    def decode(self, data: bytes) -> ModelT:
        """The object. Raises UndecodableError, whatever a validator of the model has raised."""
        try:
            value = self.validate_json(data, by_alias=False, by_name=True)
        except Exception as e:
            value = self._decode_again(data, e)
        if type(value) is not self.model or getattr(value, "schema_version", None) != self.schema_version:
            raise UndecodableError(f"not an instance of {self.model.__name__} {self.schema_version}")
        return value

    def _decode_again(self, data: bytes, error: Exception) -> ModelT:
        """What was raised comes from a validator of the model, or from a signal handler that happened to run meanwhile (a
        timeout, say; Pydantic makes a ValidationError of it when it is a ValueError and ran inside of a validator). That
        does not come again: the value is good, and what Pydantic has not swallowed is the caller's."""
        if isinstance(error, (MemoryError, RecursionError)):
            raise error
        try:
            value: ModelT = self.validate_json(data, by_alias=False, by_name=True)
        except Exception as e:
            if type(e) is type(error):
                raise UndecodableError(str(e)) from e
            if isinstance(error, ValidationError):
                raise
            raise error from None
        if isinstance(error, ValidationError):
            return value
        raise error
