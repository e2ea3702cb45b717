"""The calls of PyTorch's samples that are refused, and why: by operator and element type."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REFUSED", "Refused"]


@dataclass(frozen=True)
class Refused:
    """Operators that are refused for one reason.

    Attributes:
        reason: what the message says, or a part of it.
        operators: their names.
        dtypes: for which element types, by default all.
        some: whether that holds for some of the samples, or for all.
    """

    reason: str
    operators: frozenset[str]
    dtypes: frozenset[str] = frozenset()
    some: bool = False

    def covers(self, operator: str, dtype: str) -> bool:
        """Whether samples of this operator and type are refused for this reason."""
        return operator in self.operators and (not self.dtypes or dtype in self.dtypes)


def _refused(reason: str, operators: str, *, dtypes: str = "", some: bool = False) -> Refused:
    return Refused(reason, frozenset(operators.split()), frozenset(dtypes.split()), some)


REFUSED: tuple[Refused, ...] = (
    _refused(
        "it is random; make the noise",
        "bernoulli cauchy exponential geometric log_normal multinomial normal normal.in_place "
        "normal.number_mean rand_like randint randint_like randn randn_like uniform "
        "pca_lowrank svd_lowrank nn.functional.fractional_max_pool2d "
        "nn.functional.fractional_max_pool3d",
    ),
    _refused(
        "it is random; make the noise",
        "nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d "
        "nn.functional.multi_head_attention_forward",
        some=True,
    ),
    _refused(
        "it draws random numbers (train=True)",
        "nn.functional.alpha_dropout nn.functional.dropout nn.functional.dropout2d "
        "nn.functional.dropout3d nn.functional.feature_alpha_dropout.with_train",
        some=True,
    ),
    _refused("it draws random slopes (training=True)", "nn.functional.rrelu"),
    _refused("it drops weights at random", "nn.functional.scaled_dot_product_attention", some=True),
    # State, which a graph has not.
    _refused("changes it in place", "_batch_norm_with_update _native_batch_norm_legit"),
    _refused("changes it in place", "native_batch_norm nn.functional.embedding", some=True),
    _refused("training=True changes the running statistics", "nn.functional.batch_norm", some=True),
    _refused("use_input_stats=True changes the running statistics", "nn.functional.instance_norm"),
    # What depends on data.
    _refused("known only while running", "tensor_split", some=True),
    _refused("data-dependent expression", "tensor_split", some=True),
    _refused("its range depends on the data; give its range", "histogram histogramdd", some=True),
    _refused(
        "its degree is computed by the model",
        "special.laguerre_polynomial_l special.legendre_polynomial_p",
    ),
    _refused("_ctc_loss", "nn.functional.ctc_loss"),
    # LAPACK's own ways.
    _refused(
        "Bunch and Kaufman's factors have blocks of one row or two",
        "linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve",
    ),
    _refused(
        "the signs of its vectors are LAPACK's choice", "linalg.eigh linalg.svd svd", some=True
    ),
    _refused("has no lowering to NNEF of complex numbers", "linalg.eig linalg.eigvals"),
    # Memory, and types that tract has not.
    _refused("it reads the memory of a tensor", "as_strided.partial_views"),
    _refused("sparse_csr", "sparse.mm.reduce sparse.sampled_addmm"),
    _refused("numpy has no complex32", "chalf"),
    _refused("tract has no element type for torch.bfloat16", "bfloat16"),
    _refused("has no lowering to NNEF", "hash_tensor to_sparse"),
)
