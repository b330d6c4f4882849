"""The same work in torch and torchvision, written as their documentation shows; prints one JSON object of figures.

.venv-bench/bin/python benchmarks/peer_torch.py train --data data/monkeys
.venv-bench/bin/python benchmarks/peer_torch.py predict --engine bf16
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import torch
import torchvision
from torchvision.transforms import v2


class Photographs(torch.utils.data.Dataset):
    """Photographs decoded and resized once, augmented each time."""

    def __init__(self, data: Path, size: int) -> None:
        folder = torchvision.datasets.ImageFolder(str(data))
        resize = v2.Compose([v2.PILToTensor(), v2.Resize((size, size), antialias=True)])
        self.pictures = [(resize(image.convert("RGB")), label) for image, label in folder]
        self.augment = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.7, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.1, contrast=0.1),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture, label = self.pictures[index]
        return self.augment(picture), label


def train(args: argparse.Namespace) -> dict[str, float]:
    dataset = Photographs(args.data, args.size)
    loader = torch.utils.data.DataLoader(dataset, args.batch, shuffle=True, drop_last=True)
    model = torchvision.models.resnet50(num_classes=10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = torch.nn.CrossEntropyLoss()
    seen, started = 0, 0.0
    for step, (images, labels) in enumerate(loader):
        if step == 1:  # the first step warms up
            started = time.perf_counter()
        if step > args.steps:
            break
        with torch.autocast("cpu", torch.bfloat16, enabled=args.engine == "bf16"):
            loss = criterion(model(images.to(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(labels) if step else 0
    return {"images_per_s": seen / (time.perf_counter() - started)}


def predict(args: argparse.Namespace) -> dict[str, float]:
    model = torchvision.models.resnet50(num_classes=10).eval().to(memory_format=torch.channels_last)
    images = torch.randn(args.batch, 3, args.size, args.size).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=args.engine == "bf16"):
        model(images)
        started = time.perf_counter()
        for _ in range(args.steps):
            model(images)
    return {"images_per_s": args.batch * args.steps / (time.perf_counter() - started)}


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("probe", choices=("train", "predict"))
    parse.add_argument("--data", type=Path, default=Path())
    parse.add_argument("--engine", choices=("fp32", "bf16"), default="fp32")
    parse.add_argument("--size", type=int, default=224)
    parse.add_argument("--batch", type=int, default=16)
    parse.add_argument("--steps", type=int, default=6)
    args = parse.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    figures = {"train": train, "predict": predict}[args.probe](args)
    print(json.dumps(figures | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
