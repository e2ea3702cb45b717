"""The calls of PyTorch's samples that are refused, and why: by operator and element type."""

from __future__ import annotations

from dataclasses import dataclass

from opinfo.samples import OPERATORS

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


_NOT_OF_COMPLEX = "has no lowering to NNEF of complex numbers"

_LSTSQ = "linalg.lstsq linalg.lstsq.grad_oriented"

REFUSED: tuple[Refused, ...] = (
    _refused(
        "is random; make the noise",
        "bernoulli cauchy exponential geometric log_normal multinomial normal normal.in_place "
        "normal.number_mean rand_like randint randint_like randn randn_like uniform "
        "pca_lowrank svd_lowrank nn.functional.fractional_max_pool2d "
        "nn.functional.fractional_max_pool3d",
    ),
    _refused(
        "it is random; make the noise",
        "nn.functional.dropout nn.functional.multi_head_attention_forward",
        some=True,
    ),
    _refused(
        "it draws random numbers (train=True)",
        "nn.functional.alpha_dropout nn.functional.dropout2d nn.functional.dropout3d "
        "nn.functional.feature_alpha_dropout.with_train",
        some=True,
    ),
    _refused("it draws random slopes (training=True)", "nn.functional.rrelu"),
    _refused("it drops weights at random", "nn.functional.scaled_dot_product_attention", some=True),
    # State, which a graph has not.
    _refused("changes it in place", "_batch_norm_with_update _native_batch_norm_legit"),
    _refused("changes it in place", "native_batch_norm", some=True),
    _refused("training=True changes the running statistics", "nn.functional.batch_norm", some=True),
    _refused("use_input_stats=True changes the running statistics", "nn.functional.instance_norm"),
    # What depends on data.
    _refused("data-dependent expression", "tensor_split", some=True),
    _refused("its range depends on the data; give its range", "histogram histogramdd", some=True),
    _refused(
        "its degree is computed by the model",
        "special.laguerre_polynomial_l special.legendre_polynomial_p",
        dtypes="float32 float64 int64 int32",  # of others it can't be great
    ),
    _refused("data-dependent expression", "nn.functional.one_hot", some=True),
    _refused("have a shape that depends on the ranks", _LSTSQ, dtypes="float32 float64", some=True),
    _refused("_ctc_loss", "nn.functional.ctc_loss"),
    # LAPACK's own ways.
    _refused(
        "Bunch and Kaufman's factors have blocks of one row or two",
        "linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve",
        dtypes="float32 float64",
    ),
    _refused(
        "the signs of its vectors are LAPACK's choice",
        "linalg.eigh linalg.svd svd",
        some=True,
    ),
    _refused(_NOT_OF_COMPLEX, "linalg.eig linalg.eigvals"),
    # Complex numbers.
    _refused(
        _NOT_OF_COMPLEX,
        "cholesky cholesky_inverse cholesky_solve linalg.cholesky linalg.cholesky_ex linalg.det "
        "linalg.householder_product linalg.inv_ex linalg.ldl_factor linalg.ldl_factor_ex "
        "linalg.ldl_solve linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve "
        "linalg.pinv linalg.pinv.hermitian linalg.pinv.singular linalg.qr linalg.slogdet "
        "linalg.solve_ex linalg.solve_triangular logcumsumexp logdet lu lu_solve lu_unpack ormqr "
        "pinverse qr triangular_solve",
        dtypes="complex64",
    ),
    _refused(_NOT_OF_COMPLEX, "scatter", dtypes="complex64", some=True),
    _refused("torch can't take apart", f"geqrf {_LSTSQ}", dtypes="complex64"),
    _refused("windows of complex signals have no lowering", "stft", dtypes="complex64"),
    # Memory, and types that tract has not.
    _refused("it reads the memory of a tensor", "as_strided.partial_views"),
    _refused("sparse_csr", "sparse.mm.reduce sparse.sampled_addmm"),
    _refused("numpy has no complex32", "chalf"),
    _refused("numpy has no complex32", "complex view_as_complex", dtypes="float16"),
    _refused("tract has no element type for torch.bfloat16", "bfloat16"),
    Refused("torch.bfloat16", frozenset(OPERATORS), frozenset({"bfloat16"}), some=True),
    # Arithmetic that tract does in another way.
    _refused(
        "it cuts off fractions of numbers",
        "linspace.tensor_overload",
        dtypes="int64 int32 uint8",
    ),
    _refused("its divisions are not rounded in", "histc", dtypes="float64 float16"),
    _refused(
        "tract has no interpolation of torch.uint8",
        "_upsample_bilinear2d_aa nn.functional.interpolate.bicubic "
        "nn.functional.interpolate.bilinear nn.functional.upsample_bilinear",
        dtypes="uint8",
    ),
    _refused("embedding_renorm", "nn.functional.embedding nn.functional.embedding_bag", some=True),
    _refused("has no lowering to NNEF", "hash_tensor to_sparse"),
)
