"""Differentiable dynamics of Hopfield networks in JAX."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._public import *  # noqa: F403

    __version__: str
else:  # nothing is imported before it is used: JAX takes a second, which `hopfield-jax --help` need not wait for

    def __getattr__(name: str) -> object:
        from importlib import import_module, metadata, util

        if name == "__version__":
            try:
                return metadata.version("hopfield-jax")
            except metadata.PackageNotFoundError:  # a source tree that is not installed
                return "0.0.0"
        # Areas come alone, since they import each other before all names are there.
        if not name.startswith("_") and util.find_spec(f"{__name__}.{name}"):
            return import_module(f".{name}", __name__)
        if not name.startswith("_") or name == "__all__":
            public = import_module("._public", __name__)
            globals().update({key: x for key, x in vars(public).items() if not key.startswith("_")})
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        __getattr__("LogCosh")
        return sorted(globals())
