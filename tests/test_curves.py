"""The picture of accuracy against time reads what runs and the peer write."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from toy import make_toy

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from curves import draw, of_peer, of_run, running_median


def test_runs_and_the_peer_share_one_picture(tmp_path):
    make_toy(tmp_path / "our_run", epochs=3).fit()
    printed = tmp_path / "peer_resnet50.jsonl"
    printed.write_text(
        "".join(json.dumps({"epoch": n, "seconds": 60.0 * n, "val_top1": n / 10}) + "\n" for n in (1, 2))
    )
    ours, peer = of_run(tmp_path / "our_run"), of_peer(printed)
    assert (ours.name, len(ours.top1)) == ("our run", 3)
    assert 0 < ours.minutes[0] < ours.minutes[1] < ours.minutes[2]
    (tmp_path / "a_copy.csv").write_bytes((tmp_path / "our_run" / "history.csv").read_bytes())
    assert of_run(tmp_path / "a_copy.csv") == ours._replace(name="a copy")
    assert peer == ("peer resnet50", [1.0, 2.0], [0.1, 0.2], "--")
    assert running_median([0, 9, 1, 2, 3]) == [0, 1, 2, 2, 3]
    assert draw([ours, peer], tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
