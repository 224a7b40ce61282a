"""Regimes and endings of sequences."""

import equinox as eqx


class Regime(eqx.Enumeration):
    """Regime of a sequence of retrievals in the limit of fast neurons; `Regime[regime]` explains a member.

    Members: `periodic`, `critical`, `collapse`, `decay`, `invalid`.
    """

    periodic = (
        "The gain exceeds 4 and the first saliency is not below the unstable fixed point: the sequence never ends, and "
        "intervals between transitions tend to a period."
    )
    critical = (
        "The gain is 4 and the first saliency at least 2: the sequence never ends, and intervals between transitions "
        "approach log 2 only algebraically, since both fixed points of the saliency map coincide."
    )
    collapse = (
        "Saliencies decrease from memory to memory, so that after finitely many transitions the successor's saliency "
        "is not above 1 and retrieval stops."
    )
    decay = "The first saliency is not above 1, so that the first memory is never stable and nothing is retrieved."
    invalid = "The gain is not finite and positive, or the saliency is not finite."


class Ending(eqx.Enumeration):
    """Ending of a sequence of retrievals; `Ending[ending]` explains a member.

    Members: `running`, `collapse`, `end_of_chain`, `decayed_at_start`, `no_escape`, `tie`, `not_nucleated`,
    `wrong_sign`, `invalid`.
    """

    running = "Retrieval was still going on at the final time, or after the largest number of transitions."
    collapse = (
        "The active memory lost its stability when no other memory had a saliency above 1: its successor had grown too "
        "little. A larger gain or a larger first saliency helps."
    )
    end_of_chain = "The sequence reached the end of its chain: the active memory has no successor."
    decayed_at_start = (
        "The saliency of the first memory was not above 1 at the start, so that it was never stable and nothing was "
        "retrieved."
    )
    no_escape = (
        "The active memory has a self-transition so strong (gain times weight at least 1) that its saliency stays "
        "above 1: it never loses its stability."
    )
    tie = (
        "Two successors were equally strong when an active memory lost its stability, so that rounding decided which "
        "one followed, or the state ended in their mixture."
    )
    not_nucleated = (
        "A successor's saliency was above 1, but it was not nucleated: without input coupling and noise a state that "
        "is orthogonal to the successor stays so."
    )
    wrong_sign = (
        "The state switched to the negative of the successor, as noise does half of the time. This drives the next "
        "memory to negative saliency, where it is never retrieved."
    )
    invalid = (
        "A parameter lay outside its domain (not finite, a gain that is not positive, a negative weight of a "
        "transition, noise without a key), the delay was not a number, or the computation failed (see the result)."
    )
