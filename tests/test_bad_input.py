"""Bad input, argument by argument: one clear error that names the argument, the rule and the value.

The rows are generated from ``catalogue``: for every public function, each of its arguments is spoilt in every way that
its kind allows, the others staying as they were.
"""

import importlib
import inspect
import pkgutil
import re
import warnings
from dataclasses import dataclass
from typing import Any

import catalogue
import numpy as np
import pytest
from catalogue import CALLS, MOMENTS, RESULTS

import srr

ERRORS = (TypeError, ValueError, srr.FactorisationError)


@dataclass(frozen=True)
class Bad:
    label: str
    value: Any
    error: type[Exception]
    shows: str
    """What the message must show of the value, as a regular expression."""


class Lazy:
    """What a lazy array of another library looks like: it has a shape and turns into NumPy on demand."""

    shape, ndim, dtype = (2, 5, 4), 3, np.dtype(np.float64)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("a lazy array was computed")


def _matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.matrix warns when it is made
        return np.asmatrix(a)


def _with(a, value):
    a = np.array(a)
    a[(0,) * a.ndim] = value
    return a


def bad_array(argument):
    a = argument.example
    yield Bad("a list", a.tolist(), TypeError, "list")
    yield Bad("text", "Z", TypeError, "str")
    yield Bad("a number", 1.5, TypeError, "float")
    yield Bad("a NumPy scalar", np.float64(1.5), TypeError, "float64")
    yield Bad("an array of another kind", Lazy(), TypeError, "Lazy")
    yield Bad("a matrix", _matrix(a.reshape(-1, a.shape[-1])), TypeError, "matrix")
    yield Bad("a masked array", np.ma.masked_array(a), TypeError, "MaskedArray")
    if not argument.optional:
        yield Bad("None", None, TypeError, "NoneType")
    for dtype in (np.int64, np.bool_, np.float16, np.complex128, np.longdouble, object):
        yield Bad(np.dtype(dtype).name, a.astype(dtype), TypeError, np.dtype(dtype).name)
    if argument.kind != "example":
        for value in (np.nan, np.inf, -np.inf):
            yield Bad(f"{value} in it", _with(a, value), ValueError, rf"{value} at index \(0,")
    yield from _bad_shapes(argument)


bad_example = bad_array  # of library, dtype and device: its values do not matter


def _bad_shapes(argument):
    a, shape = argument.example, argument.shape
    core = [s for s in shape if s != "..."]
    wrong = []
    if core:
        wrong.append(("no axes", np.array(0.5)))
        wrong.append(("an axis too few", np.zeros((2,) * (len(core) - 1))))
    if "..." not in shape:
        wrong.append(("an axis too many", a[None]))
    for i, size in enumerate(core):
        axis = i - len(core)
        if isinstance(size, int):
            wrong.append((f"axis {axis} too long", np.concatenate([a, np.take(a, [0], axis)], axis)))
            wrong.append((f"axis {axis} too short", np.take(a, range(size - 1), axis)))
        wrong.append((f"axis {axis} empty", np.take(a, [], axis)))
    for label, array in wrong:
        # A constant or orthonormal part of an example stays that; only the shape is at fault.
        yield Bad(label, array, ValueError, re.escape(str(array.shape)))


def bad_signals(argument):
    yield from bad_array(argument)
    for shape in ((5, 2), (5, 2, 2, 2, 2), (5, 0, 4), (5, 2, 0)):
        yield Bad(f"shape {shape}", np.zeros(shape), ValueError, re.escape(str(shape)))


def bad_orthonormal(argument):
    yield from bad_array(argument)
    yield Bad("columns too long", 1.01 * argument.example, ValueError, r"0\.0201")
    tilted = np.array(argument.example)
    tilted[0, :, 1] = tilted[0, :, 0]
    yield Bad("equal columns", tilted, ValueError, "1")


def bad_dictionary(argument):
    yield from bad_array(argument)
    yield Bad("zeros", np.zeros_like(argument.example), ValueError, "zeros")


def bad_positive_array(argument):
    yield from bad_array(argument)
    yield Bad("a zero in it", _with(argument.example, 0.0), ValueError, r"0\.0")
    yield Bad("a negative entry", _with(argument.example, -0.5), ValueError, r"-0\.5")


def bad_memberships(argument):
    yield from bad_array(argument)
    Pi = argument.example
    yield Bad("rows that sum to 1.5", 1.5 * Pi, ValueError, r"0\.5")
    shifted = np.array(Pi)
    shifted[0] += [-1.25, 1.25, 0]
    yield Bad("a negative entry", shifted, ValueError, r"-0\.\d+")


def _bad_numbers(argument):
    yield Bad("text", "0.5", TypeError, "str")
    yield Bad("a bool", True, TypeError, "bool")
    yield Bad("a NumPy bool", np.True_, TypeError, "bool")
    yield Bad("complex", 0.5j, TypeError, "complex")
    yield Bad("a list", [0.5], TypeError, "list")
    if not argument.optional:
        yield Bad("None", None, TypeError, "NoneType")
    for value in (float("nan"), float("inf"), float("-inf"), np.float32("nan")):
        yield Bad(str(value), value, ValueError, str(float(value)))
    yield Bad("too large for a float", 10**400, ValueError, "an integer beyond")


def bad_scalar(argument):
    yield from _bad_numbers(argument)
    yield Bad("an array with an axis", np.array([0.5]), ValueError, r"\(1,\)")
    yield Bad("an integer array", np.array(1), TypeError, "int64")
    yield Bad("a NaN array", np.array(np.nan), ValueError, "nan")


def bad_positive_scalar(argument):
    yield from bad_scalar(argument)
    yield Bad("zero", 0, ValueError, "0")
    yield Bad("negative", -0.25, ValueError, r"-0\.25")
    yield Bad("a negative array", np.array(-0.25), ValueError, r"-0\.25")


def bad_nonnegative_scalar(argument):
    yield from bad_scalar(argument)
    yield Bad("negative", -0.25, ValueError, r"-0\.25")
    yield Bad("a negative array", np.array(-0.25), ValueError, r"-0\.25")


def bad_positive(argument):
    yield from _bad_numbers(argument)
    yield Bad("an array", np.array([0.5]), TypeError, "ndarray")
    yield Bad("zero", 0, ValueError, "0")
    yield Bad("minus zero", -0.0, ValueError, "-0")
    yield Bad("negative", -0.25, ValueError, r"-0\.25")


def bad_nonnegative(argument):
    yield from _bad_numbers(argument)
    yield Bad("an array", np.array([0.5]), TypeError, "ndarray")
    yield Bad("negative", -0.25, ValueError, r"-0\.25")


def bad_threshold(argument):
    yield from _bad_numbers(argument)
    for value in (0, 1, 1.5, -0.25):
        yield Bad(str(value), value, ValueError, re.escape(str(value)))


def bad_count(argument):
    least = argument.shape[0]
    yield Bad("too small", least - 1, ValueError, str(least - 1))
    yield Bad("a float", 2.0, TypeError, "float")
    yield Bad("text", "3", TypeError, "str")
    yield Bad("a bool", True, TypeError, "bool")
    yield Bad("an array", np.array([2]), TypeError, "ndarray")
    yield Bad("None", None, TypeError, "NoneType")


def bad_share(argument):
    yield from bad_positive(argument)
    yield Bad("one", 1.0, ValueError, r"1\.0")


def bad_counts(argument):
    yield Bad("a number", 3, TypeError, "3")
    yield Bad("text", "46", TypeError, "46")
    yield Bad("None", None, TypeError, "None")
    yield Bad("a zero", [4, 0], ValueError, "0")
    yield Bad("half of one", [4, 0.5], TypeError, "float")
    yield Bad("a single one", [4], ValueError, r"\(4,\)")


def bad_choice(argument):
    for value in ("qr", None, 3, ["svd"], np.array(["svd", "auto"])):
        yield Bad(repr(value), value, ValueError, re.escape(repr(value)))


def bad_flag(argument):
    for value in ("no", None, 2, np.array([True])):
        yield Bad(repr(value), value, TypeError, re.escape(repr(value)))


def bad_absent(argument):
    yield Bad("the other one as well", catalogue.PI.example, ValueError, "both")


def bad_sequence(argument):
    yield Bad("too long", [*argument.example, 0.5], ValueError, r"\(3,\)")
    yield Bad("text", "ab", TypeError, "ab")
    yield Bad("words", ["a", "b"], TypeError, "a")
    yield Bad("negative", [1.0, -0.5], ValueError, r"-0\.5")
    yield Bad("nan", [1.0, float("nan")], ValueError, "nan")
    yield Bad("complex", [1.0, 1j], TypeError, "1j")
    yield Bad("a bool", [True, False], TypeError, "True")
    yield Bad("ragged", [[1.0], [0.5, 0.5]], TypeError, "0.5")


def bad_distribution(argument):
    yield from bad_sequence(argument)
    yield Bad("a sum of 1.5", [0.75, 0.75], ValueError, r"0\.75")


def bad_coherence(argument):
    yield Bad("an unknown word", "parallel", ValueError, "parallel")
    yield Bad("too many angles", [0.1, 0.2, 0.3], ValueError, r"\(3,\)")
    yield Bad("a negative angle", -0.1, ValueError, r"-0\.1")
    yield Bad("an obtuse angle", [0.3, 1.6], ValueError, r"1\.6")
    yield Bad("nan", float("nan"), ValueError, "nan")
    yield Bad("None", None, TypeError, "None")
    yield Bad("a bool", True, TypeError, "True")


def bad_layer(argument):
    yield Bad("a function", np.abs, TypeError, "ufunc")
    yield Bad("None", None, TypeError, "NoneType")
    yield Bad("a class without the halves", object(), TypeError, "object")


def bad_layers(argument):
    yield Bad("no iterable", argument.example[0], TypeError, type(argument.example[0]).__name__)
    yield Bad("one that is no layer", [argument.example[0], "layer"], TypeError, "str")
    yield Bad("None", None, TypeError, "NoneType")


def bad_callable(argument):
    yield Bad("a number", 3, TypeError, "int")
    yield Bad("None", None, TypeError, "NoneType")


WAYS = {name.removeprefix("bad_").replace("_", " "): way for name, way in globals().items() if name.startswith("bad_")}

ROWS = [
    pytest.param(name, argument, bad, id=f"{name}({argument}={bad.label})")
    for name, call in CALLS.items()
    for argument, details in call.arguments.items()
    for bad in WAYS[details.kind](details)
]


def examples(call):
    return {name: a.example for name, a in call.arguments.items()}


@pytest.mark.parametrize(("name", "argument", "bad"), ROWS)
def test_error_names_argument_rule_and_value(name, argument, bad):
    call = CALLS[name]
    function, given = call.function, {**examples(call), argument: bad.value}
    if isinstance(function, catalogue.OnTokens) and argument != "Z":
        function = function.build  # before there are tokens
        del given["Z"]
    with pytest.raises(ERRORS) as caught:
        function(**given)
    message = str(caught.value)
    assert caught.type is bad.error, message
    assert re.match(rf"(exactly one of U and )?{argument}\b.* must ", message), message
    assert re.search(rf"got .*(?:{bad.shows})", message, re.DOTALL), message
    assert len(message) < 400, message


# --- arrays that do not go together -----------------------------------------------------------------------------

PAIRS = [
    pytest.param(name, argument, id=f"{name}({argument})")
    for name, call in CALLS.items()
    for argument, details in call.arguments.items()
    if isinstance(details.example, np.ndarray)
    and sum(isinstance(other.example, np.ndarray) for other in call.arguments.values()) > 1
]


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_libraries_and_dtypes_do_not_mix(name, argument):
    torch = pytest.importorskip("torch")
    call = CALLS[name]
    a = call.arguments[argument].example
    libraries = r"(torch\.Tensor and numpy\.ndarray|numpy\.ndarray and torch\.Tensor)$"
    dtypes = r"(float32 and float64|float64 and float32)$"
    for other, shows in ((torch.tensor(a), libraries), (a.astype(np.float32), dtypes)):
        names = rf"({argument} and \w+|\w+ and {argument})"
        with pytest.raises(TypeError, match=rf"^{names} must (come from one|have one) .*, got .*{shows}"):
            call.function(**{**examples(call), argument: other})


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_devices_do_not_mix(name, argument):
    strict = pytest.importorskip("array_api_strict")
    call, here, there = CALLS[name], strict.Device("device1"), strict.Device("device2")
    given = {
        k: strict.asarray(a, device=there if k == argument else here) if isinstance(a, np.ndarray) else a
        for k, a in examples(call).items()
    }
    with pytest.raises(ValueError, match=r"^\w+ and \w+ must be on one device, got .*device.* and .*device"):
        call.function(**given)


SCALARS = [
    pytest.param(name, argument, id=f"{name}({argument})")
    for name, call in CALLS.items()
    for argument, details in call.arguments.items()
    if details.kind.endswith("scalar")
]


@pytest.mark.parametrize(("name", "argument"), SCALARS)
def test_a_0d_array_of_another_library_is_no_number(name, argument):
    torch = pytest.importorskip("torch")
    call = CALLS[name]
    with pytest.raises(TypeError, match=rf"^Z and {argument} must come from one array library, got .*torch"):
        call.function(**{**examples(call), argument: torch.tensor(0.1, dtype=torch.float64)})


def test_where_a_tensor_is_not_finite():
    torch = pytest.importorskip("torch")
    Z = torch.ones((2, 3, 4))
    Z[1, 2, 3] = torch.nan
    with pytest.raises(ValueError, match=r"^Z must be finite, got nan at index \(1, 2, 3\)$"):
        srr.coding_rate(Z, eps=0.5)


def test_a_shape_of_one_axis_is_shown_as_python_shows_it():
    with pytest.raises(ValueError, match=r"^scale must have shape \(4,\) with no empty axis, got \(3,\)$"):
        srr.layers.layer_norm(catalogue.Z.example, np.ones(3))
    with pytest.raises(ValueError, match=r"^D must have shape \(4, m\) with no empty axis, got \(3, 4\)$"):
        srr.prox.lasso(catalogue.Z.example, np.ones((3, 4)), catalogue.Z.example, lam=0.1)


def test_rounding_that_rows_of_memberships_may_have():
    u, Pi = 2.0**-53, np.zeros((2, 5, 3))
    Pi[:, :, 0] = 1
    Pi[1, 3, 0] = 1 + 300 * u  # 100 K u
    srr.partition_coding_rate(catalogue.Z.example, Pi, eps=0.5)
    Pi[1, 3, 0] = 1 + 302 * u
    with pytest.raises(ValueError, match=r"^Pi must have rows that sum to 1, got a row that is off by 3\.35e-14$"):
        srr.partition_coding_rate(catalogue.Z.example, Pi, eps=0.5)
    with pytest.raises(ValueError, match=r"^Pi must have rows that sum to 1"):
        srr.partition_coding_rate(np.ones((1, 2)), np.array([[0.5, 0.25]]), eps=0.5)


def test_rounding_that_orthonormal_bases_may_have():
    u, U = 2.0**-53, np.zeros((3, 4, 1))
    U[:, 0] = 1
    U[:, 1] = np.sqrt(200 * u)  # |U_k|² - 1 = 100 √d u
    srr.mixtures.coherence(U)
    U[:, 1] = np.sqrt(202 * u)
    with pytest.raises(ValueError, match=r"^U must have orthonormal columns .* <= 2\.2e-14\), got 2\.24e-14$"):
        srr.mixtures.coherence(U)


def test_neither_bases_nor_memberships_and_both():
    Z, U, Pi = catalogue.Z.example, catalogue.U.example, catalogue.PI.example
    for function in (srr.rate_reduction, srr.rate_reduction_and_gradient):
        for given, got in (({}, "neither"), ({"U": U, "Pi": Pi}, "both")):
            with pytest.raises(ValueError, match=rf"^exactly one of U and Pi must be given, got {got}$"):
                function(Z, **given, eps=0.5)


def test_the_shape_of_bases_is_shown():
    with pytest.raises(ValueError, match=r"^U must have shape \(K, d, p\) with no empty axis, got \(3,\)$"):
        srr.curvature.overlap(np.ones(3))
    with pytest.raises(ValueError, match=r"^U must have shape \(K, 4, p\) with no empty axis, got \(3, 4\)$"):
        srr.subspace_coding_rate(catalogue.Z.example, np.ones((3, 4)), eps=0.5)


def test_the_whole_message_about_memberships_method_and_precision():
    Z = catalogue.Z.example
    with pytest.raises(ValueError, match=r"^Pi must have shape \(\.\.\., 5, K\) with no empty axis, got \(4, 3\)$"):
        srr.partition_coding_rate(Z, np.ones((4, 3)), eps=0.5)
    with pytest.raises(ValueError, match=r"^method must be one of 'auto', 'cholesky', 'svd', got 'qr'$"):
        srr.coding_rate(Z, eps=0.5, method="qr")
    with pytest.raises(ValueError, match=r"^eps must be above 5\.0e-309 for float64 tokens, got 1e-310$"):
        srr.coding_rate(Z, eps=1e-310)


def test_the_smallest_precision_of_a_dtype():
    Z, eps = np.eye(2, dtype=np.float32), 1 / float(np.finfo(np.float32).max)
    with pytest.raises(ValueError, match=r"^eps must be above 2\.9e-39 for float32 tokens, got 2\.93"):
        srr.coding_rate(Z, eps=eps)
    assert np.isfinite(srr.coding_rate(Z, eps=float(np.nextafter(eps, 1))))


def test_a_wide_basis():
    with pytest.raises(ValueError, match=r"^U must have shape \(K, 4, p\) with p <= 4, got \(3, 4, 5\)$"):
        srr.subspace_coding_rate(catalogue.Z.example, np.zeros((3, 4, 5)), eps=0.5)


BATCHES = [
    pytest.param(name, argument, id=f"{name}({argument})")
    for name, call in CALLS.items()
    for argument in [k for k, a in call.arguments.items() if a.shape[:1] == ("...",) and len(a.shape) == 3][1:]
]


@pytest.mark.parametrize(("name", "argument"), BATCHES)
def test_batches_that_do_not_broadcast(name, argument):
    call = CALLS[name]
    a = call.arguments[argument].example
    three = np.stack([a.reshape(-1, *a.shape[-2:])[0]] * 3)
    with pytest.raises(ValueError, match=rf"^batch axes of \w+ and {argument} must broadcast, got \(2,\) and \(3,\)$"):
        call.function(**{**examples(call), argument: three})


def test_more_subspaces_than_the_space_holds():
    with pytest.raises(ValueError, match=r'^coherence must be "random" when K p = 6 > d = 4, got \'orthogonal\'$'):
        srr.mixtures.sample(n=3, d=4, K=3, p=2, seed=0)
    with pytest.raises(ValueError, match=r"^p must be <= d = 4, got 5$"):
        srr.mixtures.sample(n=3, d=4, K=1, p=5, seed=0)


def test_precision_beyond_the_dtype():
    """An ε whose α overflows must not end in NaN or infinity without a word."""
    for eps in (1e-310, 1e-200, 1e200, 1e-40):
        for dtype in (np.float64, np.float32):
            try:
                values = srr.coding_rate_and_gradient(catalogue.Z.example.astype(dtype), eps=eps)
            except ERRORS as error:
                assert "eps must" in str(error)  # noqa: PT017 - either outcome is right
            else:
                assert all(np.isfinite(v).all() for v in values), (eps, dtype)


# --- completeness -----------------------------------------------------------------------------------------------


def public():
    """Every public function and class of srr, and every public method, with its parameters.

    What several modules export counts where ``layers``, which gathers the layers of the others, has it.
    """
    modules = sorted(info.name for info in pkgutil.iter_modules(srr.__path__) if not info.name.startswith("_"))
    seen = set()
    for stem in sorted(modules, key=lambda stem: stem != "layers"):
        module = importlib.import_module(f"srr.{stem}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing) or thing in seen:
                continue
            seen.add(thing)
            path = f"{stem}.{name}"
            yield path, thing, set(inspect.signature(thing).parameters)
            if inspect.isclass(thing) and path not in RESULTS:
                for method, function in inspect.getmembers(thing, inspect.isfunction):
                    if method == "flops":  # `flops.of_layer` asks it, and checks what it asks
                        continue
                    if not method.startswith("_") and not _is_inherited(method) and method not in fields(thing):
                        yield (
                            f"{path}.{method}",
                            function,
                            set(inspect.signature(function).parameters) - {"self"},
                        )
    yield "mixtures.Mixture.draws", srr.mixtures.Mixture.draws, {"number"}
    yield "mixtures.Mixture.draw", srr.mixtures.Mixture.draw, {"index"}


def fields(cls):
    """Names of a dataclass's fields; one may have a function as its default."""
    return getattr(cls, "__dataclass_fields__", ())


def _is_inherited(method):
    return method in ("compress", "sparsify")  # of a layer, run by calling it


def test_catalogue_is_complete():
    """A function, or a parameter, that is new here fails until the catalogue has it."""
    missing = []
    for path, _, parameters in public():
        if path in RESULTS | MOMENTS:
            continue
        if path not in CALLS:
            missing.append(path)
            continue
        entries = [call for name, call in CALLS.items() if name == path or name.startswith(f"{path} with")]
        seen = set().union(*(call.arguments for call in entries))
        missing += [f"{path}({parameter})" for parameter in sorted(parameters - seen)]
    assert not missing


def test_everything_srr_exports_is_catalogued():
    known = {path.split(".")[1] for path in (*CALLS, *RESULTS)}
    exempt = {"FactorisationError", "PrecisionWarning"}
    for name in srr.__all__:
        if not inspect.ismodule(getattr(srr, name)):
            assert name in known | exempt, name


def test_examples_are_good_input():
    for call in CALLS.values():
        call.function(**examples(call))
