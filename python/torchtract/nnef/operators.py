"""The operators that tract loads from NNEF, as its sources register them.

One line for each: `name(tensors; attributes) @version`, with the version of tract that knows
it first, where that is not the oldest one of `schema.known_versions`; the same for parameters.
Aliases, operators without an implementation and those of optional builds are left out.
"""

from __future__ import annotations

__all__ = ["OPERATORS"]

#: The lines, by the registry that a graph has to name in `extension tract_registry`.
OPERATORS = {
    "tract_nnef": """
        abs(x)
        acos(x)
        acosh(x)
        add(x, y)
        all_reduce(input; axes) @0.23.0
        and(x, y)
        any_reduce(input; axes) @0.23.0
        argmax_reduce(input; axes)
        argmin_reduce(input; axes)
        asin(x)
        asinh(x)
        atan(x)
        atanh(x)
        avg_pool(input; size, border, padding, stride, dilation)
        batch_normalization(input, mean, variance, offset, scale; epsilon)
        box(input; size, border, padding, stride, dilation, normalize)
        ceil(x)
        clamp(x, a, b)
        concat(values; axis)
        conv(input, filter, bias; border, padding, stride, dilation, groups)
        copy(x) @0.23.0
        cos(x)
        cosh(x)
        debox(input; size, border, padding, stride, dilation, output_shape, normalize) @0.23.0
        deconv(input, filter, bias; border, padding, stride, dilation, output_shape, groups)
        div(x, y)
        elu(x)
        eq(x, y)
        exp(x)
        external(; shape)
        floor(x)
        ge(x, y)
        gt(x, y)
        l1_normalization(input; axes, bias, epsilon)
        l2_normalization(input; axes, bias, epsilon)
        le(x, y)
        leaky_relu(x; alpha)
        linear(input, filter, bias)
        local_contrast_normalization(input; size, bias, epsilon)
        local_mean_normalization(input; size)
        local_response_normalization(input; size, alpha, beta, bias)
        local_variance_normalization(input; size, bias, epsilon)
        log(x)
        log2(x)
        lt(x, y)
        matmul(A, B; transposeA, transposeB)
        max(x, y)
        max_pool(input; size, border, padding, stride, dilation)
        max_pool_with_index(input; size, border, padding, stride, dilation)
        max_reduce(input; axes)
        mean_reduce(input; axes)
        min(x, y)
        min_reduce(input; axes)
        moments(input; axes)
        mul(x, y)
        ne(x, y)
        neg(x)
        not(x)
        or(x, y)
        pad(input; padding, border, value)
        pow(x, y)
        prelu(x, alpha)
        recip(x)
        relu(x)
        reshape(input; shape, axis_start, axis_count)
        rms_pool(input; size, border, padding, stride, dilation)
        round(x)
        rsqr(x)
        rsqrt(x)
        select(condition, true_value, false_value)
        separable_conv(input, plane_filter, point_filter, bias; border, padding, stride, dilation,
            groups)
        separable_deconv(input, plane_filter, point_filter, bias; border, padding, stride, dilation,
            output_shape, groups)
        sigmoid(x)
        sign(x)
        sin(x)
        sinh(x)
        slice(input; axes, begin, end)
        softabs(x; epsilon)
        softmax(x; axes)
        softplus(x)
        sqr(x)
        sqrt(x)
        square(x)
        squeeze(input; axes)
        stack(values; axis)
        sub(x, y)
        sum_reduce(input; axes, normalize)
        tan(x)
        tanh(x)
        tile(input; repeats)
        transpose(input; axes)
        unsqueeze(input; axes)
        unstack(value; axis)
        variable(; shape, label)
    """,
    "tract_core": """
        multilinear_upsample(input; factor, method, border) @0.23.3
        nearest_upsample(input; factor) @0.23.3
        tract_core_argmax_reduce_last(input; axes)
        tract_core_argmin_reduce_last(input; axes)
        tract_core_bitand(x, y)
        tract_core_bitnot(x)
        tract_core_bitor(x, y)
        tract_core_bitxor(x, y)
        tract_core_broadcast(input; shape)
        tract_core_cast(input; to)
        tract_core_clamped_swiglu(gate, up; alpha, limit) @0.23.9
        tract_core_cumsum(input; axis, exclusive, reverse) @0.23.9
        tract_core_downsample(input; axis, stride, modulo)
        tract_core_dyn_slice(input; start, end, len, axis)
        tract_core_einsum(inputs; expr, acc, output)
        tract_core_einsum_q(inputs; expr, acc, output, bias, a0, a_scale, b0, b_scale, c0, c_scale)
        tract_core_erf(x)
        tract_core_external(; datum_type, shape)
        tract_core_fft(input; axis, inverse)
        tract_core_gather(input, indices; axis, datum_type@0.21.11)
        tract_core_gather_elements(input, indices; axis)
        tract_core_gather_nd(input, indices; batch_dims)
        tract_core_gelu_approx(input; fast_impl) @0.23.0
        tract_core_grid_sample(input, grid; mode, padding_mode, align_corners) @0.23.3
        tract_core_gru_epilogue(xh, rh, h_prev; hidden) @0.23.6
        tract_core_gru_seq(x, w, r, b, initial_h; hidden, chunk, has_bias, reset_every_turn, emit_y,
            projected@0.23.9) @0.23.8
        tract_core_hard_swish(x)
        tract_core_is_inf(input; detect_positive, detect_negative) @0.23.0
        tract_core_is_nan(x) @0.23.0
        tract_core_log_softmax(x; axes) @0.21.15
        tract_core_lstm_epilogue(preact, c_prev; hidden) @0.23.2
        tract_core_matmul(A, B; axes)
        tract_core_one_hot(input; axis, dim, value_off, value_on)
        tract_core_pow_const(input; exponent) @0.23.6
        tract_core_product_reduce(input; axes)
        tract_core_qconv(input, filter, bias; group, dilation, stride, padding, border, a0, a_scale,
            b0, b_scale, c0, c_scale, output_dt@0.23.0)
        tract_core_qmatmul(A, B, bias; axes, a0, a_scale, b0, b_scale, c0, c_scale, output_type)
        tract_core_range(; start, end, step)
        tract_core_resize(input, scales, sizes; coord_transformer, interpolator, nearest_mode)
            @0.23.3
        tract_core_rms_norm(input; axis, eps) @0.23.0
        tract_core_round_even(x)
        tract_core_scaled_rms_norm(input, scale; axis, eps, out_dt, scale_dt) @0.23.7
        tract_core_scan(; body, scan, full, state, output, skip, reset_every_turn,
            external_state@0.23.0)
        tract_core_scatter_elements(input, indices, updates; axis, reduction@0.23.0)
        tract_core_scatter_nd(input, indices, updates; reduction@0.23.0)
        tract_core_shape_of(input)
        tract_core_silu(x) @0.23.0
        tract_core_softmax(x; axes, exp)
        tract_core_stft(input; axis, frame, stride, window)
        tract_core_submodel(input; label)
        tract_core_topk(input; k, axis, largest)
        tract_core_trilu(input; k, upper)
        tract_core_xor(x, y)
        tract_shl(x, y)
        tract_shr(x, y)
    """,
    "tract_transformers": """
        tract_moe_ffn(x, wg, w1, w2, w3, wg_bias, w1_bias, w3_bias, w2_bias; k, activation, gate,
            act_alpha, act_limit, expert_layout) @0.23.9
        tract_transformers_apply_rope(input, cos, sin) @0.21.13
        tract_transformers_causal_conv1d_update(input, weight, initial_state) @0.23.5
        tract_transformers_dyn_kv_cache(input; name, axis, datum_type, past_sequence_shape,
            input_sequence_shape) @0.23.0
        tract_transformers_gdn_recurrent(query, key, value, log_decay, beta, initial_state) @0.23.5
        tract_transformers_quantized_dyn_kv_cache(input; name, axis, bits, per_channel, datum_type,
            past_sequence_shape, input_sequence_shape) @0.23.5
        tract_transformers_quantized_kv_sdpa(q, k, v; axis, scale) @0.23.3
        tract_transformers_scaled_masked_softmax(input, mask; scale, post_softmax_mask@0.23.0)
            @0.21.13
        tract_transformers_sdpa(q, k, v, mask; scale, datum_type, acc_datum_type, is_causal) @0.22.0
        tract_transformers_window_kv_sdpa(q, k, v; axis, window, scale) @0.23.1
    """,
    "tract_extra": """
        tract_extra_exp_mean_norm(input, state; axis, alpha, skip, stateless, scaling_factor)
        tract_extra_exp_unit_norm(input, state; axis, alpha, skip, stateless, complex, epsilon)
    """,
    "tract_onnx": """
        tract_onnx_grid_sample(input, grid; mode, padding_mode, align_corners) @0.23.0
        tract_onnx_lrn(input; alpha, beta, bias, size)
        tract_onnx_ml_direct_lookup(input, values, fallback)
        tract_onnx_ml_reverse_lookup(input, keys; fallback)
        tract_onnx_ml_tree_ensemble_classifier(input, trees, nodes, leaves; max_used_feature,
            n_classes, aggregate_fn)
        tract_onnx_multinomial(input; dtype, sample_size, seed)
        tract_onnx_non_max_suppression(boxes, scores; max_output_boxes_per_class, iou_threshold,
            score_threshold, center_point_box)
        tract_onnx_non_zero(input; count_symbol) @0.23.5
        tract_onnx_random(; datum_type, shape, dist, parameters, seed)
        tract_onnx_resize(input, scales, roi@0.23.5; coord_transformer, interpolator, nearest_mode,
            cubic_coeff_a, exclude_outside, antialias@0.23.5, extrapolation_value@0.23.5) @0.23.0
    """,
    "tract_pulse": """
        tract_pulse_cumsum(input; axis, exclusive, skip) @0.23.9
        tract_pulse_delay(input; axis, delay, overlap, zero_pad@0.23.8)
        tract_pulse_mask(input; axis, begin, end, value)
        tract_pulse_pulse_pad(input; axis, before, after, begin_input, end_input, border, value,
            overlap)
    """,
}
