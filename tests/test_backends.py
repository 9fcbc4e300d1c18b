"""Every public function on every array library: its arrays, dtype and device in and out, and NumPy's values."""

import dataclasses
import math

import backends
import catalogue
import numpy as np
import pytest
from array_api_compat import array_namespace, device, is_array_api_obj

every_call = pytest.mark.parametrize("name", sorted(catalogue.CALLS))


def arguments(call, convert):
    """The example arguments, every array among them converted."""
    return {
        name: convert(a.example) if isinstance(a.example, np.ndarray) else a.example
        for name, a in call.arguments.items()
    }


def leaves(result, path="result"):
    """Every array and number in a result, with where it is."""
    if is_array_api_obj(result) or isinstance(result, bool | int | float | str | np.generic):
        yield path, result
    elif isinstance(result, tuple | list):
        for i, item in enumerate(result):
            yield from leaves(item, f"{path}[{i}]")
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from leaves(getattr(result, field.name), f"{path}.{field.name}")
    elif result is not None:
        yield path, result


def _is_law(path):
    return ".law" in path  # how a mixture was drawn: float64 of NumPy, whatever the tokens are


def _kind(dtype):
    return "float" if "float" in str(dtype) else "int" if "int" in str(dtype) else "bool"


@every_call
@backends.parametrize(backends.CPU, backends.GPU, slow="jax-float32")
def test_result_is_of_the_library_dtype_and_device_of_the_input_and_equals_numpys(name, backend):
    call = catalogue.CALLS[name]
    expected = list(leaves(call.function(**arguments(call, np.array))))
    with backend.active():
        given = arguments(call, backend.array)
        if call.numpy_only and (backend.library, backend.dtype) != ("numpy", np.float64):
            with pytest.raises(TypeError, match=r"must be a NumPy array of float64, got .* of .*float"):
                call.function(**given)
            return
        arrays = [a for a in given.values() if is_array_api_obj(a)]
        computed = list(leaves(call.function(**given)))
        assert [path for path, _ in computed] == [path for path, _ in expected]
        for (path, a), (_, reference) in zip(computed, expected, strict=True):
            if isinstance(reference, np.ndarray) and not _is_law(path):
                beside = arrays[0] if arrays else np.empty(0)
                assert array_namespace(a) is array_namespace(beside), path
                assert device(a) == device(beside), path
                assert _kind(a.dtype) == _kind(reference.dtype), path
                if _kind(a.dtype) == "float":
                    assert a.dtype == beside.dtype, path
                assert tuple(a.shape) == reference.shape, path
                if path != "result[2]" or "report" not in call.arguments:
                    _close(backend.read(a) if arrays else a, reference, backend.dtype, path)
            else:
                assert type(a) is type(reference), path
                if isinstance(reference, float):
                    _close(a, reference, backend.dtype, path)


def _close(a, reference, dtype, path):
    if np.asarray(reference).dtype.kind != "f":
        np.testing.assert_array_equal(a, reference, err_msg=path)
        return
    size = max(1.0, float(np.max(np.abs(reference), initial=0)))
    limit = 30 * 20 * float(np.finfo(dtype).eps) / 2 * size  # 20 = n d, the size of the problem
    np.testing.assert_allclose(a, reference, rtol=0, atol=limit, err_msg=path)


@every_call
@backends.parametrize(backends.FAKE)
def test_shapes_alone_are_enough(name, backend):
    """Fake tensors on a CUDA device: any array made elsewhere, and any value read, fails."""
    call = catalogue.CALLS[name]
    if not call.fake:
        return
    expected = list(leaves(call.function(**arguments(call, np.array))))
    with backend.active():
        given = arguments(call, backend.array)
        arrays = [a for a in given.values() if is_array_api_obj(a)]
        computed = list(leaves(call.function(**given)))
        for (path, a), (_, reference) in zip(computed, expected, strict=True):
            if not arrays or _is_law(path):
                continue
            if is_array_api_obj(a):
                assert a.device == arrays[0].device, path
                assert tuple(a.shape) == np.shape(reference), path
            else:
                assert not isinstance(a, float) or (isinstance(reference, float) and math.isfinite(a)), path


@every_call
def test_numpy_default_is_left_alone(name):
    """No argument is written to, and equal input gives equal output."""
    call = catalogue.CALLS[name]
    given = arguments(call, np.array)
    before = {k: np.array(a) for k, a in given.items() if isinstance(a, np.ndarray)}
    first = list(leaves(call.function(**given)))
    for k, a in before.items():
        np.testing.assert_array_equal(given[k], a)
    for (path, a), (_, b) in zip(first, leaves(call.function(**given)), strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=path)


BATCHED = {
    name: [k for k, a in call.arguments.items() if len(a.shape) == 3 == np.ndim(a.example) and a.shape[0] in ("...", 2)]
    for name, call in catalogue.CALLS.items()
}


@pytest.mark.parametrize("name", sorted(name for name in BATCHED if BATCHED[name]))
def test_each_token_set_of_a_batch_is_alone(name):
    call = catalogue.CALLS[name]
    given = arguments(call, np.array)
    together = list(leaves(call.function(**given)))
    for i in range(2):
        alone = list(leaves(call.function(**{**given, **{k: given[k][i] for k in BATCHED[name]}})))
        for (path, a), (_, single) in zip(together, alone, strict=True):
            if isinstance(a, np.ndarray):
                a = a[i] if a.ndim > single.ndim else a
                assert a.shape == single.shape, path
                _close(a, single, np.float64, path)


def test_torch_default_dtype_changes_nothing():
    torch = pytest.importorskip("torch")
    for name, call in catalogue.CALLS.items():
        if call.numpy_only:
            continue
        results = []
        for default in (torch.float32, torch.float64):
            torch.set_default_dtype(default)
            try:
                results.append(list(leaves(call.function(**arguments(call, torch.tensor)))))
            finally:
                torch.set_default_dtype(torch.float32)
        for (path, a), (_, b) in zip(*results, strict=True):
            if is_array_api_obj(a):
                assert a.dtype == b.dtype, (name, path)


def test_every_configuration_that_needs_no_gpu_is_there():
    assert not [b.name for b in (*backends.CPU, backends.FAKE) if b.missing]
