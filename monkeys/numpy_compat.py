"""Three names that numpy dropped and that imgaug 0.4.0 and VisualDL 2.5.3 still read when they are called."""

from __future__ import annotations

import numpy as np

_ALIASES: dict[str, type] = {"bool": bool, "complex": complex, "float": float}


def restore_numpy_names() -> None:
    """Set `np.bool`, `np.complex` and `np.float` where they are missing; never replace what numpy itself defines."""
    for name, builtin in _ALIASES.items():
        if name not in vars(np):
            setattr(np, name, builtin)
