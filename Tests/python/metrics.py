"""Measures of closeness, as `onnxq verify` defines them."""
import math

import numpy


def flat(values):
    return numpy.concatenate([numpy.asarray(value, numpy.float64).ravel() for value in values])


def sqnr_db(reference, other):
    """20 log10 of the reference's norm over the norm of the difference, over all samples together."""
    reference, other = flat(reference), flat(other)
    noise = numpy.linalg.norm(reference - other)
    return math.inf if noise == 0 else 20 * math.log10(numpy.linalg.norm(reference) / noise)


def cosine(a, b):
    a, b = flat(a), flat(b)
    norms = numpy.linalg.norm(a) * numpy.linalg.norm(b)
    return float(a @ b / norms) if norms else float(numpy.array_equal(a, b))


def top1(values):
    return numpy.array([int(numpy.asarray(value).argmax()) for value in values])


def agreement(a, b):
    """Percent of the samples whose largest output is the same."""
    return float((top1(a) == top1(b)).mean() * 100)


def relative_difference(reference, other):
    """The largest difference as a share of the reference's largest finite magnitude; infinite where NaN and infinity differ."""
    reference, other = numpy.asarray(reference, numpy.float64), numpy.asarray(other, numpy.float64)
    finite = numpy.isfinite(reference)
    if not numpy.array_equal(reference[~finite], other[~finite], equal_nan=True) or not numpy.isfinite(other[finite]).all():
        return math.inf
    if not finite.any():
        return 0.0
    scale = abs(reference[finite]).max()
    difference = abs(reference[finite] - other[finite]).max()
    return float(difference / scale) if scale else float(difference)
