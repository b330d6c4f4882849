"""The two faults that are not defects of this program; `monkeys.cli` turns them into exit codes."""


class UserError(Exception):
    """The input is wrong: the message says what, where and what to do about it. Exit code 2."""


class TrainingError(Exception):
    """Training cannot go on (non-finite loss, out of memory); the message names the step. Exit code 3."""
