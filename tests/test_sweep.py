from __future__ import annotations

import csv
from pathlib import Path

import pytest
from invented_runs import write_run

from monkeys.cli import sweep
from monkeys.reports.sweep import REPORTED, write_sweep

TINY = """
data: {root: ROOT, size: 16, cache_dir: CACHE}
augment: {recipe: none}
model: {name: plain, layers: LAYERS}
optim: {name: momentum, lr: 0.01, schedule: {name: step, warmup_epochs: 0, drop_period: 2, drop_factor: 0.5}}
train: {epochs: 1, batch_size: 6}
"""


@pytest.fixture
def configs(tmp_path: Path, photos: Path) -> list[Path]:
    """Three configurations; the second has a list of layers that cannot be built."""
    made = []
    for name, layers in (("first", "conv3-4 fc3 softmax"), ("second", "conv3-4 what fc3"), ("third", "fc3 softmax")):
        text = TINY.replace("ROOT", str(photos)).replace("CACHE", str(tmp_path / "cache")).replace("LAYERS", layers)
        made.append(tmp_path / f"{name}.yaml")
        made[-1].write_text(text)
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_one_that_fails_does_not_end_the_sweep(configs, tmp_path, capfd):
    out = tmp_path / "out"
    arguments = [*map(str, configs), "--out", str(out), "-o", "optim.lr=0.02"]
    assert sweep.main(arguments) == 2
    assert "position 2" in capfd.readouterr().err  # of the list that cannot be built
    first, second, third = rows(out / "sweep.csv")
    assert [row["state"] for row in (first, second, third)] == ["finished", "failed, exit code 2", "finished"]
    assert (first["optimizer"], first["lr"], first["drop_period"]) == ("momentum", "0.02", "2")
    assert 0 <= float(first["low"]) <= float(first["measured"]) <= float(first["high"]) <= 1
    assert second["measured"] == ""
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    before = (out / "first" / "best.safetensors").stat().st_mtime_ns
    configs[1].write_text(configs[1].read_text().replace("what ", ""))
    assert sweep.main(arguments) == 0
    assert (out / "first" / "best.safetensors").stat().st_mtime_ns == before  # finished: nothing was done again
    assert [row["state"] for row in rows(out / "sweep.csv")] == ["finished"] * 3


@pytest.mark.slow
def test_a_sweep_repeated_with_other_settings_leaves_the_first_ones_table(configs, tmp_path, capfd):
    out = tmp_path / "out"
    arguments = [str(configs[0]), "--out", str(out), "-o"]
    assert sweep.main([*arguments, "optim.lr=0.02"]) == 0
    before = (out / "sweep.csv").read_bytes()
    assert sweep.main([*arguments, "optim.lr=0.5"]) == 2
    assert "another --out" in capfd.readouterr().err
    assert (out / "sweep.csv").read_bytes() == before


def test_every_configuration_is_read_before_the_first_is_trained(configs, tmp_path, capfd):
    out = tmp_path / "out"
    assert sweep.main([str(configs[0]), str(tmp_path / "nowhere.yaml"), "--out", str(out)]) == 2
    assert sweep.main([*map(str, configs), "--out", str(out), "-o", "optin.lr=1"]) == 2
    said = capfd.readouterr().err
    assert "no such configuration file" in said
    assert said.count("optin: unknown key") == 1
    assert not out.exists()


def test_what_a_sweep_refuses(configs, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert sweep.main(["a/x.yaml", "b/x.yaml", *out]) == 2
    assert "two configurations are named x" in capsys.readouterr().err
    assert sweep.main(["a/x y.yaml", "x-y.yaml", *out]) == 2
    assert "two configurations are named x-y" in capsys.readouterr().err
    assert sweep.main([str(tmp_path / "x y.yaml"), *out]) == 2
    assert "no such configuration file" in capsys.readouterr().err
    assert sweep.main(["a.yaml", *out, "-o", "run.name=mine"]) == 2
    assert "run.name=mine" in capsys.readouterr().err
    (tmp_path / "sweep.md").write_text("mine")
    assert sweep.main([str(configs[0]), "--out", str(tmp_path)]) == 2
    assert "holds sweep.md, which no sweep has written" in capsys.readouterr().err
    assert sweep.main([str(configs[0]), "--out", "x" * 300]) == 2
    assert "name is too long" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert sweep.main([str(configs[0]), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "no folder for results" in capsys.readouterr().err


def test_the_table_holds_both_figures(tmp_path):
    name = "network_84_8153"
    write_run(tmp_path / name, [True] * 18 + [False] * 6, leaking=4)
    page = write_sweep(tmp_path, {name: "finished", "absent": "failed, exit code 3"}).read_text(encoding="utf-8")
    assert "| 84.8% | 75.0% | 55.1% to 88.0% |" in page
    assert "failed, exit code 3" in page
    only = rows(tmp_path / "sweep.csv")[0]
    assert (float(only["reported"]), float(only["measured"])) == (REPORTED[name], 0.75)
    assert (float(only["leak_free"]), only["n_leak_free"]) == (0.7, "20")
    assert "| 24 | 70.0% | 20 |" in page


def test_every_plain_network_of_the_report_has_its_figure():
    from monkeys.models import MODELS

    listed = {name for name in MODELS if name.startswith("network_")}
    assert len(listed) == 12
    assert listed < set(REPORTED)


@pytest.mark.parametrize("code", [130, 143])
def test_a_sweep_that_is_interrupted_ends_there(configs, tmp_path, monkeypatch, code):
    started = []
    monkeypatch.setattr(sweep, "run_alone", lambda command: started.append(command) or code)
    assert sweep.main([*map(str, configs), "--out", str(tmp_path / "out")]) == code
    assert len(started) == 1
    assert not (tmp_path / "out" / "sweep.csv").exists()
