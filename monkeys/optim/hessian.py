"""Why second order is for small networks only. Plain numbers: importing this module imports no library."""

from __future__ import annotations

import math

from ..errors import UserError

LARGEST_HESSIAN = 2**30  # bytes
_FLOAT64 = 8
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def refuse_second_order(n_parameters: int, name: str = "this network") -> None:
    """Raise UserError where the Hessian of so many weights is beyond LARGEST_HESSIAN, with its size."""
    entries = n_parameters**2
    if entries * _FLOAT64 > LARGEST_HESSIAN:
        power = int(math.log10(entries))
        raise UserError(
            f"second-order methods are for small networks: {name} has {n_parameters:,} weights, so its Hessian has "
            f"{entries / 10**power:.2f}·10^{power} entries ({_size(entries * _FLOAT64)} in float64); "
            "take a first-order optimizer"
        )


def _size(n_bytes: float) -> str:
    """1500 -> '1.5 KB'."""
    rank = min(len(_UNITS) - 1, int(math.log10(n_bytes)) // 3)
    return f"{n_bytes / 1000**rank:.3g} {_UNITS[rank]}"
