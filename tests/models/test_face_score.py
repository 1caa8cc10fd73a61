import numpy as np
import pytest

from flaxmark.models.confidence import doubt, face_score, fit_face_score


def test_doubt_by_hand() -> None:
    assert doubt(np.exp([[1.0, 3.0], [-2.0, -2.0]])).tolist() == pytest.approx([2.0, -2.0])


def test_the_score_of_two_gaussians_is_the_known_one() -> None:
    """Equal deviations s about a and b: log odds are linear, with the slope (b - a) / s^2 and zero half-way."""
    rng = np.random.default_rng(0)
    a, b, s = -4.0, -3.0, 0.5
    fitted = fit_face_score(rng.normal(a, s, 40_000), rng.normal(b, s, 20_000))
    assert fitted["middle"] == pytest.approx((a + b) / 2, abs=0.02)
    assert fitted["width"] == pytest.approx(s**2 / (b - a), rel=0.05)
    scores = face_score(np.array([-9.0, (a + b) / 2, 5.0, 1e9]), fitted)
    assert scores.tolist() == pytest.approx([1, 0.5, 0, 0], abs=0.05)
    assert (np.diff(face_score(np.linspace(-9, 5, 50), fitted)) <= 0).all()


def test_kinds_that_do_not_overlap_and_kinds_that_are_the_same() -> None:
    apart = fit_face_score(np.array([-5.0, -4.9]), np.array([-1.0, -1.1]))
    assert face_score(np.array([-5.0, -1.0]), apart).tolist() == pytest.approx([1, 0], abs=0.02)
    same = fit_face_score(np.full(5, -3.0), np.full(9, -3.0))
    assert face_score(np.array([-3.0]), same)[0] == pytest.approx(0.5, abs=0.01)
