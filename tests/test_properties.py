"""Any configuration, manifest and class table: an answer or a UserError, never anything else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monkeys.config import load_config, to_yaml, valid_keys
from monkeys.data.labels import parse_table, read_names
from monkeys.data.manifest import SPLITS, ClassInfo, Manifest, Row
from monkeys.errors import UserError

own_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

Result = TypeVar("Result")


def tried(make: Callable[[], Result], word: str) -> Result | None:
    """What comes of it, or None where it was refused with a message that holds the word."""
    try:
        return make()
    except UserError as error:
        said = str(error)
    assert word in said
    return None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=6
)
keys = st.sampled_from(valid_keys())


@own_folder
@given(st.dictionaries(st.sampled_from(["data", "train", "optim", "model", "augment", "run"]) | scalars, values))
def test_any_tree_is_a_configuration_or_is_refused(tmp_path, tree):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    tried(lambda: load_config(tmp_path / "c.yaml"), "c.yaml")


@own_folder
@given(st.binary(max_size=60) | st.text(alphabet="{}[]:-&*!|>'\"\n 0123456789abtfe._~", max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_are_refused(tmp_path, data):
    (tmp_path / "c.yaml").write_bytes(data)
    tried(lambda: load_config(tmp_path / "c.yaml"), "c.yaml")


@own_folder
@given(keys, st.text(max_size=30) | st.sampled_from(["2001-13-41", "1:99:99", "0o9", "[" * 5000, "&a [*a]", "~"]))
def test_any_override_is_taken_or_named(tmp_path, key, text):
    """What is taken comes back as it was from the file that a run keeps."""
    (tmp_path / "c.yaml").write_text("{}")
    config = tried(lambda: load_config(tmp_path / "c.yaml", [f"{key}={text}"]), key)
    if config:
        (tmp_path / "resolved.yaml").write_text(to_yaml(config), encoding="utf-8")
        assert load_config(tmp_path / "resolved.yaml") == config


@own_folder
@given(st.lists(keys, min_size=2, max_size=6, unique=True))
def test_every_fault_is_reported_at_once(tmp_path, wrong):
    tree: dict[str, dict[str, object]] = {}
    for key in wrong:
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name.partition(".")[0]] = object.__name__ * 3 if "." in name else [[["no"]]]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "c.yaml")
    for section, names in tree.items():
        for name in names:
            assert f"{section}.{name}" in str(caught.value)


names = st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 13}).map(os.fsdecode)
rows = st.builds(
    Row,
    path=names,
    label=st.sampled_from(["n0", "n1", "größe, \"x\"\n"]),
    split=st.sampled_from(SPLITS),
    group=names,
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    width=st.integers(0, 10**6),
    height=st.integers(0, 10**6),
)  # fmt: skip
CLASSES = tuple(ClassInfo(name, name) for name in ("n0", "n1", "größe, \"x\"\n"))  # fmt: skip


@own_folder
@given(st.lists(rows, max_size=8))
def test_a_manifest_reads_back_as_it_was(tmp_path, found):
    manifest = Manifest(Path("photos"), CLASSES, tuple(found))
    manifest.write(tmp_path / "manifest.csv")
    again = Manifest.read(tmp_path / "manifest.csv", Path("photos"), CLASSES)
    assert again == manifest
    assert again.digest == manifest.digest


@own_folder
@given(st.lists(rows, max_size=3), st.data())
def test_any_change_of_a_manifest_is_read_or_refused(tmp_path, found, data):
    Manifest(Path("photos"), CLASSES, tuple(found)).write(tmp_path / "manifest.csv")
    bytes_ = bytearray((tmp_path / "manifest.csv").read_bytes())
    for _ in range(3):
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "manifest.csv").write_bytes(bytes_)
    tried(lambda: Manifest.read(tmp_path / "manifest.csv", Path("photos"), CLASSES), "manifest.csv")


@given(st.binary(max_size=300) | st.text("Lab el,ComnNm\t\r\n0123", max_size=120).map(str.encode))
def test_any_class_table_gives_texts(data):
    for label, name in parse_table(data).items():
        assert isinstance(label, str)
        assert name == name.strip()


@own_folder
@given(st.dictionaries(st.sampled_from(["n0", "n1", "n2"]), st.text("abc xyz", min_size=1).map(str.strip)), st.data())
def test_padding_and_line_ends_of_a_class_table_do_not_matter(tmp_path, table, data):
    pads = st.sampled_from(["", " ", "\t", "   "])
    lines = ["Label, Latin Name, Common Name, Train Images"]
    lines += [
        f"{label}{data.draw(pads)},latin,{data.draw(pads)}{name}{data.draw(pads)},10" for label, name in table.items()
    ]
    (tmp_path / "labels.txt").write_bytes(data.draw(st.sampled_from(["\n", "\r\n", "\r\n\r\n"])).join(lines).encode())
    ids = ["n0", "n1", "n2"]
    names = {label: table.get(label) or label for label in ids}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    expected = {label: f"{name} ({label})" if name in twice else name for label, name in names.items()}
    assert read_names([tmp_path], ids) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb2312"])
def test_a_class_table_of_every_spreadsheet(encoding):
    assert parse_table("Label,Name\nn0,金丝猴\nn1,白臀叶猴\n".encode(encoding)) == {"n0": "金丝猴", "n1": "白臀叶猴"}


def test_a_class_table_with_a_damaged_byte():
    names = parse_table("Label,Name\nn0,金丝猴\nn1,猕猴\n".encode() + b"n2,\xff\n")
    assert (names["n0"], names["n1"]) == ("金丝猴", "猕猴")


def test_a_class_table_of_western_letters_and_one_of_numbers():
    assert parse_table("Label,Name\nn0,Coração\n".encode("cp1252")) == {"n0": "Coração"}
    assert parse_table("Label,Name\nn0,Café\n".encode("cp1252")) == {"n0": "Café"}
    assert parse_table(b"class,count\nn0,105\nn1,111\n") == {}
