"""Regimes and endings of sequences."""

import equinox as eqx


class Regime(eqx.Enumeration):
    """Regime of a sequence of retrievals in the limit of fast neurons; `Regime[regime]` explains a member.

    Members: `periodic`, `critical`, `collapse`, `decay`, `invalid`.
    """

    periodic = (
        "The gain exceeds 4 and the first saliency is not below the unstable fixed point: memories follow each other "
        "for ever, at intervals that tend to a period."
    )
    critical = (
        "The gain is 4 and the first saliency at least 2: memories follow each other for ever, and the intervals "
        "approach log 2 only algebraically, since both fixed points of the saliency map coincide."
    )
    collapse = (
        "Each memory hands over less saliency than is needed to go on, so that after finitely many transitions the "
        "successor's saliency is not above 1 and retrieval stops."
    )
    decay = "The first saliency is not above 1, so that the first memory is never stable and nothing is retrieved."
    invalid = "The gain is not finite and positive, or the saliency is not finite."


class Ending(eqx.Enumeration):
    """Ending of a sequence of retrievals; `Ending[ending]` explains a member.

    Members: `running`, `collapse`, `end_of_chain`, `decayed_at_start`, `no_escape`, `tie`, `not_nucleated`,
    `wrong_sign`, `invalid`.
    """

    running = "Retrieval was still going on at the end of the time, or of the number of transitions, asked for."
    collapse = (
        "The active memory lost its stability when no other memory had a saliency above 1: its successor had grown too "
        "little. A larger gain or a larger first saliency helps."
    )
    end_of_chain = "The active memory leads to no other one, so that nothing was there to follow it."
    decayed_at_start = (
        "The saliency of the first memory was not above 1 at the start, so that it was never stable and nothing was "
        "retrieved."
    )
    no_escape = (
        "The active memory feeds itself through a self-transition so strongly (gain times weight at least 1) that its "
        "saliency stays above 1: it is held for ever."
    )
    tie = (
        "Two successors were equally strong when an active memory lost its stability, so that nothing but rounding "
        "decided which one followed, or the state ended in their mixture."
    )
    not_nucleated = (
        "A successor's saliency was above 1, but nothing pushed the state towards it: without input coupling and noise "
        "a state that is orthogonal to the successor stays so."
    )
    wrong_sign = (
        "The state went to minus the successor, as noise makes it do half of the time; that drives the next memory to "
        "negative saliency, where it is never retrieved."
    )
    invalid = (
        "A parameter lay outside its domain (not finite, a gain that is not positive, a negative weight of a "
        "transition, noise without a key), the delay was not a number, or the computation failed (see the result)."
    )
