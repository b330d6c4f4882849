"""The ways to end that are not defects of this program; `monkeys.cli` turns them into exit codes."""

WRONG_INPUT = 2  # the exit code of a UserError, which `monkeys.launch` knows a rank by


class UserError(Exception):
    """The input is wrong: the message says what, where and what to do about it. Exit code 2."""


class TrainingError(Exception):
    """Training cannot go on (non-finite loss, out of memory); the message names the step. Exit code 3."""


class NotFiniteError(TrainingError):
    """The loss, the gradient or a weight is no number any more. what: which of them, and where."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: lower optim.lr, or set optim.clip_norm")


class Interrupted(Exception):
    """A signal ended the run after its state was saved. Exit code 128 + signal."""

    def __init__(self, signum: int, where: str) -> None:
        super().__init__(f"interrupted; saved at {where}; --resume auto goes on from there")
        self.signum = signum
