"""`hopfield-jax retrieve`: what it reads, prints, writes and refuses."""

import json
import re
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from PIL import Image

from cli.commands import call, check_files, run
from hopfield_jax.cli import _data, _images, _retrieve
from hopfield_jax.cli._retrieve import Retrieve

NUM_IMAGES, SIDE = 12, 6


@pytest.fixture(scope="module")
def shades() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, SIDE, SIDE)).astype(np.uint8)


@pytest.fixture
def array(tmp_path, shades):
    np.save(tmp_path / "patterns.npy", shades)
    return tmp_path / "patterns.npy"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shades):
    home = tmp_path_factory.mktemp("images")
    for i, image in enumerate(shades):
        Image.fromarray(image).save(home / f"{i:02}.png")
    (home / "readme.txt").write_text("no image")
    return home


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, folder):
    """One run with everything: a folder of images, three networks, four corruptions, two draws."""
    out = tmp_path_factory.mktemp("run") / "out"
    corruptions = [x for name in _images.CORRUPTIONS for x in ("--corruption", name)]
    return run("retrieve", folder, *corruptions, size=SIDE, num_patterns=8, num_draws=2, seed=3, output=out), out


def test_the_table_says_what_the_file_says(whole_run):
    printed, out = whole_run
    pictures = "images.png", "energy.png", "scores.png"
    saved = check_files(printed, out, "retrieve", *pictures, "retrieve.json", "retrieve.npz")
    assert len(saved["results"]) == 12
    for row in saved["results"]:
        pattern = (
            rf"{row['corruption']} {row['amount']:g} +{row['network']} +(\S+) ± (\S+) +(\S+) ± (\S+) +(\S+) ± (\S+)"
        )
        found = re.search(pattern, printed)
        assert found, pattern
        shown = [float(x) for x in found.groups()]
        expected = [100 * row["retrieved"], 100 * row["retrieved_error"], 100 * row["right_winner"]]
        expected += [100 * row["right_winner_error"], row["similarity"], row["similarity_error"]]
        # One digit of per cents, three of cosines.
        np.testing.assert_allclose(shown[:4], expected[:4], atol=0.051)
        np.testing.assert_allclose(shown[4:], expected[4:], atol=0.00051)
        assert row["num_cues"] == 16 and row["num_retrieved"] == round(16 * row["retrieved"])
        assert np.isclose(np.mean(row["retrieved_by_draw"]), row["retrieved"])
        assert row["retrieved_error"] > 0 and row["compile_s"] > 0 and row["run_s"] > 0
    parameters = saved["parameters"]
    assert (parameters["num_patterns"], parameters["num_neurons"], parameters["seed"]) == (8, SIDE**2, 3)
    assert parameters["amounts"] == {"half": 0.5, "top": 0.5, "flip": 0.2, "noise": 1.0}
    for fact in ("P = 8", "N = 36", "2 draws", "seed 3", "β = 4", "n = 20", "at least 0.9", "16 cues", "Compilation"):
        assert fact in printed


def test_every_cue_is_kept(whole_run):
    _, out = whole_run
    saved = json.loads((out / "retrieve.json").read_text())
    with np.load(out / "retrieve.npz") as arrays:
        for row in saved["results"]:
            name = f"{row['corruption']}.{row['network']}"
            assert arrays[f"{name}.retrieved"].mean() == pytest.approx(row["retrieved"])
            assert arrays[f"{name}.similarity"].mean() == pytest.approx(row["similarity"], abs=1e-6)
            energy = arrays[f"{name}.first_draw_energy"]
            assert energy.shape == (8, len(arrays["times"]))
            # The energies' terms are of order 100 at most, their rounding in float32 of order 1e-5.
            assert np.all(np.diff(energy, axis=1) <= 1e-3)


def test_memories_of_high_order_retrieve_what_hebbs_rule_does_not(whole_run):
    _, out = whole_run
    rows = json.loads((out / "retrieve.json").read_text())["results"]
    retrieved = {(row["corruption"], row["network"]): row["retrieved"] for row in rows}
    assert retrieved["half", "softmax"] >= 0.9 and retrieved["top", "softmax"] >= 0.9
    assert retrieved["half", "dense"] >= 0.8
    assert retrieved["half", "hebb"] < 0.5


def test_arrays_and_images_and_chunks_of_cues_make_no_difference(whole_run, array, monkeypatch):
    _, out = whole_run
    request = Retrieve(
        sources=(array,), num_patterns=8, corruption=("half",), network=("softmax",), num_draws=1, seed=3
    )
    monkeypatch.setattr(_retrieve, "_BUDGET", 60_000)
    assert request.chunk() == 3  # in three rounds, the last one filled up
    chunked = request.compute()[0]
    with np.load(out / "retrieve.npz") as arrays:
        # Products in another order, in float32.
        np.testing.assert_allclose(chunked.first.energy, arrays["half.softmax.first_draw_energy"], rtol=1e-5, atol=1e-4)
        assert np.array_equal(chunked.score.retrieved, arrays["half.softmax.retrieved"][:8])


@pytest.mark.parametrize("corruption", list(_images.CORRUPTIONS))
def test_the_seed_decides_everything(array, corruption):
    def cues(seed, draw):
        request = Retrieve(sources=(array,), num_patterns=5, corruption=(corruption,), amount=0.4, seed=seed)
        return request.cues(draw, corruption, request.stored(draw)[0])

    assert np.array_equal(cues(0, 1), cues(0, 1))
    assert not np.array_equal(cues(0, 1), cues(1, 1)) and not np.array_equal(cues(0, 1), cues(0, 0))


def test_corruptions_do_what_they_say():
    patterns, key = jnp.ones((3, 24)), jr.key(0)

    def corrupt(kind, amount, shape=(4, 6)):
        return np.asarray(_images.corrupt(kind, patterns, jnp.asarray(amount), shape, key))

    assert np.all((corrupt("half", 0.25) == 0).sum(1) == 6) and not np.array_equal(*corrupt("half", 0.25)[:2])
    assert np.all(corrupt("top", 0.5)[:, :12] == 0) and np.all(corrupt("top", 0.5)[:, 12:] == 1)
    assert np.all(corrupt("top", 0.25, (1, 24))[:, :6] == 0) and np.all(corrupt("top", 0.25, (1, 24))[:, 6:] == 1)
    assert np.all((corrupt("flip", 0.5) == -1).sum(1) == 12)
    # 72 normal numbers of standard deviation 2.
    assert abs(np.std(corrupt("noise", 2.0)) - 2) < 5 * 2 / np.sqrt(2 * 72)


def test_the_digits_are_there_without_sources():
    request = Retrieve()
    lines = "\n".join(request.about())
    assert "P = 64 of 1797 images from scikit-learn's scanned digits, 8 × 8 pixels: N = 64" in lines
    assert request.images.ink and 0.6 < request.sign_cosine() < 0.8


def test_folders_are_read_to_their_depth(folder, tmp_path, shades):
    (tmp_path / "a" / "b").mkdir(parents=True)
    Image.fromarray(shades[0]).save(tmp_path / "a" / "1.PNG")
    Image.fromarray(shades[1]).save(tmp_path / "a" / "b" / "0.bmp")
    images = _data.load([tmp_path / "a", folder / "02.png"], SIDE)
    assert np.array_equal(images.rows, shades[:3].reshape(3, -1)) and images.source == "3 image files"


OTHERS = {
    "._00.png": b"\x00\x05\x16\x07 what a Mac leaves beside a file",
    "__MACOSX/00.png": b"\x00\x05\x16\x07 likewise",
    "paper.pdf": b"%PDF-1.4",
    "data.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "film.mpg": b"\x00\x00\x01\xb3" + bytes(64),
    "drawing.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "drawing.wmf": b"\xd7\xcd\xc6\x9a" + bytes(64),
    "notes.png": b"no image",
    "empty.jpg": b"",
    "readme.txt": b"no image",
}


@pytest.fixture
def untidy(tmp_path, shades):
    """Six pictures as folders have them: with hidden copies and files that are no pictures beside them."""
    home = tmp_path / ".home" / "pictures"  # of which the hidden one above says nothing
    for folder in ("", ".thumbnails", "__MACOSX"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(shades[:6]):
        Image.fromarray(image).save(home / f"{i:02}.png")
        Image.fromarray(image[:3, :3]).save(home / ".thumbnails" / f"{i:02}.png")
    for name, content in OTHERS.items():
        (home / name).write_bytes(content)
    return home


def test_what_is_no_picture_is_skipped_and_counted(untidy, shades):
    images = _data.load([untidy], None)
    assert np.array_equal(images.rows, shades[:6].reshape(6, -1)) and images.num_copies == 0
    assert images.source == "6 image files (16 other files skipped)"  # of which 6 are thumbnails
    first = next(iter(Retrieve(sources=(untidy,)).about()))
    assert "P = 6 of 6 images from 6 image files (16 other files skipped), 6 × 6 pixels" in first


def test_a_truncated_picture_in_a_folder_is_no_other_file(untidy):
    whole = (untidy / "05.png").read_bytes()
    (untidy / "05.png").write_bytes(whole[: len(whole) - 30])
    with pytest.raises(ValueError, match="`sources`: expected an image that can be read, got .*05.png"):
        _data.load([untidy], None)
    (untidy / "05.png").unlink()
    with pytest.raises(ValueError, match="`sources`: expected an image that can be read, got .*film.mpg"):
        _data.load([untidy / "00.png", untidy / "film.mpg"], None)  # which was asked for by its name


@pytest.mark.parametrize(
    "sizes, size, expected",
    [
        (((28, 28), (28, 28)), None, (28, 28)),
        (((20, 30), (20, 30)), None, (20, 30)),
        (((20, 30), (20, 30)), 8, (8, 8)),
        (((28, 28), (27, 28)), None, (32, 32)),
        (((65, 65), (65, 65)), None, (32, 32)),
    ],
)
def test_small_pictures_of_one_size_keep_it(tmp_path, sizes, size, expected):
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 256, shape).astype(np.uint8) for shape in sizes]
    for i, image in enumerate(made):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    images = _data.load([tmp_path], size)
    assert images.shape == expected
    if sizes[0] == sizes[1] == expected:
        assert np.array_equal(images.rows, np.stack(made).reshape(2, -1))


def test_a_large_offset_is_no_mean_image(tmp_path, shades):
    patterns = Retrieve(sources=(_saved(tmp_path, shades),)).stored(0)[0]
    shifted = Retrieve(sources=(_saved(tmp_path, shades + 1e12),)).stored(0)[0]
    # Numbers near 1e12 are 1.2e-4 apart, of shades that differ by about 100; these are whole, and so exact.
    np.testing.assert_allclose(shifted, patterns, atol=1e-10)
    middle = np.stack([shades[0], shades[1], (shades[0].astype(float) + shades[1]) / 2]) + 1e12
    with pytest.raises(ValueError, match="`sources`: expected images that differ from the mean .* one that equals it"):
        Retrieve(sources=(_saved(tmp_path, middle),))


def _saved(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "a.npy", values)
    return folder / "a.npy"


@pytest.mark.parametrize(
    "columns, said", [(16, "rows of 16 numbers taken as 4 × 4 images"), (12, "rows of 12 numbers taken as strips")]
)
def test_flat_arrays_say_what_they_are_taken_for(tmp_path, columns, said):
    values = np.random.default_rng(0).normal(size=(5, columns))
    assert said in next(iter(Retrieve(sources=(_saved(tmp_path, values),)).about()))


def test_endings_may_be_capitals(tmp_path, shades):
    (tmp_path / "A.NPY").write_bytes(_saved(tmp_path, shades).read_bytes())
    assert np.array_equal(_data.load([tmp_path / "A.NPY"], None).rows, shades.reshape(NUM_IMAGES, -1))


def test_all_images_stored_and_nothing_random_is_one_draw(array):
    request = Retrieve(sources=(array,), num_draws=5)
    assert (request.draws_of("top"), request.draws_of("half")) == (1, 5)
    assert "Every draw stores all images: draws differ by the corruption alone." in list(request.about())


# --- what is read ---


def test_patterns_are_centred_and_of_equal_norm(array, shades):
    patterns, mean, norms = Retrieve(sources=(array,), num_patterns=8).stored(0)
    # Rounding in float64 of numbers of order one.
    np.testing.assert_allclose((patterns * norms[:, None]).mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(patterns, axis=1), SIDE, rtol=1e-12)
    restored = mean + patterns * norms[:, None] / SIDE
    known = {tuple(image.ravel()) for image in shades}
    assert all(tuple(image) in known for image in np.round(restored).astype(np.uint8))


@pytest.mark.parametrize("shape, expected", [((5, 16), (4, 4)), ((5, 12), (1, 12)), ((5, 3, 4), (3, 4))])
def test_arrays_of_every_kind(tmp_path, shape, expected):
    for kind in ("?", "i2", "u1", "f2", "f8"):
        values = (np.arange(np.prod(shape)).reshape(shape) % 7 % 2).astype(kind)
        np.save(tmp_path / "a.npy", values)
        images = _data.load([tmp_path / "a.npy"], None)
        assert images.shape == expected and images.rows.shape[1] == np.prod(expected)
        assert len(images.rows) + images.num_copies == 5


def test_copies_are_left_out_in_order(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[3.0, 1.0], [0.0, 2.0], [3.0, 1.0], [1.0, 1.0]]))
    images = _data.load([tmp_path / "a.npy"], None)
    assert images.rows.tolist() == [[3, 1], [0, 2], [1, 1]] and images.num_copies == 1


def test_images_of_every_mode_and_size_become_grey_squares(tmp_path):
    half = np.full((9, 7), 128, np.uint8)
    Image.fromarray(half).save(tmp_path / "L.png")
    Image.fromarray(np.stack([half] * 3, -1)).save(tmp_path / "RGB.jpg", quality=100)
    Image.fromarray(half.astype(np.uint16) * 257).save(tmp_path / "I16.png")
    Image.fromarray(half.astype(np.float32)).save(tmp_path / "F.tiff")
    # Half transparent black on white.
    Image.fromarray(np.stack([0 * half] * 3 + [half - 1], -1)).save(tmp_path / "RGBA.png")
    for path in sorted(tmp_path.iterdir()):
        # JPEG and the transparency are rounded to whole shades.
        np.testing.assert_allclose(
            _data._read_images([path], 4)[0], np.full((1, 4, 4), 128), atol=1.01, err_msg=path.name
        )


# --- what is refused ---


def _files(tmp_path, shades):
    """What sources may look like, good and bad."""
    np.save(tmp_path / "good.npy", shades)
    np.save(tmp_path / "flat.npy", np.ones(5))
    np.save(tmp_path / "empty.npy", np.ones((0, 5)))
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "complex.npy", np.ones((2, 3)) * 1j)
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]]))
    np.save(tmp_path / "same.npy", np.ones((3, 4)))
    np.save(tmp_path / "object.npy", np.array([[None, 1]], dtype=object), allow_pickle=True)
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "notes.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:80])
    np.savez(tmp_path / "many.npz", a=shades)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", shades[0])
    (tmp_path / "file").write_text("in the way")


BAD = [
    (("good.npy",), ("--num-patterns", 13), "--num-patterns", "at most 12", "13"),
    (("good.npy",), ("--size", 16), "--size", "image files", "16"),
    (("nowhere.png",), (), "SOURCES", "images, folders of images or a .npy array", "nowhere.png"),
    (("notes.png",), (), "SOURCES", "an image that can be read", "notes.png (not an image)"),
    (("cut.png",), (), "SOURCES", "an image that can be read", "cut.png"),
    (("many.npz",), (), "SOURCES", "one .npy array", "many.npz, an archive of several"),
    (("arrays",), (), "SOURCES", "one .npy array", "arrays, which has none, but 0.npy"),
    (("nothing",), (), "SOURCES", "a folder with images", "nothing"),
    (("whole.png", "whole.png"), (), "SOURCES", "at least 2 different images", "1"),
    (("same.npy",), (), "SOURCES", "at least 2 different images", "1"),
    (("good.npy", "whole.png"), (), "SOURCES", "one .npy array", "good.npy"),
    (("flat.npy",), (), "SOURCES", "(patterns, neurons)", "(5,)"),
    (("empty.npy",), (), "SOURCES", "(patterns, neurons)", "(0, 5)"),
    (("text.npy",), (), "SOURCES", "real numbers", "<U1"),
    (("complex.npy",), (), "SOURCES", "real numbers", "complex128"),
    (("nan.npy",), (), "SOURCES", "finite numbers", "1 of them not finite"),
    (("object.npy",), (), "SOURCES", "a .npy array of numbers", "object.npy"),
    (("broken.npy",), (), "SOURCES", "a .npy array of numbers", "broken.npy"),
    (("none.npy",), (), "SOURCES", "a .npy array of numbers", "No such file"),
]


@pytest.mark.parametrize("sources, options, argument, expected, got", BAD)
@pytest.mark.fault("wrong input to the command line")
def test_bad_sources_are_one_clear_line(sources, options, argument, expected, got, tmp_path, shades, monkeypatch):
    Image.fromarray(shades[0]).save(tmp_path / "whole.png")
    _files(tmp_path, shades)
    monkeypatch.chdir(tmp_path)
    result = call("retrieve", *sources, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    message, _, what_was_got = result.stderr.partition(", got ")
    assert message.startswith(f"hopfield-jax: `{argument}`: expected ")
    assert expected in message + what_was_got and got in what_was_got
