"""Images to store: scikit-learn's digits, image files, folders of them, or one `.npy` array."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import at_least, describe, fail, kind

DEFAULT_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Images:
    """Different images as rows of real numbers, shape (images, height · width).

    **Attributes:** `source`: where they come from, for people; `num_copies`: how many exact copies were left out;
    `ink`: whether large numbers are dark.
    """

    rows: np.ndarray
    shape: tuple[int, int]
    source: str
    num_copies: int
    ink: bool = False


def load(sources: Sequence[Path], size: int | None) -> Images:
    """Reads `sources`, or the digits if there are none; image files become squares of `size` pixels a side.

    **Raises:** `ValueError` that names the source, what was expected and what was got.
    """
    if size is not None:
        at_least("--size", size, 2)
    arrays = [path for path in sources if path.suffix == ".npy"]
    if size is not None and (arrays or not sources):
        fail("--size", "image files to resize (arrays and the digits keep their size)", size)
    if arrays and len(sources) > 1:
        fail("SOURCES", "one .npy array, or images and folders only", f"{len(sources)} sources with {arrays[0]}")
    if not sources:
        stack, source, ink = _digits(), "scikit-learn's scanned digits", True
    elif arrays:
        stack, source, ink = _array(arrays[0]), str(arrays[0]), False
    else:
        files = _image_files(sources)
        stack, ink = _read_images(files, DEFAULT_SIZE if size is None else size), False
        source = f"{len(files)} image files"
    shape = stack.shape[1:] if stack.ndim == 3 else _shape_of(stack.shape[1])
    rows, first = np.unique(stack.reshape(len(stack), -1), axis=0, return_index=True)
    rows = rows[np.argsort(first)]  # in the order they came in
    return Images(rows, (int(shape[0]), int(shape[1])), source, len(stack) - len(rows), ink)


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.asarray(load_digits(return_X_y=True)[0], np.float64).reshape(-1, 8, 8)


def _array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            values = np.load(file, allow_pickle=False)
    except OSError as error:
        fail("SOURCES", "a .npy array of numbers", f"{path} ({_reason(error)})")
    except (ValueError, EOFError):
        fail("SOURCES", "a .npy array of numbers, as `numpy.save` writes it", f"{path}, which is something else")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        fail("SOURCES", "a .npy array of real numbers", f"{path} of {getattr(values, 'dtype', kind(values))}")
    if values.ndim not in (2, 3) or 0 in values.shape:
        fail("SOURCES", "shape (patterns, neurons) or (patterns, height, width)", f"{path} of shape {values.shape}")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        fail("SOURCES", "finite numbers", f"{path}, {describe(values)}")
    return values


def _shape_of(num_neurons: int) -> tuple[int, int]:
    """A square where the number allows it, else one row."""
    side = round(num_neurons**0.5)
    return (side, side) if side**2 == num_neurons else (1, num_neurons)


def _image_files(sources: Sequence[Path]) -> list[Path]:
    from PIL import Image

    endings = Image.registered_extensions()
    files = []
    for source in sources:
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if path.suffix.lower() in endings and path.is_file())
            if not found:
                fail("SOURCES", "a folder with images in it", f"{source}, which has none")
            files += found
        elif source.exists():
            files.append(source)
        else:
            fail("SOURCES", "images, folders of images or a .npy array", f"{source}, which does not exist")
    return files


def _read_images(files: Sequence[Path], size: int) -> np.ndarray:
    from PIL import Image
    from tqdm import tqdm

    stack = []
    for path in tqdm(files, desc="reading images", delay=2, leave=False, disable=None):
        try:
            with Image.open(path) as image:
                stack.append(_grey(image, size))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            fail("SOURCES", "an image that can be read", f"{path} ({_reason(error)})")
    return np.stack(stack)


def _grey(image: Any, size: int) -> np.ndarray:
    """Shades from 0 to 255 (16-bit images scaled to that), what is transparent on white, resized to a square."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        shades = np.asarray(image, np.float32)
        if not np.all(np.isfinite(shades)):
            raise ValueError("not finite")
        image = Image.fromarray(shades * (1 if image.mode == "F" else 255 / 65535))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    grey = image if image.mode == "F" else image.convert("L").convert("F")
    return np.asarray(grey.resize((size, size), Image.Resampling.BOX), np.float64)


def _reason(error: Exception) -> str:
    """One line about an error, without the path that stands beside it."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "not an image" if "cannot identify image" in text else text.splitlines()[0]
