"""Draw the two bridges between PyMC and torch, for the page "How a fit works" and the chapter on MNIST: `make pages`.

A torch module goes into a PyMC model, and the whole model comes back as torch functions. A test holds the names against
the package.
"""

from tools.pages.boxes import Arrow, Box, svg, words

__all__ = ["ARROWS", "BOXES", "FRAME", "HEIGHT", "drawing"]

HEIGHT = 472
SIDE = 128  # width of a box on torch's side
FRAME = Box("pm.Model", (), 0, 34, 176, 226)
BOXES = (
    Box("prior", ("on each weight",), 12, 62, 152),
    Box("TorchOp", ("one node of the graph:", "value and gradient"), 12, 128, 152, 62),
    Box("likelihood", ("of the data",), 12, 208, 152, 44),
    Box("Module", ("torch.nn.Module",), 232, 136, SIDE),
    Box("LogDensity", ("log p(data, values)",), 232, 280, SIDE),
    Box("fit", ("steps, restarts, draws",), 232, 352, SIDE),
    Box("Response", ("probabilities, means",), 232, 424, SIDE),
    Box("PyMC", ("pm.fit, pm.sample",), 0, 352, SIDE),
)
ARROWS = (
    Arrow("prior", "TorchOp", "weights", ((88, 108), (88, 126)), (94, 121)),
    Arrow("TorchOp", "likelihood", "outputs", ((88, 190), (88, 206)), (94, 202)),
    Arrow("Module", "TorchOp", "wrap_torch", ((232, 159), (166, 159)), (180, 126)),
    Arrow("pm.Model", "PyMC", "", ((40, 260), (40, 350)), (0, 0)),
    Arrow("pm.Model", "LogDensity", "torch_log_density", ((112, 260), (112, 303), (230, 303)), (118, 296)),
    Arrow("pm.Model", "Response", "", ((76, 260), (76, 336), (216, 336), (216, 447), (230, 447)), (0, 0)),
    Arrow("LogDensity", "fit", "gradients", ((296, 326), (296, 350)), (302, 342)),
    Arrow("fit", "Response", "draws", ((296, 398), (296, 422)), (302, 414)),
)
RIVER = ((24, 108), (174, 280), (350, HEIGHT))  # open where a bridge crosses it

TITLE = "The two bridges between PyMC and torch"
DESCRIPTION = (
    "Two banks: PyMC and PyTensor on the left, torch on the right. The first bridge leads from right to left: "
    "wrap_torch makes a torch Module one node of the graph of a pm.Model, a TorchOp with a value and a gradient, "
    "between the prior on each weight and the likelihood of the data. PyMC fits and samples the model as any other. "
    "The second bridge leads from left to right: torch_log_density turns the whole model into a LogDensity, a torch "
    "function whose gradients fit follows. The model's Response is a torch function, too; it makes predictions of the "
    "draws that fit gives."
)


def drawing() -> str:
    """Write the drawing as SVG, to stand in a page of HTML."""
    banks = [words("", 0, 18, "PyMC and PyTensor"), words("", 232, 18, "torch")]
    river = [f'<path class="door" d="M204 {top} L204 {end}"/>' for top, end in RIVER]
    return svg("bridges", TITLE, DESCRIPTION, HEIGHT, FRAME, BOXES, ARROWS, *banks, *river)
