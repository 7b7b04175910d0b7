"""What every engine must do; each test runs over available_backends()."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import _core

INVALID_ARGUMENT, UNSUPPORTED, BACKEND_FAILURE, IO = 1, 4, 5, 6


def _pictures(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((count, 3, 8, 8), dtype=np.float32)


def _refused(network: Any, **options: Any) -> _core.CoreError:
    with pytest.raises(_core.CoreError) as caught:
        network.open(**options)
    assert caught.value.message and "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_equal_the_reference(network: Any, threads: int, count: int) -> None:
    engine = network.open(threads=threads)
    x = _pictures(count)
    for got, want in zip(engine.run([x]), network.expected(x), strict=True):
        assert got.dtype == np.float32 and got.shape == want.shape
        np.testing.assert_allclose(
            got, want, rtol=0 if network.exact else 1e-5, atol=0 if network.exact else 1e-5
        )


def test_the_batch_may_change_from_run_to_run(network: Any) -> None:
    engine = network.open(threads=2)
    for count in (3, 1, 4, 2, 1, 6):
        x = _pictures(count, seed=count)
        for got, want in zip(engine.run([x]), network.expected(x), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_an_item_does_not_depend_on_its_neighbours(network: Any) -> None:
    engine = network.open(threads=2)
    x = _pictures(4)
    alone = [engine.run([x[i : i + 1]]) for i in range(4)]
    for index, together in enumerate(engine.run([x])):
        np.testing.assert_array_equal(together, np.concatenate([run[index] for run in alone]))


def test_runs_repeat_bit_for_bit(network: Any) -> None:
    engine = network.open(threads=2)
    x = _pictures(3)
    first = engine.run([x])
    for _ in range(5):
        for got, want in zip(engine.run([x]), first, strict=True):
            np.testing.assert_array_equal(got, want)


def test_single_item_engines_serve_single_items(network: Any) -> None:
    engine = network.open(threads=2, max_batch=1)
    x = _pictures(1)
    np.testing.assert_allclose(engine.run([x])[0], network.expected(x)[0], atol=1e-5)


def test_not_a_number_passes_through(network: Any) -> None:
    engine = network.open()
    x = _pictures(2)
    x[1] = np.nan
    maps = engine.run([x])[0]
    assert np.isfinite(maps[0]).all() and np.isnan(maps[1]).any()


def test_half_precision_is_close(network: Any) -> None:
    x = _pictures(2)
    got = network.open(precision="fp16").run([x])[0]
    np.testing.assert_allclose(got, network.expected(x)[0], atol=2e-2)


def test_the_engine_tells_its_tensors(network: Any) -> None:
    engine = network.open()
    assert engine.inputs == list(network.inputs)
    assert engine.outputs == list(network.outputs)


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.zeros((1, 3, 8, 8), np.float32)] * 2,
        [np.zeros((1, 3, 8, 9), np.float32)],
        [np.zeros((1, 4, 8, 8), np.float32)],
        [np.zeros((3, 8, 8), np.float32)],
        [np.zeros((0, 3, 8, 8), np.float32)],
    ],
    ids=["none", "two", "width", "channels", "rank", "empty"],
)
def test_wrong_inputs_are_refused(network: Any, arrays: list[Any]) -> None:
    engine = network.open()
    with pytest.raises(_core.CoreError) as caught:
        engine.run(arrays)
    assert caught.value.code == INVALID_ARGUMENT
    x = _pictures(1)
    np.testing.assert_allclose(engine.run([x])[0], network.expected(x)[0], atol=1e-5)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 3, 8, 8), np.float64),
        np.zeros((1, 3, 8, 8), np.uint8),
        np.zeros((1, 3, 8, 16), np.float32)[..., ::2],
        [[0.0]],
    ],
    ids=["float64", "uint8", "strided", "list"],
)
def test_other_types_are_never_converted(network: Any, array: Any) -> None:
    engine = network.open()
    with pytest.raises(TypeError):
        engine.run([array])


def test_a_missing_file_is_named(network: Any, tmp_path: Path) -> None:
    for role in network.files:
        error = _refused(network.having(files={**network.files, role: tmp_path / "absent.file"}))
        assert error.code == IO and "absent.file" in error.message


def test_a_missing_role_is_refused(network: Any) -> None:
    for role in network.files:
        files = {other: path for other, path in network.files.items() if other != role}
        assert _refused(network.having(files=files)).code == INVALID_ARGUMENT


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"garbage\n" * 50, bytes(range(256)) * 8])
def test_garbage_is_refused_in_silence(
    network: Any, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    next(iter(network.files.values())).write_bytes(content)
    assert _refused(network).code == BACKEND_FAILURE
    assert capfd.readouterr() == ("", "")


def test_truncated_files_never_crash(network: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for path in network.files.values():
        whole = path.read_bytes()
        for length in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:length])
            assert _refused(network).code == BACKEND_FAILURE, (path.suffix, length)
        path.write_bytes(whole)
    assert capfd.readouterr() == ("", "")
    assert network.open().run([_pictures(1)])


def test_flipped_bytes_never_crash(network: Any, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    for path in network.files.values():
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 60):
            damaged = bytearray(whole)
            damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(bytes(damaged))
            try:
                network.open().run([_pictures(1)])
            except _core.CoreError as error:
                assert error.code == BACKEND_FAILURE
        path.write_bytes(whole)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (("input", "in0", [-1, 3, 16, 8]),)},
        {"inputs": (("input", "other", [-1, 3, 8, 8]),)},
        {"outputs": (("map", "out0", [-1, 2, 8, 8]),)},
        {"outputs": (("map", "out0", [-1, 2, 8, 8]), ("mean", "elsewhere", [-1, 2]))},
        {"outputs": (("map", "out0", [-1, 2, 8, 8]), ("mean", "out1", [-1, 3]))},
        {"outputs": (("map", "out0", [-1, 4, 8, 4]), ("mean", "out1", [-1, 2]))},
    ],
    ids=["input dims", "input name", "output missing", "output name", "output count", "output dims"],
)
def test_a_file_with_other_tensors_is_refused(network: Any, changes: dict[str, Any]) -> None:
    if network.backend == "fake":
        pytest.skip("optional: the fake engine has no tensors of its own")
    assert _refused(network.having(**changes)).code == BACKEND_FAILURE


@pytest.mark.parametrize(
    "dims", [[], [-1], [0, 3, 8, 8], [-1, -1, 8, 8], [-1, 3, 8, 0], [-1, 2**40, 2**40, 8]]
)
def test_impossible_dims_are_refused(network: Any, dims: list[int]) -> None:
    if dims == [-1]:
        pytest.skip("optional: one number an item is possible")
    assert _refused(network.having(outputs=(("map", "out0", dims),))).code == INVALID_ARGUMENT


def test_options_are_checked(network: Any) -> None:
    for threads in (0, -1, 100000):
        assert _refused(network, threads=threads).code == INVALID_ARGUMENT
    assert _refused(network, precision="fp8").code == INVALID_ARGUMENT
    for device in ("NO_SUCH_DEVICE", "AUTO", "HETERO:GPU,CPU", "CPU.1", ""):
        assert _refused(network, device=device).code == UNSUPPORTED


def test_a_wrong_device_of_an_onnx_bundle_names_those_of_other_engines(network: Any) -> None:
    if network.backend not in ("openvino", "onnx"):
        pytest.skip("optional: the message is OpenVINO's")
    hint = _refused(network, device="cuda").hint
    assert hint.startswith("it finds: CPU") and ("ORT, CUDA, TENSORRT" in hint) == (network.backend == "onnx")


def test_openvino_takes_the_index_of_a_single_device(network: Any) -> None:
    if network.backend not in ("openvino", "onnx"):
        pytest.skip("optional: names with an index are OpenVINO's")
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    plain, indexed = (network.open(device=device).run([x]) for device in ("CPU", "CPU.0"))
    for a, b in zip(plain, indexed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(_core.CoreError) as caught:
        _core.Engine("caffe", {}, [("x", "x", [-1, 1])], [("y", "y", [-1, 1])], threads=1)
    assert caught.value.code == UNSUPPORTED
    assert all(name in caught.value.hint for name in _core.available_backends())


def test_threads_may_share_an_engine(network: Any) -> None:
    engine = network.open(threads=2)
    pictures = [_pictures(2, seed) for seed in range(4)]
    wrong: list[int] = []

    def work(index: int) -> None:
        want = network.expected(pictures[index])[0]
        for _ in range(20):
            if not np.allclose(engine.run([pictures[index]])[0], want, atol=1e-5):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_build_has_the_engines_it_ships() -> None:
    assert {"fake", "ncnn", "openvino", "onnxruntime", "onnx", "rknn"} <= set(_core.available_backends())
