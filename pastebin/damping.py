"""Whether something is well, told from probes without believing each of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one thing that is probed. Nobody knows better at first than that it is up."""

    is_up: bool = True
    failures: int = 0
    successes: int = 0  # in a row


@dataclass(frozen=True, slots=True)
class Damping:
    """The rules of gdnsd's monitoring (its manual, "service_types").

    `down` failures take it down, whatever successes lie between them, unless `up` successes in a row came first:
    these clear the failures. Once down, only `up` successes in a row bring it up. So what fails every other time
    changes its state once, not every time.
    """

    down: int = 3
    up: int = 6

    def after(self, state: State, *, is_well: bool) -> State:
        """The state after one more probe."""
        if not is_well:
            failures = state.failures + 1
            if not state.is_up or failures >= self.down:
                return State(is_up=False)
            return State(True, failures)
        successes = state.successes + 1
        if successes >= self.up:
            return State()
        return State(state.is_up, state.failures, successes)


def agreed(own: bool, others: list[bool]) -> bool:
    """Whether it is up by the word of those who look from several places: down if more than half of them say so."""
    votes = [own, *others]
    return 2 * sum(not vote for vote in votes) <= len(votes)
