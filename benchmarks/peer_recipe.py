"""A good plain recipe in torch and torchvision on our hold-out: accuracy by epoch and by minute.

    python tools/train.py -c configs/monkeys_cpu_15m.yaml -o data.root=data/monkeys data.folds=5   # or any run
    bash benchmarks/setup_peers.sh
    .venv-bench/bin/python benchmarks/peer_recipe.py --run runs/monkeys_cpu_15m --data data/monkeys > peer.jsonl

ResNet-50 from random weights, bfloat16, AdamW 0.001, weight decay 0.05, cosine after 5 epochs of warm-up, label
smoothing 0.1, random resized crop 0.35-1, mirror image, colour jitter 0.3, batches of 32. Prints a JSON line an
epoch. --run: a run folder whose manifest.csv says which photographs are trained on and which are held out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

MEAN, STD = [0.5] * 3, [0.5] * 3


class Photographs(torch.utils.data.Dataset):
    """The photographs of one split, decoded once."""

    def __init__(self, root: Path, rows: list[dict[str, str]], classes: list[str], transform: v2.Transform) -> None:
        load = v2.PILToTensor()
        self.pictures = [load(Image.open(root / row["path"]).convert("RGB")) for row in rows]
        self.labels = [classes.index(row["label"]) for row in rows]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pictures[index]), self.labels[index]


def splits(args: argparse.Namespace) -> tuple[Photographs, Photographs]:
    with (args.run / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    crop = v2.RandomResizedCrop(args.size, scale=(0.35, 1.0), antialias=True)
    augment = v2.Compose([crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.3, 0.3, 0.3), *finish])
    plain = v2.Compose([v2.Resize((args.size, args.size), antialias=True), *finish])
    chosen = {split: [row for row in rows if row["split"] == split] for split in ("train", "val")}
    return (
        Photographs(args.data, chosen["train"], classes, augment),
        Photographs(args.data, chosen["val"], classes, plain),
    )


def epochs(args: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train; after each epoch its number, the seconds so far, and the accuracy on the held-out photographs."""
    train, val = splits(args)
    loader = torch.utils.data.DataLoader(train, args.batch, shuffle=True, drop_last=True)
    model = torchvision.models.resnet50(num_classes=10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.05)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=5 * len(loader))
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, (args.epochs - 5) * len(loader))
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [5 * len(loader)])
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    started = time.perf_counter()
    for epoch in range(args.epochs):
        model.train()
        for images, labels in loader:
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(images.to(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        top1 = accuracy(model, val, args.batch)
        yield {"epoch": epoch + 1, "seconds": time.perf_counter() - started, "val_top1": top1}


def accuracy(model: torch.nn.Module, photographs: Photographs, batch: int) -> float:
    model.eval()
    right = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for images, labels in torch.utils.data.DataLoader(photographs, batch):
            right += int((model(images.to(memory_format=torch.channels_last)).argmax(1) == labels).sum())
    return right / len(photographs)


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--run", type=Path, required=True)
    parse.add_argument("--data", type=Path, required=True, help="folder that the manifest's paths start from")
    parse.add_argument("--epochs", type=int, default=100)
    parse.add_argument("--size", type=int, default=128)
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--seed", type=int, default=0)
    args = parse.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for line in epochs(args):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
