"""The companion package of *Bayesian Neural Networks, Reproduced*.

Data flows one way through its rooms; each imports only from those to its left::

    datasets -> networks -> priors -> bridge -> models -> forward -> posterior -> inference -> prediction
    -> uncertainty -> plots -> cli

Importing the package is cheap: PyMC, torch and Pyro are loaded by the rooms that use them.
"""

__version__ = "0.1.0"
