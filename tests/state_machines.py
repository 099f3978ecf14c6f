"""Running a state machine for so many steps, and saying what they were."""

import functools
from collections import Counter

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from long_mode import LONG

STEPS = 10_000 if LONG else 500
STEPS_OF_ONE_RUN = 50
# Some runs end early, that of the simplest choices among them.
RUNS = 9 * STEPS // (5 * STEPS_OF_ONE_RUN)


def counted(rule):
    """Count the steps that a rule makes; goes between the rule and its decorator."""

    @functools.wraps(rule)
    def step(machine, *arguments, **keywords):
        type(machine).steps[rule.__name__] += 1
        return rule(machine, *arguments, **keywords)

    step.is_counted = True
    return step


def run_machine(machine):
    """Run a machine through every rule, for as many steps as there should be at least."""
    machine.steps = Counter()
    run_state_machine_as_test(
        machine, settings=settings(max_examples=RUNS, stateful_step_count=STEPS_OF_ONE_RUN)
    )
    print(f"{machine.steps.total()} steps in {RUNS} runs:", dict(machine.steps.most_common()))
    assert machine.steps.total() >= STEPS
    rules = {name for name, rule in vars(machine).items() if hasattr(rule, "is_counted")}
    assert rules == set(machine.steps)
