"""The whole experiment, read from a YAML file and `-o section.key=value` into the models of `settings.py`.

Every fault is collected before anything is reported: unknown keys with the nearest valid one, wrong types,
contradictions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from .errors import UserError
from .settings import Config

# A date such as 2001-13-41 is a ValueError, endless brackets are a RecursionError.
NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
_MERGE = "tag:yaml.org,2002:merge"  # `<<`

__all__ = ["Config", "described_settings", "load_config", "read_yaml", "run_name", "to_yaml", "valid_keys"]


def load_config(
    path: Path,
    overrides: Sequence[str] = (),
    choices: Mapping[str, Mapping[str, object]] | None = None,
    hints: Mapping[str, str] | None = None,
) -> Config:
    """Read a YAML file, apply `a.b=v` overrides, and check everything.

    choices: dotted key -> table of its legal names (the tables live in modules that this one may not import); hints:
    a name that is none of them -> what to say of it.
    Raises UserError that lists every fault at once.
    """
    tree = read_yaml(path)
    faults = [fault for text in overrides if (fault := _override(tree, text))]
    run = tree.setdefault("run", {})
    if isinstance(run, dict) and not run.get("name"):
        run["name"] = run_name(path)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        faults += _sentences(error.errors())
    faults += _unknown_names(tree, choices or {}, hints or {})
    if faults:
        place = f"{path} with -o" if overrides else str(path)
        raise UserError(f"{place}: {faults[0]}" if len(faults) == 1 else "\n  ".join([f"{place}:", *faults]))
    return config


def run_name(config: Path) -> str:
    """What a run is called whose configuration does not say: its file, with dashes for what names no folder."""
    usable = re.sub(r"[^\w.-]+", "-", config.stem)
    return config.stem if usable == config.stem else usable.strip("-") or config.stem


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file (plain data only: tags that build objects are refused)."""
    try:
        tree = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no such configuration file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except NOT_YAML as error:
        raise UserError(f"{path}: not a YAML file: {' '.join(str(error).split())[:200]}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected sections such as data: and train:, found {type(tree).__name__}")
    return tree


class _Loader(yaml.SafeLoader):
    """Plain data only, and no key twice, of which YAML's own loader keeps the last without a word."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """A mapping as it stands, before `<<` adds keys to it; ConstructorError where one of its own stands twice."""
        node = super().compose_mapping_node(anchor)
        found: set[Any] = set()
        for scalar in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            key = scalar.value if scalar.tag == _MERGE else self.construct_object(scalar)  # 1 and 0x1 are one key
            if key in found:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands there twice", node.start_mark)
            found.add(key)
        return node


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(tree: dict[str, Any], text: str) -> str | None:
    """Set one `a.b=v` in the tree; returns the fault, if any."""
    key, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in key.split(".")):
        return f"-o {text!r}: expected section.key=value"
    *sections, last = key.split(".")
    node = tree
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            return f"-o {text!r}: {section} is a value, not a section"
        node = child
    try:
        node[last] = value if _as_typed(key, value) else _scalar(value)
    except NOT_YAML:
        return f"-o {text!r}: the value is not valid YAML"
    return None


def _as_typed(key: str, value: str) -> bool:
    """Whether a name or a path is given: taken as typed, since YAML makes 2020 a number and cuts at ` #`.

    One of several names may stand without brackets; `null` is neither where there may be none.
    """
    kind: Any = Config
    for part in key.split("."):
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        kind = fields[part].annotation if part in fields else None
    kinds = {get_args(option)[0] if get_origin(option) is Annotated else option for option in get_args(kind) or (kind,)}
    if not value or not {str, Path} & kinds:
        return False
    if get_origin(kind) is tuple:
        return not value.startswith("[")
    nothing = ("null",) if Path in kinds else ("null", "~")  # ~ is the home folder
    return value not in nothing or NoneType not in kinds


def _scalar(text: str) -> Any:
    """A YAML value; `1e-3`, which YAML 1.1 reads as text, is a number here."""
    value = _parse(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentences(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Pydantic's errors, a sentence for each key: where one may be of several kinds, it complains of each of them."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for item in items:
        key, reason, got = _describe(item)
        reasons.setdefault((key, got), []).append(reason)
    return [f"{key}: {', or '.join(found)}{got}" for (key, got), found in reasons.items()]


def _describe(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """One pydantic error: its dotted path, what is wrong, and what was given in its place."""
    dotted = ".".join(str(part) for part in item["loc"])
    keys = valid_keys()
    if item["type"] == "extra_forbidden":
        last = dotted.rpartition(".")[2]
        near = [key for key in keys if key.rpartition(".")[2] == last]  # the right name in the wrong section
        near += difflib.get_close_matches(dotted, keys + list(Config.model_fields), n=1, cutoff=0.0)
        return dotted, f"unknown key (nearest: {near[0]})", ""
    # pydantic names the tried alternatives of a union behind the key; people know only the key
    key = next((key for key in keys if dotted == key or dotted.startswith(key + ".")), dotted)
    reason = item["msg"].removeprefix("Value error, ")
    got = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
    return key, reason[0].lower() + reason[1:], got


def described_settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Dotted key, default and description of every setting, in order."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from described_settings(kind, f"{prefix}{name}.")
        else:
            legal = ", ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else ""
            yield prefix + name, field.default, field.description or legal


def valid_keys() -> list[str]:
    """Every dotted key of the configuration, in order."""
    return [key for key, _, _ in described_settings()]


def _unknown_names(
    tree: Mapping[str, Any], choices: Mapping[str, Mapping[str, object]], hints: Mapping[str, str]
) -> list[str]:
    faults = []
    for key, table in choices.items():
        value: Any = tree
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value not in table:
            near = difflib.get_close_matches(value, list(table), n=1, cutoff=0.0)[0]
            hint = hints.get(value, f"nearest: {near}")
            faults.append(f"{key}: no {value!r} ({hint}; known: {', '.join(table)})")
    return faults
