"""Every option of training takes two steps with the real parts, alone and all together, and makes a difference."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import paint

from monkeys.cli import train
from monkeys.errors import UserError
from monkeys.models import check_sizes

RECIPE = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")
OPTIONS = {
    "label smoothing": ["train.label_smoothing=0.1"],
    "inverse class weights": ["train.class_weights=inverse"],
    "given class weights": ["train.class_weights=[1, 2, 0.5]"],
    "averaged weights": ["train.ema=0.9"],
    "mixup": ["augment.mixup=0.2"],
    "mixup but in the last epoch": ["augment.mixup=0.2", "augment.plain_epochs=1"],
    "cutmix": ["augment.cutmix=1.0"],
    "cutmix in some batches": ["augment.cutmix=1.0", "augment.mix_prob=0.7"],
    "both": ["augment.cutmix=1.0", "augment.mixup=0.2", "augment.cutmix_share=0.9"],
    "both, mostly mixup": ["augment.cutmix=1.0", "augment.mixup=0.2", "augment.cutmix_share=0.1"],
    "unaugmented in the last epoch": ["augment.unaugmented_epochs=1"],
    "erasing": ["augment.erase=0.5"],
    "decay": ["optim.weight_decay=0.05"],
    "decay without norms": ["optim.weight_decay=0.05", "optim.decay_norms=false"],
    "clipping": ["optim.clip_norm=0.1"],
    "slower body": ["optim.body_lr_factor=0.1"],
    "layer rates": ["optim.body_lr_factor=0.1", "optim.layer_decay=0.8"],
    "scaled rate": ["optim.lr_batch=128"],
    "frozen body": ["train.freeze_epochs=1"],
    "stem": ["model.stem=3x3x3"],
    "first shortcut": ["model.project_first=true"],
    "last norm not zero": ["model.zero_init=false"],
    "stochastic depth": ["model.drop_path=0.1"],
    "dropout": ["model.dropout=0.3"],
    "initialisation": ["model.init=he"],
    "progressive size": ["data.sizes={0: 24, 1: 32}"],
    "augmented larger": ["data.source_size=48"],
    "larger in evaluation": ["data.eval_size=40"],
    "cropped": ["data.fit=crop"],
    "ImageNet statistics": ["data.normalise=imagenet"],
    "accumulation": ["train.accumulate=2"],
    "imgaug itself": ["augment.engine=imgaug", "augment.recipe=report"],
    "stopping rules": ["train.patience=3", "train.min_weight_change=1e-9", "train.min_grad_norm=1e-9"],
}
_NOT_BESIDE_OTHERS = ("given class weights", "imgaug itself")
_LEAVES_THE_WEIGHTS = ("stopping rules",)
TOGETHER = [text for name, texts in OPTIONS.items() if name not in _NOT_BESIDE_OTHERS for text in texts]


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str], str]:
    """Weights and preprocessing of the options so far, with their names."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", *OPTIONS, "all together"])
def test_two_steps(name, seen, shrunk, tmp_path):
    """No option leaves everything as it was, nor does the same as another one."""
    photos = paint(tmp_path / "photos", {"n0": 16, "n1": 12, "n2": 8}, wide=True)
    overrides = {"plain": [], "all together": TOGETHER, **OPTIONS}[name]
    # 30 pictures in batches of 16: an epoch is one step
    own = [f"data.root={photos}", "train.batch_size=16", "train.max_steps=2"]
    assert train.main(["-c", RECIPE, "-o", *shrunk, *own, *overrides]) == 0
    run = tmp_path / "runs" / "monkeys_cpu"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["n"] >= 3
    assert metrics["loss"] < 50
    weights = hashlib.sha256(max((run / "last").glob("*.safetensors")).read_bytes()).hexdigest()
    outcome = weights, str(json.loads((run / "best.json").read_text())["preprocess"])
    if name != "plain" and "plain" not in seen.values():
        pytest.skip("compared with the plain run: run the whole file")
    twin = seen.setdefault(outcome, name)
    assert twin == ("plain" if name in _LEAVES_THE_WEIGHTS else name)


def test_sizes_that_a_network_cannot_take_are_refused(photos, shrunk, capsys):
    check_sizes("resnet18", 64, {"data.sizes": [48, 64], "data.eval_size": [96]})
    with pytest.raises(UserError, match=r"data.sizes: network_84_8153 takes only the size that it is built for \(64\)"):
        check_sizes("network_84_8153", 64, {"data.sizes": [64, 96]})
    with pytest.raises(UserError, match=r"data.eval_size: alexnet needs pictures of at least 223 and at most 254"):
        check_sizes("alexnet", 224, {"data.eval_size": [288]})
    own = [f"data.root={photos}", "model.name=network_83_2611", "data.size=64", "data.eval_size=80"]
    assert train.main(["-c", RECIPE, "-o", *shrunk, *own]) == 2
    assert "data.eval_size: network_83_2611" in capsys.readouterr().err
