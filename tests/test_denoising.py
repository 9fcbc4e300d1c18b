"""The optimal denoiser of a mixture of subspaces: against dense Gaussian densities and against its definition."""

import math
import re

import mpmath
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from srr.denoising import SubspaceMixture, attention_denoiser

K, d, p, sigma = 3, 5, 2, 0.7


@pytest.fixture(scope="module")
def law():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    return SubspaceMixture(U, rng.uniform(0.2, 4, (K, p)), np.array([1.0, 2.0, 5.0]))


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(1).standard_normal((2, 4, d))


def covariances(law, noise=sigma):
    return (law.U * law.variances[:, None, :]) @ law.U.swapaxes(1, 2) + noise**2 * np.eye(d)


def log_joint(law, X):
    logs = [multivariate_normal(np.zeros(d), C).logpdf(X) for C in covariances(law)]
    return np.stack(logs, axis=-1) + np.log(law.weights / law.weights.sum())


def test_density_is_the_mixture_of_dense_gaussians(law, X):
    np.testing.assert_allclose(law.log_density(X, noise=sigma), logsumexp(log_joint(law, X), axis=-1), rtol=1e-12)


def test_memberships_are_bayes_rule(law, X):
    joint = log_joint(law, X)
    expected = np.exp(joint - logsumexp(joint, axis=-1, keepdims=True))
    np.testing.assert_allclose(law.memberships(X, noise=sigma), expected, rtol=1e-11)


def test_posterior_mean_is_the_average_of_wiener_filters(law, X):
    filters = np.eye(d) - sigma**2 * np.linalg.inv(covariances(law))
    expected = np.einsum("...k,kij,...j->...i", law.memberships(X, noise=sigma), filters, X)
    np.testing.assert_allclose(law.posterior_mean(X, noise=sigma), expected, rtol=1e-10, atol=1e-13)


def test_score_is_the_gradient_of_the_log_density(law, X):
    h = 1e-6
    slopes = [
        (law.log_density(X + h * e, noise=sigma) - law.log_density(X - h * e, noise=sigma)) / (2 * h) for e in np.eye(d)
    ]
    np.testing.assert_allclose(law.score(X, noise=sigma), np.stack(slopes, axis=-1), rtol=1e-7, atol=1e-8)


def test_error_of_the_posterior_mean_is_orthogonal_to_the_token(law):
    rng = np.random.default_rng(2)
    n = 100_000
    k = rng.choice(K, size=n, p=law.weights / law.weights.sum())
    z = np.einsum("nij,nj->ni", law.U[k], rng.standard_normal((n, p)) * np.sqrt(law.variances[k]))
    x = z + sigma * rng.standard_normal((n, d))

    def worst_correlation(noise):
        products = (law.posterior_mean(x, noise=noise) - z)[:, :, None] * x[:, None, :]
        return np.max(np.abs(products.mean(axis=0)) / products.std(axis=0)) * math.sqrt(n)  # in standard errors

    assert worst_correlation(sigma) < 5
    assert worst_correlation(1.1 * sigma) > 20


def test_attention_is_as_printed(law, X):
    squares = np.einsum("kdp,...d->...kp", law.U, X)
    weights = np.exp(np.sum(squares**2, axis=-1) / (2 * sigma**2))
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = np.einsum("...k,kdp,...kp->...d", weights, law.U, squares)
    np.testing.assert_allclose(attention_denoiser(X, law.U, noise=sigma), expected, rtol=1e-12, atol=1e-14)


def test_small_and_large_noise(law, X):
    # With the noise far below the tokens the softmax is hard, and nothing overflows; far above, nothing is left.
    tiny = law.posterior_mean(X, noise=1e-9)
    nearest = np.argmax(np.linalg.norm(np.einsum("kdp,...d->...kp", law.U, X), axis=-1), axis=-1)
    expected = np.einsum("...ij,...j->...i", (law.U @ law.U.swapaxes(1, 2))[nearest], X)
    np.testing.assert_allclose(tiny, expected, atol=1e-12)
    np.testing.assert_allclose(attention_denoiser(X, law.U, noise=1e-9), expected, atol=1e-12)
    assert np.linalg.norm(law.posterior_mean(X, noise=1e9)) < 1e-16
    assert np.isfinite(law.log_density(X, noise=1e-9)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"U": np.ones((2, 3, 2))}, "U must have orthonormal columns"),
        ({"variances": np.ones((2, 3))}, r"variances must have shape \(2, 1\)"),
        ({"variances": np.zeros((2, 1))}, "variances must have entries > 0, got 0.0"),
        ({"weights": np.ones(3)}, r"weights must have shape \(2,\)"),
        ({"weights": np.array([1.0, -1.0])}, "weights must have entries > 0, got -1.0"),
        ({"weights": np.array([1.0, np.nan])}, "weights must be finite, got nan"),
        ({"weights": np.array([1.0, np.inf])}, "weights must be finite"),
    ],
)
def test_bad_mixture(change, message):
    good = {"U": np.eye(3)[:2, :, None], "variances": np.ones((2, 1)), "weights": np.ones(2)}
    with pytest.raises(ValueError, match=message):
        SubspaceMixture(**{**good, **change})


def test_bad_tokens(law, X):
    for denoise in (law.posterior_mean, law.score, law.memberships, law.log_density):
        with pytest.raises(ValueError, match=r"X must have shape \(\.\.\., n, 5\)"):
            denoise(X[..., :3], noise=sigma)
        with pytest.raises(ValueError, match="noise must be > 0, got 0"):
            denoise(X, noise=0.0)


# --- at the ends of the range ---------------------------------------------------------------------------------------


def exact_log_joint(law, x, noise):
    """log π_k + log q(x | k) of one token, K numbers, with 400 digits and dense covariances."""
    with mpmath.workdps(400):
        weights, results = [mpmath.mpf(float(w)) for w in law.weights], []
        x = mpmath.matrix(x.tolist())
        for weight, U, variances in zip(weights, law.U, law.variances, strict=True):
            U = mpmath.matrix(U.tolist())
            C = U * mpmath.diag(variances.tolist()) * U.T + mpmath.mpf(noise) ** 2 * mpmath.eye(d)
            distance = (x.T * mpmath.lu_solve(C, x))[0]
            constant = d * mpmath.log(2 * mpmath.pi) + mpmath.log(mpmath.det(C))
            results.append(mpmath.log(weight / mpmath.fsum(weights)) - (distance + constant) / 2)
        return results


def close_to_two(law, between):
    """A token where subspaces 0 and 1 are about equally near, and the noise makes that matter."""
    return law.U[0] @ np.array([0.3, -0.5]) + between * law.U[1] @ np.array([1.0, 2.0])


@pytest.mark.parametrize("noise", [1e-1, 1e-4, 1e-7])
def test_no_digits_are_lost_at_small_noise(law, noise):
    x = close_to_two(law, noise)
    joint = exact_log_joint(law, x, noise)
    assert float(law.log_density(x[None], noise=noise)[0]) == pytest.approx(
        float(max(joint) + mpmath.log(mpmath.fsum(mpmath.exp(j - max(joint)) for j in joint))),
        rel=30 * d * (2.0**-53 / noise + 2.0**-53),  # (x − UUᵀx)/σ, of the size of one, is off by u‖x‖/σ
    )


def test_attention_at_small_noise(law):
    """Two subspaces at nearly the same distance: their difference over σ² is what counts."""
    noise, U = 1e-6, np.stack([np.eye(5)[:, :2], np.eye(5)[:, [0, 2]]])
    x = np.array([[1.0, 2e-6, 1e-6, 0.0, 0.0]])
    share = 1 / (1 + math.exp(-(4 - 1) / 2))
    expected = np.array([[1.0, share * 2e-6, (1 - share) * 1e-6, 0.0, 0.0]])
    np.testing.assert_allclose(attention_denoiser(x, U, noise=noise), expected, rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
def test_tokens_and_noise_of_any_size(law, X, scale):
    """x/s with noise σ/s and variances λ/s² is the same mixture."""
    scaled = SubspaceMixture(law.U, law.variances * scale * scale, law.weights)
    shift = d * math.log(scale)
    near = {"rtol": 30 * d * 2.0**-53 * abs(shift), "atol": 0}  # log σ enters every logit
    moved, noise = X * scale, sigma * scale
    np.testing.assert_allclose(scaled.memberships(moved, noise=noise), law.memberships(X, noise=sigma), **near)
    np.testing.assert_allclose(
        scaled.posterior_mean(moved, noise=noise) / scale, law.posterior_mean(X, noise=sigma), **near
    )
    np.testing.assert_allclose(scaled.score(moved, noise=noise) * scale, law.score(X, noise=sigma), **near)
    density = scaled.log_density(moved, noise=noise) + shift
    np.testing.assert_allclose(density, law.log_density(X, noise=sigma), **near)
    np.testing.assert_allclose(
        attention_denoiser(moved, law.U, noise=noise) / scale, attention_denoiser(X, law.U, noise=sigma), **near
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e307])
def test_only_ratios_of_weights_matter(law, X, scale):
    scaled = SubspaceMixture(law.U, law.variances, law.weights * scale * 3)
    for name in ("log_density", "memberships", "posterior_mean", "score"):
        expected = getattr(law, name)(X, noise=sigma)
        np.testing.assert_allclose(getattr(scaled, name)(X, noise=sigma), expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("noise", [1e-310, 1e-200, 1e-153, 1e155, 1e200, 1e308])
def test_extreme_noise_gives_a_number_or_names_the_noise(law, X, noise):
    calls = [getattr(law, name) for name in ("log_density", "memberships", "posterior_mean", "score")]
    for call in (*calls, lambda X, noise: attention_denoiser(X, law.U, noise=noise)):
        for tokens in (X, 1e-170 * X, 1e-300 * X, 1e150 * X, 0 * X):
            try:
                assert np.isfinite(call(tokens, noise=noise)).all()
            except ValueError as error:
                assert re.search(r"noise must be .* got", str(error))  # noqa: PT017 - either outcome is right
    assert np.isfinite(law.posterior_mean(X, noise=1e200)).all()


def test_a_score_asks_for_more_noise_than_a_density(law, X):
    """‖x‖/σ² leaves the range before ‖x‖²/σ² does, where ‖x‖ is below one."""
    tokens = X * (1e-4 / np.abs(X).max())
    for calls, floor in (
        ((law.score,), "6.7e-156"),
        ((law.log_density, law.memberships, law.posterior_mean), "6.7e-158"),
    ):
        for call in calls:
            for given in (tokens, np.full((1, d), 1e-4)):
                with pytest.raises(ValueError, match=f"^noise must be above {floor} for .* to 1.0e-04, got 6e-158$"):
                    call(given, noise=6e-158)
            assert np.isfinite(call(tokens, noise=1.1 * float(floor))).all()
    floor = 4 * math.sqrt(d / np.finfo(float).max) * 1e-4
    with pytest.raises(ValueError, match=r"^noise must be above"):
        law.log_density(np.full((1, d), 1e-4), noise=floor)
    law.log_density(np.full((1, d), 1e-4), noise=np.nextafter(floor, 1))


def test_noise_at_both_ends_of_the_floats(law, X):
    least, most = np.finfo(float).smallest_normal, np.finfo(float).max
    assert np.isfinite(law.log_density(0 * X, noise=least)).all()
    assert np.array_equal(law.posterior_mean(X, noise=most), 0 * X)


def test_bases_beyond_the_range_are_not_orthonormal(law):
    for scale in (1e160, 1e308):
        with pytest.raises(ValueError, match="U must have orthonormal columns"):
            SubspaceMixture(law.U * scale, law.variances, law.weights)
