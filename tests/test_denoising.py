"""The optimal denoiser of a mixture of subspaces: against dense Gaussian densities and against its definition."""

import math

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
