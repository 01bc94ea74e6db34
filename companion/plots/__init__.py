"""Figures of the book: data, fits, predictions and scores, drawn with matplotlib.

Explained in the chapters on the moons (`book/pymc/moons`), on breast cancer (`book/pymc/breast_cancer_decisions`), on
images (`book/mnist/strange_images`) and on regression (`book/bayes_by_backprop/regression`). Every function draws on
the axes it is given, or on new ones, and returns them; those that draw several panels return their figure. Figures have
an opaque white background, so that they read the same in light and dark pages.
"""

from companion.plots.bands import regression_band
from companion.plots.bounds import bound_against_accuracy
from companion.plots.confusion import confusion_matrix
from companion.plots.data import data_scatter, predicted_labels
from companion.plots.distributions import pruning_curve, score_histograms, snr_histogram, weight_posteriors
from companion.plots.fits import chain_ranks, elbo_history, parameter_paths, weight_intervals, weight_traces
from companion.plots.graph import model_graph
from companion.plots.images import filters_with_uncertainty, image_grid, image_predictions
from companion.plots.language import words
from companion.plots.scores import decision_curves, interval_plot, reliability_diagram, risk_coverage
from companion.plots.sketches import flipout_sketch, network_sketch, reparameterisation_sketch
from companion.plots.style import CLASS_COLORS, tint_map, use_style
from companion.plots.surfaces import decision_lines, probability_surface, uncertainty_panels, uncertainty_surface
from companion.plots.ticks import plain_numbers

__all__ = [
    "CLASS_COLORS",
    "bound_against_accuracy",
    "chain_ranks",
    "confusion_matrix",
    "data_scatter",
    "decision_curves",
    "decision_lines",
    "elbo_history",
    "filters_with_uncertainty",
    "flipout_sketch",
    "image_grid",
    "image_predictions",
    "interval_plot",
    "model_graph",
    "network_sketch",
    "parameter_paths",
    "plain_numbers",
    "predicted_labels",
    "probability_surface",
    "pruning_curve",
    "regression_band",
    "reliability_diagram",
    "reparameterisation_sketch",
    "risk_coverage",
    "score_histograms",
    "snr_histogram",
    "tint_map",
    "uncertainty_panels",
    "uncertainty_surface",
    "use_style",
    "weight_intervals",
    "weight_posteriors",
    "weight_traces",
    "words",
]
