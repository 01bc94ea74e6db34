"""Draw the rooms of the companion and what flows between them, for the page "How a fit works": `make pages`.

The drawing is as wide as a phone and stands in the page itself, so that it takes the colours of the theme, light or
dark. A test holds it against the package: every room is in it, and an arrow stands only where one room asks the other.
"""

from tools.pages.boxes import NARROW, Arrow, Box, svg, words

__all__ = ["ARROWS", "BOXES", "drawing"]

HEIGHT = 592
WIDE, LEFT, RIGHT = 232, 0, 248

BOXES = (
    Box("datasets", ("observations",), 0, 4),
    Box("networks", ("torch modules",), 124, 4),
    Box("priors", ("over weights",), 248, 4),
    Box("models", ("priors, network, likelihood",), LEFT, 86, WIDE),
    Box("bridge", ("the model in torch",), 12, 178, WIDE - 24),
    Box("variational", ("family, estimator, objective",), 12, 254, WIDE - 24),
    Box("training", ("rows, noise, steps, checkpoints",), 12, 330, WIDE - 24),
    Box("bayes_by_backprop", ("a Pyro model,", "its guide,", "its objective"), RIGHT, 86, NARROW, 82),
    Box("machine", ("devices, seeds,", "memory,", "compilation"), RIGHT, 208, NARROW, 82),
    Box("laplace", ("curvature", "around a mode"), RIGHT, 362, NARROW, 60),
    Box("posterior", ("draws, predictions, record",), LEFT, 432, WIDE),
    Box("shelf", ("fits and results", "on disk"), RIGHT, 432, NARROW, 60),
    Box("prediction", ("probabilities",), 0, 522),
    Box("uncertainty", ("scores, decisions",), 124, 522),
    Box("plots", ("figures",), 248, 522),
)
FRAME = Box("inference", (), LEFT, 152, WIDE, 236)
ARROWS = (
    Arrow("datasets", "models", "x, y", ((56, 50), (56, 84)), (62, 71)),
    Arrow("networks", "models", "a module", ((160, 50), (160, 84)), (166, 71)),
    Arrow("priors", "models", "", ((304, 50), (304, 60), (226, 60), (226, 84)), (0, 0)),
    Arrow("priors", "bayes_by_backprop", "", ((304, 50), (304, 84)), (0, 0)),
    Arrow("models", "bridge", "a pymc.Model", ((116, 132), (116, 176)), (122, 147)),
    Arrow("bridge", "variational", "log p(data, values)", ((116, 224), (116, 252)), (122, 242)),
    Arrow("variational", "training", "loss and gradients", ((116, 300), (116, 328)), (122, 318)),
    Arrow("bayes_by_backprop", "training", "", ((348, 168), (348, 188), (240, 188), (240, 353), (222, 353)), (0, 0)),
    Arrow("machine", "training", "", ((304, 290), (304, 364), (222, 364)), (0, 0)),
    Arrow("training", "laplace", "", ((222, 372), (236, 372), (236, 388), (246, 388)), (0, 0)),
    Arrow("laplace", "posterior", "", ((248, 412), (226, 412), (226, 430)), (0, 0)),
    Arrow("training", "posterior", "parameters", ((116, 376), (116, 430)), (122, 410)),
    Arrow("posterior", "shelf", "", ((232, 455), (246, 455)), (0, 0)),
    Arrow("posterior", "prediction", "draws: name to (draws, ...)", ((56, 478), (56, 520)), (62, 503)),
    Arrow("prediction", "uncertainty", "", ((112, 545), (122, 545)), (0, 0)),
    Arrow("uncertainty", "plots", "", ((236, 545), (246, 545)), (0, 0)),
)
BELOW = ("probabilities: (draws, points, classes)", 62, 584)

TITLE = "The rooms of the companion and what flows between them"
DESCRIPTION = (
    "From top to bottom. Observations from datasets, a module from networks and a prior from priors make a PyMC model "
    "in models. Behind the door inference, bridge turns the model into a log density in torch, variational turns that "
    "into a loss and its gradients, and training follows them step by step. Beside them, bayes_by_backprop hands a "
    "Pyro model's objective to the same training, and machine gives devices, seeds, memory and compilation. The fitted "
    "parameters, or the curvature that laplace finds around a mode, become a posterior, which can be kept on the "
    "shelf. Its draws go to prediction, the probabilities to uncertainty and plots."
)


def drawing() -> str:
    """Write the drawing as SVG, to stand in a page of HTML."""
    said, x, y = BELOW
    return svg("rooms", TITLE, DESCRIPTION, HEIGHT, FRAME, BOXES, ARROWS, words("flow", x, y, said))
