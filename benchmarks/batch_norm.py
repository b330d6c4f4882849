"""What other batch-norm statistics do to the last weights of runs, on what they hold out.

    python benchmarks/batch_norm.py runs/hour/mixup_or_cutmix_in_every_batch-0

While it trains, a network keeps statistics of about its last ten batches of augmented photographs. Here they are taken
anew, as the mean over batches of 64 in the last four epochs: first of the photographs as augmented, then as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys import runtime

BATCH, EPOCHS = 64, 4


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("runs", type=Path, nargs="+", help="run folders")
    args = parse.parse_args()
    runtime.tune_cpu()
    runtime.import_paddle()
    for run in args.runs:
        for name, top1, loss in examine(run):
            print(f"{run.name}: {name}: top-1 {top1:.1%}, loss {loss:.3f}")


def examine(run: Path, size: int = BATCH) -> Iterator[tuple[str, float, float]]:
    """Name, top-1 and loss on the held-out photographs, with each kind of statistics in turn."""
    import paddle

    from monkeys.config import load_config
    from monkeys.data.dataset import Dataset, plain_collate
    from monkeys.data.loader import TrainOrder, load, plain_order
    from monkeys.photographs import Photographs
    from monkeys.serving.held_out import read_manifest
    from monkeys.serving.network import load_network
    from monkeys.training.engine import validate

    config = load_config(run / "config.yaml", ["augment.unaugmented_epochs=0"], {})  # its last epochs augmented, too
    network = load_network(run, weights="last")
    photographs = Photographs(config, read_manifest(run, config))
    model, plain = network.model, plain_collate(network.preprocess, len(network.classes))
    norms = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]

    def figures(name: str) -> tuple[str, float, float]:
        held = photographs.evaluation("val")
        loss, correct, count = validate(model, load(held, plain_order(len(held), size), plain))
        return name, correct / count, loss / count

    def renew(training: Dataset) -> None:
        order = TrainOrder(len(training), size, config.run.seed)
        last = config.train.epochs * order.steps_per_epoch
        first = max(0, last - EPOCHS * order.steps_per_epoch)
        model.train()
        with paddle.no_grad():
            for done, batch in enumerate(load(training, order.micro_batches(first, last), plain)):
                for norm in norms:
                    norm._momentum = done / (done + 1)  # so that all batches weigh alike
                model(paddle.to_tensor(batch.images))
        model.eval()

    yield figures("as trained")
    renew(photographs.training())
    yield figures("augmented")
    renew(photographs.evaluation("train"))
    yield figures("as they are")


if __name__ == "__main__":
    main()
