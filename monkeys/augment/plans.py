"""The recipes themselves, each written once for both engines."""

from __future__ import annotations

from . import operations as op

MIRROR = op.Flip(vertical=False, p=0.5)
ALL_BORDERS = ("constant", "edge", "symmetric", "reflect", "wrap")

# Little enough that a short training from scratch is not slowed down by it.
LIGHT = op.Chain(
    (
        op.ResizedCrop(area=op.Between(0.7, 1.0), aspect=op.Between(0.9, 1 / 0.9)),
        MIRROR,
        op.Multiply(op.Between(0.9, 1.1), per_channel=0.0),
        op.Contrast(op.Between(0.9, 1.1), per_channel=0.0),
    )
)

# What most trainings on ImageNet do, with a milder crop: on a thousand photographs the whole animal matters.
# Brightness, contrast and saturation move a little on every picture and no hue does: fur keeps its colour.
CROP = op.Chain(
    (
        op.ResizedCrop(area=op.Between(0.35, 1.0), aspect=op.Between(3 / 4, 4 / 3)),
        MIRROR,
        op.Chain(
            (
                op.Multiply(op.Between(0.7, 1.3), per_channel=0.0),
                op.Contrast(op.Between(0.7, 1.3), per_channel=0.0),
                op.Saturate(op.Between(0.7, 1.3)),
            ),
            shuffled=True,
        ),
    )
)

# Wuhan University course report on the ten monkey species, December 2020. It left out inverted channels and greyscale
# on purpose, as colour separates species, and advises to keep colour operations rare.
REPORT = op.Chain(
    (
        MIRROR,
        op.Flip(vertical=True, p=0.2),
        op.Sometimes(0.5, op.Crop(sides=op.Between(0.0, 0.1))),
        op.Sometimes(
            0.5,
            op.Affine(
                scale=op.Between(0.8, 1.2),
                per_axis=True,
                shift=op.Between(-0.2, 0.2),
                rotation=op.Between(-45, 45),
                shear=op.Between(-16, 16),
                orders=(0, 1),
                fill=op.Between(0, 255),
                borders=ALL_BORDERS,
            ),
        ),
        op.SomeOf(
            op.Whole(0, 5),
            (
                op.Sometimes(0.5, op.Superpixels(replace=op.Between(0.0, 1.0), segments=op.Whole(20, 200))),
                op.one_of(
                    op.GaussianBlur(sigma=op.Between(0.0, 3.0)),
                    op.AverageBlur(size=op.Whole(2, 7)),
                    op.MedianBlur(size=op.Whole(3, 11)),
                ),
                op.Sharpen(alpha=op.Between(0.0, 1.0), lightness=op.Between(0.75, 1.5)),
                op.Emboss(alpha=op.Between(0.0, 1.0), strength=op.Between(0.0, 2.0)),
                op.Sometimes(
                    0.5,
                    op.one_of(
                        op.EdgeDetect(alpha=op.Between(0.0, 0.7)),
                        op.DirectedEdgeDetect(alpha=op.Between(0.0, 0.7), direction=op.Between(0.0, 1.0)),
                    ),
                ),
                op.GaussianNoise(scale=op.Between(0.0, 12.75), per_channel=0.5),
                op.one_of(
                    op.Dropout(p=op.Between(0.01, 0.1), per_channel=0.5),
                    op.CoarseDropout(p=op.Between(0.03, 0.15), size=op.Between(0.02, 0.05), per_channel=0.2),
                ),
                op.Add(op.Between(-10, 10), per_channel=0.5),
                op.Multiply(op.Between(0.5, 1.5), per_channel=0.5),
                op.Contrast(op.Between(0.5, 2.0), per_channel=0.5),
                op.Sometimes(0.5, op.Elastic(alpha=op.Between(0.5, 3.5), sigma=0.25)),
                op.Sometimes(
                    0.5, op.PiecewiseAffine(scale=op.Between(0.01, 0.05), rows=op.Whole(2, 4), columns=op.Whole(2, 4))
                ),
            ),
        ),
    ),
    shuffled=True,
)

# The plain networks on Imagenette. Every network trained with it takes 224 pixels, so ±30 pixels are ±30/224 of a side.
# The range of the rotation is not given there: ±20° is this project's choice, as are bilinear sampling and black fill.
IMAGENETTE = op.Affine(
    scale=op.Between(0.9, 1.1),
    per_axis=False,
    shift=op.Between(-30 / 224, 30 / 224),
    rotation=op.Between(-20, 20),
    shear=op.Between(0, 0),
    orders=(1,),
    fill=op.Between(0, 0),
    borders=("constant",),
)

PLANS: dict[str, op.Node] = {
    "none": op.Chain(()),
    "light": LIGHT,
    "crop": CROP,
    "report": REPORT,
    "imagenette": IMAGENETTE,
}
