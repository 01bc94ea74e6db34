"""The module that a model computes with: a reader's own, out of its wrappers, in a copy that nothing else changes.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import torch
from torch.utils._pytree import tree_leaves

from companion.errors import ModelError

__all__ = ["moved", "private_copy", "refuse_by_kind", "unwrapped"]

_DROPOUT = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d,
            torch.nn.AlphaDropout, torch.nn.FeatureAlphaDropout)  # fmt: skip
_BATCH_NORM = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)
_INSTANCE_NORM = (torch.nn.InstanceNorm1d, torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d)
_WITH_DROPOUT = (torch.nn.MultiheadAttention, torch.nn.RNNBase)
_PARALLEL = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)

# What a compiled function remembers of the one that it was made of: torch's own mark.
_ORIGINAL = "_torchdynamo_orig_callable"

# The copy that was made of a module. Weak keys: a module that nobody uses any more is not kept alive.
_copies: WeakKeyDictionary[torch.nn.Module, torch.nn.Module] = WeakKeyDictionary()


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Take a module out of what `torch.compile` and `torch.nn.DataParallel` put around it.

    Returns
    -------
    torch.nn.Module
        The reader's own module, or a copy that shares its parameters where a part of it is wrapped.

    Raises
    ------
    ModelError
        If it is not a module, or if it or a part of it is TorchScript, which can't be given other weights.
    """
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"{type(module).__name__} is not a torch.nn.Module; expected a module, such as torch.nn.Linear."
        )
    module = _inner(module)
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ModelError(
                f"{name or 'the module'} is TorchScript ({type(part).__name__}), which can't compute with other "
                "weights than its own. Give the Python module that torch.jit.script or torch.jit.trace was called with."
            )
    if any(_inner(part) is not part for part in module.modules()):
        module = _copied(module)
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                setattr(parent, name, _inner(child))
    return module


def refuse_by_kind(module: torch.nn.Module) -> None:
    """Refuse layers that are known not to compute the same from the same weights, and parameters without a shape.

    Raises
    ------
    ModelError
        If a layer draws random numbers or keeps statistics, or a lazy module has not seen an input yet.
    """
    for name, part in module.named_modules():
        if part.training and _is_random(part):
            raise ModelError(
                f"{name or 'the module'} is a {type(part).__name__} in training mode, which doesn't compute the same "
                "from the same weights. Call module.eval() first, or leave it out: the posterior regularises already."
            )
    lazy = [name for name, p in module.named_parameters() if torch.nn.parameter.is_lazy(p)]
    if lazy:
        raise ModelError(f"the parameters {lazy} have no shape yet; run the lazy module once on an example input.")


def private_copy(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a module, so that neither what a model does reaches the reader's, nor what the reader does the model's.

    Parameters that a prior replaces are shared, since their values are never used. The same module gives the same
    copy for as long as it has not changed.

    Raises
    ------
    ModelError
        If Python can't copy it.
    """
    known = _copies.get(module)
    if known is None or not _same(known, module):
        known = _copies[module] = _copied(module)
    return known


def moved(module: torch.nn.Module, device: str | torch.device, dtype: torch.dtype | None) -> torch.nn.Module:
    """Copy a module to a device and a floating dtype, with the tensors that it holds as plain attributes."""
    new = copy.deepcopy(module, {id(t): t for t in _tensors(module) if not t.is_leaf}).to(device, dtype)
    for part in new.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor):
                vars(part)[name] = value.detach().to(device, dtype if value.is_floating_point() else None)
    return new


def _is_random(part: torch.nn.Module) -> bool:
    """Say whether a layer in training mode draws random numbers or keeps statistics."""
    if isinstance(part, _DROPOUT):
        return bool(part.p > 0)
    if isinstance(part, _WITH_DROPOUT):
        return bool(part.dropout > 0)
    if isinstance(part, _INSTANCE_NORM):
        return part.track_running_stats
    return isinstance(part, (*_BATCH_NORM, torch.nn.RReLU))


def _inner(module: torch.nn.Module) -> torch.nn.Module:
    """Take the module out of wrappers around it alone."""
    while True:
        parts = vars(module).get("_modules")
        inner = module.module if isinstance(module, _PARALLEL) else dict(parts or {}).get("_orig_mod")
        if not isinstance(inner, torch.nn.Module):
            return module
        module = inner


def _copied(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a module with what is frozen in it, and share all other tensors.

    Shared are the parameters with a gradient and what was computed from them, such as the attribute ``weight`` of
    `torch.nn.utils.weight_norm`, which Python can't copy.
    """
    try:
        new = copy.deepcopy(module, {id(t): t for t in _tensors(module) if t.requires_grad})
    except Exception as error:  # whatever the module holds may refuse in its own way
        raise ModelError(
            f"{type(module).__name__} can't be copied ({type(error).__name__}: {error}); a model computes with a copy, "
            "so that your module stays as it is. Take what can't be copied out of its attributes."
        ) from error
    for part in new.modules():
        vars(part).pop("_compiled_call_impl", None)  # made of the reader's module, it would compute with that one
        original = getattr(vars(part).get("forward"), _ORIGINAL, None)
        if getattr(original, "__qualname__", "") == type(part).forward.__qualname__:
            del vars(part)["forward"]  # compiled from the reader's module as well; the class has it
    return new


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """List every tensor that a module or a part of it holds, also those that are plain attributes."""
    held = [v for p in module.modules() for kept in (p._parameters, p._buffers, vars(p)) for v in kept.values()]
    return [t for t in tree_leaves([v for v in held if not isinstance(v, dict)]) if isinstance(t, torch.Tensor)]


def _same(known: torch.nn.Module, module: torch.nn.Module) -> bool:
    """Say whether a copy still is one: the same layers, settings and frozen values."""
    ours, theirs = dict(known.named_modules()), dict(module.named_modules())
    return ours.keys() == theirs.keys() and all(_same_part(part, theirs[name]) for name, part in ours.items())


def _same_part(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    plain = (bool, int, float, complex, str, tuple, type(None))
    settings, others = ({k: v for k, v in vars(m).items() if isinstance(v, plain)} for m in (ours, theirs))
    if type(ours) is not type(theirs) or settings != others:
        return False
    held, given = ({**m._parameters, **m._buffers} for m in (ours, theirs))
    return held.keys() == given.keys() and all(_same_tensor(t, given[name]) for name, t in held.items())


def _same_tensor(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> bool:
    if ours is None or theirs is None or ours is theirs:
        return ours is theirs
    alike = (ours.shape, ours.dtype, ours.device, ours.requires_grad) == (
        theirs.shape, theirs.dtype, theirs.device, theirs.requires_grad,
    )  # fmt: skip
    return alike and not ours.requires_grad and not ours.is_meta and torch.equal(ours, theirs)
