"""Which recipes of an area raise under `jax_debug_nans`: `python -m reliability.nans AREA`."""

import sys
import warnings

import jax

from .recipes import AREAS


def raising(area: str) -> list[str]:
    """The titles of recipes whose answers have NaN that JAX takes for an error."""
    found = []
    for recipe in AREAS[area]():
        try:
            with jax.debug_nans(True):
                recipe.answer(recipe.defaults())
        except FloatingPointError:
            found.append(recipe.title or recipe.call.__name__)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("raising:", *raising(sys.argv[1]))  # JAX prints lines of its own
