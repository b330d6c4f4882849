"""A run that goes on elsewhere or with other limits: what it was last told is what its folder says."""

from __future__ import annotations

import signal
from pathlib import Path

from conftest import paint

from monkeys.cli import train
from monkeys.config import load_config
from monkeys.training.runlog import RunLog

CPU = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")


def test_photographs_may_move_and_limits_change_between_sessions(tmp_path, monkeypatch, capsys):
    photos = paint(tmp_path / "photos", {"n0": 8, "n1": 8, "n2": 8})
    settings = [
        *(
            f"run.dir={tmp_path / 'runs'}",
            f"data.cache_dir={tmp_path / 'cache'}",
            "data.size=32",
            "data.val_fraction=0.25",
        ),
        *("model.name=plain", "model.layers=conv3-4 avgpool2 fc3 softmax", "train.epochs=3", "train.batch_size=6"),
        *("augment.recipe=none", "train.processes=1", "model.zero_init=false"),
    ]
    step = RunLog.step

    def cut(self, number, values):
        step(self, number, values)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "step", cut)
        assert train.main(["-c", CPU, "-o", *settings, f"data.root={photos}"]) == 128 + signal.SIGTERM
    photos = photos.rename(tmp_path / "elsewhere")
    again = ["-c", CPU, "--resume", "auto", "-o", *settings, f"data.root={photos}", "train.max_steps=4"]
    for _ in range(2):
        assert train.main(again) == 0
        assert "is finished" in capsys.readouterr().out
    written = load_config(tmp_path / "runs" / "monkeys_cpu" / "config.yaml")
    assert (written.data.root, written.train.max_steps) == (photos, 4)
