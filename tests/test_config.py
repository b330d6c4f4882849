from __future__ import annotations

from pathlib import Path

import pytest

from monkeys.config import Config, load_config, read_yaml, to_yaml, valid_keys
from monkeys.errors import UserError


@pytest.fixture
def write(tmp_path: Path):
    def write_yaml(text: str, name: str = "experiment.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_yaml


def test_every_fault_is_reported_at_once(write):
    path = write(
        "train: {epochs: -3, batch_size: 10, accumulate: 3, amp: maybe}\noptim: {leraning_rate: 1}\nmodle: {}\n"
    )
    with pytest.raises(UserError) as caught:
        load_config(path, ["data.size=abc", "nonsense"], {"optim.name": {"adam": 0, "sgd": 0}})
    message = str(caught.value)
    for part in (
        "train.epochs",
        "train.amp",
        "optim.leraning_rate: unknown key",
        "modle: unknown key (nearest: model)",
    ):
        assert part in message
    assert "data.size" in message
    assert "'nonsense'" in message


def test_a_contradiction_is_named(write):
    with pytest.raises(UserError, match=r"train.batch_size 10 cannot be cut into train.accumulate 3"):
        load_config(write("train: {batch_size: 10, accumulate: 3}"))
    with pytest.raises(UserError, match="leave nothing to train on"):
        load_config(write("data: {val_fraction: 0.6, test_fraction: 0.5}"))
    with pytest.raises(UserError, match=r"leave nothing to train on; data.fold 5 does not exist.*; data.eval_size 3"):
        load_config(write("data: {val_fraction: 0.6, test_fraction: 0.5, folds: 2, fold: 5, eval_size: 3}"))


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("train.epoch", "train.epochs"),
        ("optim.weigth_decay", "optim.weight_decay"),
        ("data.roots", "data.root"),
        ("train.mixup", "augment.mixup"),
    ],
)
def test_an_unknown_key_gets_its_nearest_neighbour(write, key, nearest):
    with pytest.raises(UserError, match=f"{key}: unknown key \\(nearest: {nearest}\\)"):
        load_config(write(""), [f"{key}=1"])


def test_an_unknown_name_gets_the_list(write):
    with pytest.raises(UserError, match=r"optim\.name: no 'adma' \(nearest: adam; known: adam, sgd\)"):
        load_config(write("optim: {name: adma}"), choices={"optim.name": {"adam": 0, "sgd": 0}})


def test_overrides_are_typed_by_the_field(write):
    overrides = ["optim.lr=1e-3", "data.sizes={0: 96, 3: 128}", "train.amp=true", "train.class_weights=[1, 2]"]
    config = load_config(write(""), overrides)
    assert config.optim.lr == 1e-3
    assert config.data.sizes == {0: 96, 3: 128}
    assert config.train.amp is True
    assert config.train.class_weights == (1.0, 2.0)


@pytest.mark.parametrize(
    ("override", "section", "key", "meant"),
    [
        ("data.root=/data/set #2", "data", "root", Path("/data/set #2")),
        ("data.root=2020", "data", "root", Path("2020")),
        ("run.name=no", "run", "name", "no"),
        ("run.name=1e3", "run", "name", "1e3"),
        ("model.pretrained=null", "model", "pretrained", "null"),
        ("data.cache_dir=null", "data", "cache_dir", None),
        ("model.layers=~", "model", "layers", None),
    ],
)
def test_names_and_paths_are_taken_as_typed(write, override, section, key, meant):
    assert getattr(getattr(load_config(write(""), [override]), section), key) == meant


@pytest.mark.parametrize("name", [".", "..", "a/b"])
def test_a_run_is_not_named_like_another_folder(write, name):
    with pytest.raises(UserError, match=r"run\.name"):
        load_config(write(""), [f"run.name={name}"])


def test_a_tilde_is_the_home_folder(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    config = load_config(write("data: {root: ~/photos}"), ["run.dir=~/runs", "data.cache_dir=~/cache"])
    assert load_config(write("data: {root: ~nobody-of-that-name/x}")).data.root == Path("~nobody-of-that-name/x")
    assert config.data.root == Path("/home/ann/photos")
    assert config.run_folder == Path("/home/ann/runs/experiment")
    assert config.data.cache_dir == Path("/home/ann/cache")


def test_an_empty_path_is_refused(write):
    with pytest.raises(UserError, match=r"data\.root"):
        load_config(write(""), ["data.root="])


def test_the_resolved_configuration_reads_back_equal(write):
    config = load_config(write("optim: {lr: 0.1}\ndata: {sizes: {0: 64, 2: 96}}"), ["run.seed=7"])
    assert load_config(write(to_yaml(config), "config.yaml")) == config


def test_a_run_is_named_after_its_file(write):
    assert load_config(write("")).run.name == "experiment"
    assert load_config(write(""), ["run.name=other"]).run_folder == Path("runs/other")


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", "just words", "!!python/object/apply:os.system ['true']"])
def test_what_is_not_a_configuration_is_refused(write, text):
    with pytest.raises(UserError, match=r"experiment\.yaml"):
        load_config(write(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such configuration file"):
        load_config(tmp_path / "missing.yaml")


def test_a_run_name_cannot_leave_its_folder(write):
    with pytest.raises(UserError, match=r"run\.name"):
        load_config(write(""), ["run.name=../../elsewhere"])


def test_configurations_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().train.epochs = 3  # type: ignore[misc]


def test_every_shipped_configuration_is_valid():
    from monkeys.cli.train import CHOICES

    paths = sorted(Path(__file__).parents[1].glob("configs/**/*.yaml"))
    assert paths
    for path in paths:
        config = load_config(path, choices=CHOICES)
        assert config.data.folds is None, f"{path.name} cannot take photographs that have a validation part"


def test_documented_keys_exist():
    promised = {
        "run": "name dir seed",
        "data": "root size val_fraction test_fraction split_seed cache cache_dir workers skip_unreadable",
        "augment": "recipe engine mixup cutmix",
        "model": "name pretrained",
        "optim": "name lr weight_decay clip_norm schedule.name schedule.warmup_epochs",
        "train": "epochs max_steps batch_size accumulate amp label_smoothing ema patience processes",
    }
    for section, keys in promised.items():
        for key in keys.split():
            assert f"{section}.{key}" in valid_keys()


@pytest.mark.parametrize("text", ["data: {size: 64}\nrun: {}\ndata: {fold: 0}", "data:\n  size: 64\n  size: 96\n"])
def test_what_stands_there_twice_is_refused(write, text):
    with pytest.raises(UserError, match="stands there twice"):
        load_config(write(text))
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(write(""), ["data.sizes={0: 64, 0: 96}"])
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(write(""), ["data.sizes={1: 64, 0x1: 96}"])


@pytest.mark.parametrize("name", ["docs #2", "0", "no", "2020-01-01", "*/docs", "a: b"])
def test_a_name_is_taken_as_typed(write, name):
    assert load_config(write(""), [f"data.exclude={name}"]).data.exclude == (name,)
    assert load_config(write(""), [f"data.cache_dir={name}"]).data.cache_dir == Path(name)


def test_several_names_stand_in_brackets(write):
    config = load_config(write("data: {cache_dir: x}"), ["data.exclude=['0', a/b]", "data.odd=", "data.cache_dir=null"])
    assert config.data.exclude == ("0", "a/b")
    assert config.data.cache_dir is None
    with pytest.raises(UserError, match=r"data.exclude: names .* want quotes, .* not \[0, 1\]"):
        load_config(write(""), ["data.exclude=[0, 1]"])


def test_a_file_name_that_no_run_can_have(write):
    assert load_config(write("", "monkeys_cpu (1).yaml")).run.name == "monkeys_cpu-1"
    assert load_config(write("", "usable-.yaml")).run.name == "usable-"
    with pytest.raises(UserError, match=r"run\.name"):
        load_config(write("", "().yaml"))


def test_what_is_no_mapping_is_refused(write):
    with pytest.raises(UserError, match="not a YAML file"):
        load_config(write("train: !!map [a]"))


def test_a_section_may_take_over_another(write):
    text = "optim: {schedule: &a {<<: {name: step, drop_period: 4}, name: plateau}}"
    schedule = load_config(write(text)).optim.schedule
    assert read_yaml(write(f"{text}\ncopy: {{<<: *a}}"))["copy"] == {"name": "plateau", "drop_period": 4}
    assert (schedule.name, schedule.drop_period) == ("plateau", 4)
